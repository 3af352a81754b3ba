#!/bin/bash
# Hostile packets of all kinds (hostile_packets.h) through two workers with all recipes loaded, one in raw
# PREROUTING, where fragments and what cannot be routed still come, and one in mangle FORWARD. Nothing crashes, every
# packet that reaches a queue gets its verdict, and memory and descriptors stay what they were. At last with
# connection tracking, which puts fragments together and tells the workers about streams.
#
# PACKETS (default 300,000), SEED (default: another one each time, which is printed), GROWTH (default 256): kB that a
# process's memory may grow by, THREADS (default 1) of each worker.
. "$(dirname "$0")/lib.sh"

packets=${PACKETS:-300000}
seed=${SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
growth=${GROWTH:-256}
sender=${HOSTILE_SENDER:-$root_dir/build/tests/live/hostile_sender}
[ -x "$sender" ] || die "$sender is not there; build it"
live_begin "hostile packets: $packets, seed $seed"

# One rule file of all recipes: without their tests, rules' names with the recipe's before them. Those that end a
# packet's way, or concern all there is, come last.
last=(icmp-errors ttl-dscp)
mapfile -t recipes < <(
  find "$root_dir/deploy/recipes" -name '*.toml' | sort | grep -vE "/($(IFS='|' && printf '%s' "${last[*]}"))\.toml$"
  printf "$root_dir/deploy/recipes/%s.toml\n" "${last[@]}"
)
for recipe in "${recipes[@]}"; do
  awk -v recipe="$(basename "$recipe" .toml)" '
    /^\[/ { test = /^\[\[test\]\]/ }
    !test && /^name = "/ { sub(/"/, "\"" recipe ": ") }
    !test' "$recipe"
done >"$work/rules.toml"
expect_equal "rules of the recipes" "$(grep -c '^\[\[rule\]\]' "$work/rules.toml")" \
  "$(cat "$root_dir"/deploy/recipes/*.toml | grep -c '^\[\[rule\]\]')"

for end in "$client eth0" "$router lan" "$router wan" "$server eth0"; do
  ip -n "${end% *}" link set "${end#* }" mtu 9216
done
ip -n "$router" route add default via $server_address4
ip -n "$router" route add default via $server_address6
firewall "$server" -t raw -A PREROUTING -j DROP # it need not answer
firewall "$client" -A OUTPUT -j DROP            # and no neighbour is asked for
start anchor "$router" sleep infinity           # whose view of the queues the sender has
anchor=$started
# ThreadSanitizer's suppressions go by names, which a program that it runs finds.
sandbox=()
[ -z "${TSAN_OPTIONS:-}" ] || sandbox=(--no-sandbox)
fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1 --queue-length 32768 --threads "${THREADS:-1}" "${sandbox[@]}"
for place in "raw PREROUTING 0" "mangle FORWARD 1"; do
  read -r table chain queue <<<"$place"
  firewall "$router" -t "$table" -A "$chain" -i lan -m comment --comment "seen$queue" -j NFQUEUE --queue-num "$queue"
done
processes=("$fettle_pid" "$(worker_pid 0)" "$(worker_pid 1)")
names=(supervisor "worker 0" "worker 1")

# kB of the processes. What the workers share (counters, the table of streams) fills up to its size; all else that
# grows is anonymous.
memory() {  # RssAnon|VmRSS
  local pid
  for pid in "${processes[@]}"; do awk -v which="$1:" '$1 == which { printf "%d ", $2 }' "/proc/$pid/status"; done
}
descriptors() {
  local pid
  for pid in "${processes[@]}"; do find "/proc/$pid/fd" -mindepth 1 | wc -l; done | tr '\n' ' '
}

sent=0
send() {  # count seed
  start sender "$client" "$sender" on=eth0 to=02:00:00:00:00:01 "count=$1" "seed=$2" \
    "queues=/proc/$anchor/net/netfilter/nfnetlink_queue" "$root_dir"/tests/scenarios/*/in.pcap
  while kill -0 "$started" 2>/dev/null; do
    { memory RssAnon && echo; } >>"$work/samples" 2>/dev/null || die "a process has ended"
    sleep 0.5
  done
  wait "$started" || die "the sender failed"
  wait_for 30 queues_empty "$router" || die "the queues do not empty"
  sent=$((sent + $(report sender sent)))
  printf '        sender: %s\n' "$(tail -n 1 "$work/sender.log")"
}

# What is made when the first packet of its kind comes is made before memory is looked at.
send $((packets / 10)) $((seed + 1))
read -ra before <<<"$(memory RssAnon)"
resident=$(memory VmRSS)
open=$(descriptors)
: >"$work/samples"
send "$packets" "$seed"
firewall "$router" -A FORWARD -m conntrack --ctstate INVALID -m comment --comment invalid
send $((packets / 10)) $((seed + 2))

printf '        resident kB, supervisor and workers: %s-> %s\n' "$resident" "$(memory VmRSS)"
read -ra after <<<"$(memory RssAnon)"
for i in 0 1 2; do
  most=$(awk -v column=$((i + 1)) '$column > most { most = $column } END { print most + 0 }' "$work/samples")
  expect_between "anonymous memory of the ${names[i]}, kB" "${after[i]}" 1 $((before[i] + growth))
  expect_between "at its most" "$most" 1 $((before[i] + growth))
done
expect_equal "descriptors" "$(descriptors)" "$open"
expect_equal "the workers of the beginning" "$(worker_pid 0) $(worker_pid 1)" "${processes[1]} ${processes[2]}"

entered=$(($(counted "$router" iptables raw seen0) + $(counted "$router" ip6tables raw seen0)))
forwarded=$(($(counted "$router" iptables mangle seen1) + $(counted "$router" ip6tables mangle seen1)))
expect_between "came to raw PREROUTING, of $sent sent" "$entered" $((sent * 3 / 4)) $((sent * 2))
expect_between "came to mangle FORWARD" "$forwarded" $((sent / 2)) $((sent * 2))
queued=$(($(queue_column "$router" 0 8) + $(queue_column "$router" 1 8)))
# The kernel itself gives up one now and then, for want of memory.
expect_between "of these the kernel did not queue" $((entered + forwarded - queued)) 0 $((sent / 100000 + 1))
fettle_stop
sed -n '/^queue /,$p' "$work/fettle.log" | sed 's/^/        /'
expect_equal "exit status" "$fettle_status" 0
expect_equal "packets with a verdict" "$(queue_summary packets)" "$queued"
expect_equal "restarts" "$(queue_summary restarts)" 0
expect_equal "unreadable messages, refused verdicts" "$(log_count fettle 'verdicts too late')" 0
expect_equal "reports of sanitizers" "$(log_count fettle 'Sanitizer|runtime error')" 0
expect_between "found malformed" "$(queue_summary malformed)" $((packets / 100)) "$sent"
expect_between "changed" "$(queue_summary changed)" $((packets / 2)) $((sent * 2))
# Established connections give way to nobody, so that those of a long run find no place in the end.
expect_between "TCP segments edited" \
  "$(awk '/TCP segments edited/ { sum += $4 } END { print sum + 0 }' "$work/fettle.log")" \
  $((packets < 400000 ? packets / 200 : 2000)) "$sent"
live_end
