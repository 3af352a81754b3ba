#!/bin/bash
# The control socket: who may use it, what it says beside the traffic's own figures, reload and drain under
# load, and 10,000 clients that mean it no good. SEED repeats a run of these.
. "$(dirname "$0")/lib.sh"

clients=10000
live_begin "control socket"

rule_set() {  # bytes at
  printf '[[rule]]\nname = "mark %s"\nmatch = { protocol = "udp", dst-port = 5000 }\n' "$1"
  printf 'steps = [ { write = "%s", at = %d } ]\n' "$1" "$2"
}
rule_set 46544c31 0 >"$work/one"
rule_set 46544c32 4 >"$work/two"
sed 's/write/wrote/' "$work/one" >"$work/refused"
cp "$work/one" "$work/rules.toml"
control=$work/control
good=(--rules "$work/rules.toml" --queue-balance 0:1 --queue-length 32768)
clients_py() { "$python" "$live_dir/control_clients.py" "$@"; }

# Sets output and status.
command_of() {  # title exit-status pattern command...
  local title=$1 wanted=$2 pattern=$3
  shift 3
  status=0
  output=$("$@" 2>&1) || status=$?
  expect_equal "$title: exit status" $status "$wanted"
  [ -z "$pattern" ] || expect_match "$title: says so" "$output" "$pattern"
}
ask() { "$fettle" "$1" --control "$control" "${@:2}"; }
member() { ask status --json | clients_py get "$@"; }

# ---- nobody there; modes, group, credentials ----------------------------------------------------
for name in status reload drain; do
  command_of "$name without a fettle" 69 "no fettle listens at $control .*fettle run" ask $name
done
fettle_start "$router" "${good[@]}"
group=$(getent passwd fettle | cut -d: -f4) || group=""
expect_equal "mode and group" "$(stat -c '%a %u:%g' "$control")" "660 $(id -u):${group:-$(id -g)}"
command_of "status" 0 "process $fettle_pid: running" ask status

install -m 755 "$fettle" "$work/fettle"
chmod 711 "$work"
stranger=(setpriv --reuid 65534 --regid 65534 --clear-groups "$work/fettle" status --control "$control")
insider=(setpriv --reuid 65534 --regid 65534 --groups "${group:-$(id -g)}" "$work/fettle" status --control "$control")
command_of "a stranger" 77 "root or a member" "${stranger[@]}"
command_of "a member of the group" 0 "process $fettle_pid" "${insider[@]}"
chmod 666 "$control"
command_of "a stranger whom the mode lets pass" 77 "found user 65534, expected root" "${stranger[@]}"
expect_equal "strangers counted" "$(member control refused)" 1
chmod 660 "$control"

# ---- a second one -------------------------------------------------------------------------------
second=("$fettle" run --rules "$work/rules.toml" --queue-balance 5)
command_of "second at the same place" 69 "$control is taken: process $fettle_pid" \
  ip netns exec "$router" "${second[@]}" --control "$control"
printf 'mine' >"$work/file"
command_of "place of a file" 73 "expected nothing or a socket" \
  ip netns exec "$router" "${second[@]}" --control "$work/file"
command_of "place in no directory" 73 "cannot make $work/no/where" \
  ip netns exec "$router" "${second[@]}" --control "$work/no/where/control"
expect_equal "the owner still answers" "$(member pid)" "$fettle_pid"

# ---- status beside the traffic's own figures ----------------------------------------------------
firewall "$router" -t mangle -A FORWARD -p udp --dport 5000 -j NFQUEUE --queue-balance 0:1 --queue-bypass
receiver_start $server_address4
sender_start $server_address4 from=$client_addresses4 rate=20000
sleep 0.5
command_of "status under load" 0 "running" ask status
traffic_stop
ask status >"$work/status.log"
expect_equal "lost" "$lost" 0
expect_equal "packets" "$(member queues + traffic packets)" "$sent"
expect_equal "changed" "$(member queues + traffic changed)" "$(report receiver first)"
expect_equal "accepted" "$(member queues + traffic accepted)" "$sent"
expect_equal "hits of the rule" "$(member rules 0 hits)" "$sent"
# 20 bytes of IP and 8 of UDP before each datagram.
size=$(in_router iptables -t mangle -nvxL FORWARD | awk '/NFQUEUE/ { print $2 }')
expect_equal "bytes, as the firewall counts them" "$(member queues + traffic bytes)" "$size"
expect_equal "copy range, as the kernel has it" "$(member queues 0 settings copy_range)" \
  "$(queue_column "$router" 0 5)"
expect_equal "process of a worker" "$(member queues 1 worker pid)" "$(worker_pid 1)"
expect_match "the table: all queues" "$(cat "$work/status.log")" "^ +all +$sent "
expect_match "the table: no loss" "$(cat "$work/status.log")" "^nothing lost"
expect_equal "the table: columns" "$(awk '{ if (length > most) most = length } END { print (most <= 80) }' \
  <(grep -Ev '^(rules|control) ' "$work/status.log"))" 1

worker=$(clients_py back-off "$control" "$fettle_pid") || fail "$worker"
expect_match "a worker that dies again and again" "$worker" '"state": "backing off".*killed by signal 9'
runs() { [ "$(member queues 0 worker state)" = running ]; }
wait_for 20 runs || die "the worker does not run again"
expect_match "the table has how it ended" "$(ask status)" "killed by signal 9"

# ---- reload under load --------------------------------------------------------------------------
receiver_start $server_address4
sender_start $server_address4 from=$client_addresses4 rate=20000
sleep 0.3
cp "$work/two" "$work/rules.toml"
command_of "reload" 0 "^reloaded: 1 rule from $work/rules.toml" ask reload
expect_equal "the rules in force" "$(member rules 0 name)" "mark 46544c32"
expect_equal "the last reload" "$(member last_reload exit)" 0
cp "$work/refused" "$work/rules.toml"
command_of "reload of a wrong file" 65 "rules\.toml:4:[0-9]+: error" ask reload
expect_match "reload of a wrong file: quoted" "$output" "wrote"
rm "$work/rules.toml"
command_of "reload of no file" 66 "rules\.toml" ask reload
expect_equal "refused: the rules in force" "$(member rules 0 name)" "mark 46544c32"
expect_match "refused: the status has it" "$(ask status)" "^reload +refused"
cp "$work/one" "$work/rules.toml"
reloads=()
for i in 1 2 3 4 5 6; do
  ask reload >"$work/reload$i.log" 2>&1 &
  reloads+=($!)
done
for pid in "${reloads[@]}"; do wait "$pid" || fail "one of six reloads at a time: exit status $?"; done
expect_equal "six at a time: outcomes" "$(cat "$work"/reload?.log | grep -c '^reloaded: 1 rule')" 6
sleep 0.3
traffic_stop
expect_equal "reloads: lost" "$lost" 0
expect_equal "reloads: damaged" "$(report receiver corrupt)" 0

# ---- clients of all kinds under load ------------------------------------------------------------
memory() { awk '/^VmRSS/ { print $2 }' "/proc/$fettle_pid/status"; }
descriptors() { find "/proc/$fettle_pid/fd" -mindepth 1 | wc -l; }
clients_py storm "$control" 500 >/dev/null # what is allocated once is there now
memory_before=$(memory) descriptors_before=$(descriptors)
receiver_start $server_address4
sender_start $server_address4 from=$client_addresses4 rate=20000
clients_py storm "$control" $clients ${SEED:+"$SEED"} >"$work/storm.log"
command_of "status at once after" 0 "running" timeout 2 "$fettle" status --control "$control"
traffic_stop
printf '        clients:  %s\n' "$(tail -n 1 "$work/storm.log")"
expect_equal "clients" "$(report storm clients)" $clients
expect_equal "clients that were not served as they should" "$(report storm wrong)" 0
expect_equal "during them: lost" "$lost" 0
expect_equal "during them: damaged" "$(report receiver corrupt)" 0
expect_equal "descriptors" "$(descriptors)" "$descriptors_before"
expect_between "memory in KiB, $memory_before before" "$(memory)" 0 $((memory_before + 2048))
expect_equal "restarts meanwhile" "$(log_count fettle "worker .*restarting")" "$(member queues + worker restarts)"

# ---- drain under load ---------------------------------------------------------------------------
receiver_start $server_address4
sender_start $server_address4 from=$client_addresses4 rate=20000
sleep 0.5
command_of "drain" 0 "^drained: the queues ran empty" ask drain
expect_match "drain: the process has ended" "$(cat "/proc/$fettle_pid/stat" 2>/dev/null || echo ' Z ')" ' Z '
expect_equal "drain: queues that are still bound" \
  "$(in_router sh -c 'wc -l </proc/net/netfilter/nfnetlink_queue')" 0
fettle_wait
expect_equal "drain: exit status of fettle run" "$fettle_status" 0
expect_equal "drain: the socket is gone" "$(ls "$control" 2>/dev/null)" ""
sleep 0.3
traffic_stop
expect_equal "drain: lost" "$lost" 0
expect_between "drain: changed before" "$(report receiver first)" 5000 "$sent"
expect_between "drain: unchanged after" "$(report receiver none)" 1000 "$sent"

# ---- a stale socket -----------------------------------------------------------------------------
fettle_start "$router" "${good[@]}"
workers="$(worker_pid 0) $(worker_pid 1)"
disown "$fettle_pid"  # so that the shell does not tell of it
kill -KILL "$fettle_pid"
# shellcheck disable=SC2086  # two words
kill -KILL $workers
wait_for 5 fettle_gone || die "fettle outlives SIGKILL"
command_of "stale" 69 "no fettle listens.*refused" ask status
unbound() { [ "$(in_router sh -c 'wc -l </proc/net/netfilter/nfnetlink_queue')" = 0 ]; }
wait_for 5 unbound || die "the queues of the killed are still bound"
fettle_start "$router" "${good[@]}"
expect_equal "stale: replaced" "$(member pid)" "$fettle_pid"
expect_equal "nothing else is left beside it" "$(cd "$work" && echo control*)" "control control.feed"
fettle_stop

# ---- the default place, in a /run of its own ----------------------------------------------------
own_run=(unshare -m sh -c "mount -t tmpfs \$1 tmpfs /run && shift && exec \"\$@\"" sh)
start own "$router" "${own_run[@]}" "-orw" "$fettle" run "${good[@]}"
own_pid=$started
wait_for 10 log_has own ready || die "fettle with the default place does not get ready"
inside() { nsenter -t "$own_pid" -m -n "$@"; }
command_of "default place" 0 "process $own_pid" inside "$fettle" status
expect_equal "default place: mode of the directory" "$(inside stat -c %a /run/fettle)" 755
start other "$router" nsenter -t "$own_pid" -m "${second[@]}"
other_pid=$started
wait_for 10 log_has other ready || die "the second fettle does not get ready"
expect_match "taken default place: a warning names the owner" "$(cat "$work/other.log")" \
  "warning.*/run/fettle/control is taken: process $own_pid .*running without"
kill -TERM "$other_pid"
wait "$other_pid" || fail "the second fettle: exit status $?"
command_of "the owner's name is not taken away" 0 "process $own_pid" inside "$fettle" status
command_of "drain at the default place" 0 "drained" inside "$fettle" drain
wait "$own_pid" || fail "the first fettle: exit status $?"

start own "$router" "${own_run[@]}" "-oro" "$fettle" run "${good[@]}"
own_pid=$started
wait_for 10 log_has own ready || die "fettle that can make no directory does not get ready"
expect_match "no default place: a warning" "$(cat "$work/own.log")" "warning.*cannot make /run/fettle: .*running without"
kill -TERM "$own_pid"
wait "$own_pid" || fail "fettle without a control socket: exit status $?"
live_end
