#!/bin/bash
# Workers are killed at random moments, in four ways (SIGKILL, SIGSEGV, SIGABRT, SIGSTOP until the watchdog comes),
# under UDP load and a TCP transfer that is edited: nothing is lost, nothing comes twice, at most the one packet that
# each had in hand passes unchanged, and nothing is left in the queues.
#
#   KILLS=1000 RATE=50000 SEED=1 tests/live/kills_test.sh   (60 kills at 20,000 packets/s, a random seed)
. "$(dirname "$0")/lib.sh"

kills=${KILLS:-60}
rate=${RATE:-20000}
seed=${SEED:-$((RANDOM * 32768 + RANDOM))}
RANDOM=$seed
watchdog=300
live_begin "$kills kills at random moments at $rate packets a second (SEED=$seed)"

cat >"$work/rules.toml" <<'RULES'
[[rule]]
match = { protocol = "udp", dst-port = 5000 }
steps = [ { write = "46544c31", at = 0 } ]
RULES
cat "$live_dir/edited_stream.toml" >>"$work/rules.toml"

new_worker() {  # queue: another one than before
  local pid
  pid=$(worker_pid "$1")
  [ -n "$pid" ] && [ "$pid" != "${last[$1]:-}" ]
}

fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1 --queue-length 65536 --receive-buffer 256M \
  --watchdog $watchdog --stream-wait 500 --quarantine "$work/quarantine"
# No bypass: a queue that were unbound for a moment would show as loss.
firewall "$router" -t mangle -A FORWARD -p udp --dport 5000 -j NFQUEUE --queue-balance 0:1
in_router iptables -t mangle -A FORWARD -p tcp --sport 5001 -j NFQUEUE --queue-num 0
in_router iptables -t mangle -A FORWARD -p tcp --dport 5001 -j NFQUEUE --queue-num 0
start server "$server" "$python" "$live_dir/edited_stream.py" serve $server_address4 5001 1 edited
server_pid=$started
wait_for 10 log_has server listening || die "the server does not listen"
receiver_start $server_address4
sender_start $server_address4 "from=$client_addresses4" "rate=$rate"
start client "$client" "$python" "$live_dir/edited_stream.py" send $server_address4 5001 1 edited
client_pid=$started
wait_for 10 log_has client connected || die "the client does not connect"

declare -A ways=([KILL]=0 [SEGV]=0 [ABRT]=0 [STOP]=0)
last=()
for ((i = 0; i < kills; ++i)); do
  queue=$((RANDOM % 2))
  wait_for 10 new_worker $queue || die "queue $queue has no new worker after $i kills"
  last[queue]=$(worker_pid $queue)
  case $((RANDOM % 20)) in
    0) way=STOP ;;
    [1-4]) way=SEGV ;;
    [5-6]) way=ABRT ;;
    *) way=KILL ;;
  esac
  sleep "0.0$((RANDOM % 90 + 10))"
  kill -$way "${last[queue]}"
  ways[$way]=$((ways[$way] + 1))
done
wait_for 10 new_worker $queue || die "queue $queue has no new worker at the end"
sleep 0.5
kill -TERM "$client_pid"
wait "$client_pid" || die "the client failed"
wait "$server_pid" || die "the server failed"
traffic_stop
printf '        client: %s\n        server: %s\n' "$(tail -n 1 "$work/client.log")" "$(tail -n 1 "$work/server.log")"
printf '        kills: %d KILL, %d SEGV, %d ABRT, %d STOP; longest silence of a flow: %s ms\n' \
  "${ways[KILL]}" "${ways[SEGV]}" "${ways[ABRT]}" "${ways[STOP]}" "$(report receiver longest_gap_ms)"
wait_for 3 queues_empty "$router" || true
for queue in 0 1; do expect_equal "left in queue $queue" "$(queue_waiting "$router" $queue)" 0; done
expect_equal "UDP: lost" "$lost" 0
expect_equal "UDP: duplicated" "$(report receiver duplicated)" 0
expect_equal "UDP: damaged" "$(report receiver corrupt)" 0
expect_between "UDP: passed unchanged" "$(report receiver none)" 0 "$kills"
expect_equal "TCP: bytes that arrive" "$(report server bytes)" "$(report client bytes)"
expect_equal "TCP: SHA-256 of the edited stream" "$(report server sha256)" "$(report client sha256)"
expect_equal "TCP: acknowledgements that come back" "$(report client lines)" "$(report server lines)"
expect_equal "TCP: first wrong one" "$(report client lines_wrong_at)" -1
fettle_stop
expect_equal "exit status" "$fettle_status" 0
expect_equal "restarts in the summary" "$(queue_summary restarts)" "$kills"
expect_equal "found standing still" "$(log_count fettle 'no sign of life')" "${ways[STOP]}"
# What a signal from outside stops in the middle of a packet is kept as if it had been a fault.
for capture in "$work"/quarantine/*; do
  [ -e "$capture" ] || continue
  tcpdump -nr "$capture" >/dev/null 2>>"$work/tcpdump.log" || fail "tcpdump does not read $(basename "$capture")"
done
live_end
