#!/bin/bash
# nft's own queue rules, `queue flags bypass,fanout to 0-1`: each CPU's packets come to the queue of that CPU, each is
# changed once, a worker that is killed loses none, and where no fettle runs they pass, by the flag alone.
# What arrives is judged by a capture at the server's link.
. "$(dirname "$0")/lib.sh"

burst=300
live_begin "nft's queue rules: bypass, fanout"
command -v nft >/dev/null || die "nft is not there; run deploy/install-dependencies --tests"
[ "$(nproc)" -ge 2 ] || skip "needs two CPUs: fanout is by CPU"

feed() {  # flags...
  in_router nft -f - 2>"$work/nft.log" <<NFT
table inet mend
delete table inet mend
table inet mend {
  chain forward {
    type filter hook forward priority mangle; policy accept;
    udp dport 5000 queue $* to 0-1
  }
}
NFT
}
feed flags bypass,fanout || skip "the kernel has no queue statement (NFT_QUEUE): $(head -n 1 "$work/nft.log")"

cat >"$work/rules.toml" <<'RULES'
[[rule]]
name = "all of them"
match = { protocol = "udp", dst-port = 5000 }
steps = [ { write = "46544c31", at = 0 } ]
RULES

watch() {
  rm -f "$work/seen.pcap"
  start capture "$server" tcpdump -i eth0 -n -U -B 16384 --immediate-mode -Z root -w "$work/seen.pcap" udp
  capture_pid=$started
  wait_for 5 log_has capture 'listening on' || die "tcpdump does not listen"
}
watched() {  # title key: of the report
  tr ' ' '\n' <<<"$witness" | sed -n "s/^$2=//p"
}
send() {  # cpu count rate address source
  start "sender$1" "$client" taskset -c "$1" "$traffic" send "to=$4" port=5000 "from=$5" count="$2" rate="$3" size=100
  senders+=("$started")
}
captured() {  # datagrams of 100 bytes: at least so many are in the file
  local header=20
  [[ $address != *:* ]] || header=40
  [ "$(stat -c %s "$work/seen.pcap" 2>/dev/null || echo 0)" -ge $(($1 * (16 + 14 + header + 8 + 100))) ]
}
# Ends the capture once all is there; sets witness.
judge() {  # title sent changed
  local sender
  for sender in "${senders[@]}"; do wait "$sender" || die "$1: a sender failed"; done
  senders=()
  wait_for 5 queues_empty "$router" || fail "$1: the queues do not run empty"
  wait_for 3 captured "$2" || true # it ends without what it has not read yet
  kill -TERM "$receiver_pid" 2>/dev/null || true
  receiver_wait
  kill -TERM "$capture_pid" 2>/dev/null || true
  wait "$capture_pid" 2>/dev/null || true
  witness=$("$python" "$live_dir/witness.py" "$work/seen.pcap" 5000)
  printf '        %s\n' "$witness"
  expect_equal "$1: datagrams" "$(watched "$1" datagrams)" "$2"
  expect_equal "$1: distinct" "$(watched "$1" distinct)" "$2"
  expect_equal "$1: changed" "$(watched "$1" changed)" "$3"
  [ "$3" = 0 ] || expect_equal "$1: with a wrong checksum or length" "$(watched "$1" wrong)" 0
  expect_equal "$1: what the server's socket got" "$(report receiver received)" "$2"
}
begin() {  # address
  address=$1
  watch
  receiver_start "$1"
}
taken() { queue_column "$router" "$1" 8; } # packets so far
senders=() address=""

begin $server_address4
send 0 $burst 1000 $server_address4 10.1.0.2
judge "no fettle, the bypass flag" $burst 0

fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1
for v in 4 6; do
  sources="client_addresses$v" to="server_address$v"
  IFS=, read -ra sources <<<"${!sources}"
  for cpu in 0 1; do
    before=("$(taken 0)" "$(taken 1)")
    begin "${!to}"
    send $cpu $burst 1000 "${!to}" "${sources[cpu]}"
    judge "IPv$v, sent on CPU $cpu" $burst $burst
    expect_equal "IPv$v, sent on CPU $cpu: to the queue of this CPU" $(($(taken $cpu) - before[cpu])) $burst
    expect_equal "IPv$v, sent on CPU $cpu: to the other" $(($(taken $((1 - cpu))) - before[1 - cpu])) 0
  done
done

killed="" successor=""
has_successor() {
  successor=$(worker_pid "$1")
  [ -n "$successor" ] && [ "$successor" != "$killed" ]
}
begin $server_address4
for cpu in 0 1; do send $cpu $((3 * burst)) 300 $server_address4 "10.1.0.$((2 + cpu))"; done
for queue in 0 1; do
  sleep 0.7
  killed=$(worker_pid $queue)
  # Stopped first, so that it has none in hand: of that one --on-crash decides.
  idle() { grep -q '^State:.*S' "/proc/$killed/status"; }
  wait_for 2 idle || true
  kill -KILL "$killed" 2>/dev/null || die "no worker of queue $queue"
  wait_for 10 has_successor $queue || die "no successor of the worker of queue $queue"
done
judge "workers are killed" $((6 * burst)) $((6 * burst))
for queue in 0 1; do
  expect_equal "workers are killed: dropped at a full queue or socket $queue" \
    $(($(queue_column "$router" $queue 6) + $(queue_column "$router" $queue 7))) 0
done
expect_equal "workers are killed: successors" "$(log_count fettle 'restarting')" 2

# A range without fanout is spread by the addresses: one pair of hosts, one queue, whatever the CPU.
feed flags bypass || die "nft refuses a queue rule"
before=("$(taken 0)" "$(taken 1)")
begin $server_address4
send 0 $burst 1000 $server_address4 10.1.0.2
judge "without fanout" $burst $burst
in_queue=$(($(taken 0) - before[0]))
[ $in_queue = 0 ] || [ $in_queue = $burst ] || fail "without fanout: queue 0 has $in_queue of $burst"
begin $server_address4
send 1 $burst 1000 $server_address4 10.1.0.2
judge "without fanout, on the other CPU" $burst $burst
expect_equal "without fanout, on the other CPU: in the same queue" $(($(taken 0) - before[0])) $((2 * in_queue))

fettle_stop
expect_equal "exit status" "$fettle_status" 0
expect_equal "packets changed by fettle" "$(queue_summary changed)" "$(queue_summary packets)"
feed flags bypass,fanout || die "nft refuses a queue rule"
begin $server_address4
send 1 $burst 1000 $server_address4 10.1.0.3
judge "fettle has ended, the bypass flag" $burst 0
feed "" || die "nft refuses a queue rule"
begin $server_address4
send 0 $burst 1000 $server_address4 10.1.0.2
judge "no fettle, no bypass flag" 0 0
live_end
