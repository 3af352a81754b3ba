#!/bin/bash
# The whole program is replaced under UDP load and a TCP transfer that is edited: restarted by a service manager that
# keeps its descriptors, taken over by another one, and killed and started anew. Nothing is lost, nothing passes
# unchanged, counters and connections go on.
#
#   ROUNDS=100 RATE=50000 tests/live/upgrade_test.sh   (4 of each way, at 20,000 packets/s)
. "$(dirname "$0")/lib.sh"

rounds=${ROUNDS:-4}
rate=${RATE:-20000}
live_begin "$rounds times three ways to replace everything, at $rate packets a second"

cat >"$work/rules.toml" <<'RULES'
[[rule]]
match = { protocol = "udp", dst-port = 5000 }
steps = [ { write = "46544c31", at = 0 } ]
RULES
cat "$live_dir/edited_stream.toml" >>"$work/rules.toml"
arguments=(--rules "$work/rules.toml" --queue-balance 0:1 --queue-length 65536 --receive-buffer 256M
  --stream-wait 500)

traffic_start() {
  receiver_start $server_address4
  sender_start $server_address4 "from=$client_addresses4" "rate=$rate"
  start server "$server" "$python" "$live_dir/edited_stream.py" serve $server_address4 5001 1 edited
  server_pid=$started
  wait_for 10 log_has server listening || die "the server does not listen"
  start client "$client" "$python" "$live_dir/edited_stream.py" send $server_address4 5001 1 edited
  client_pid=$started
  wait_for 10 log_has client connected || die "the client does not connect"
}

judge() {  # what
  sleep 0.3
  kill -TERM "$client_pid"
  wait "$client_pid" || die "the client failed"
  wait "$server_pid" || die "the server failed"
  traffic_stop
  printf '        longest silence of a flow: %s ms\n' "$(report receiver longest_gap_ms)"
  expect_equal "$1: UDP lost" "$lost" 0
  expect_equal "$1: UDP unchanged" "$(report receiver none)" 0
  expect_equal "$1: UDP duplicated" "$(report receiver duplicated)" 0
  expect_between "$1: TCP bytes" "$(report client sent)" 1000000 1000000000000
  expect_equal "$1: SHA-256 of the edited stream" "$(report server sha256)" "$(report client sha256)"
  expect_equal "$1: first wrong acknowledgement" "$(report client lines_wrong_at)" -1
}

firewall "$router" -t mangle -A FORWARD -p udp --dport 5000 -j NFQUEUE --queue-balance 0:1
in_router iptables -t mangle -A FORWARD -p tcp --sport 5001 -j NFQUEUE --queue-num 0
in_router iptables -t mangle -A FORWARD -p tcp --dport 5001 -j NFQUEUE --queue-num 0

printf 'restarted by a service manager\n'
start manager "$router" "$python" "$live_dir/service_manager.py" "$work/notify" \
  "$fettle" run "${arguments[@]}" --control "$work/control" --on-stop keep
manager_pid=$started
wait_for 10 log_has manager "state READY" || die "it does not get ready"
traffic_start
ready_again() { [ "$(log_count manager "state READY")" -gt "$1" ]; }
for ((i = 0; i < rounds; ++i)); do
  sleep 0.3
  before=$(log_count manager "state READY")
  kill -HUP "$manager_pid"
  wait_for 10 ready_again "$before" || die "it does not start again"
done
before=$(log_count manager "state READY")
kill -HUP "$(sed -n 's/^process //p' "$work/manager.log" | tail -n 1)"
wait_for 10 log_has manager "state .*RELOADING" || die "a reload is not notified"
wait_for 10 ready_again "$before" || die "the end of a reload is not notified"
judge "restart"
expect_equal "starts with both queues" "$(log_count manager 'start with .*queue1-socket')" "$rounds"
kill -TERM "$manager_pid"
wait "$manager_pid" || fail "the service ends with $?"
expect_between "packets in the last summary" "$(awk '
  /^queue +packets/ { sum = 0; counts = 1; next } NF == 0 { counts = 0 } counts && $1 ~ /^[01]$/ { sum += $2 }
  END { print sum }' "$work/manager.log")" "$sent" 1000000000

printf 'taken over by another one\n'
fettle_start "$router" "${arguments[@]}"
traffic_start
for ((i = 0; i < rounds; ++i)); do
  sleep 0.3
  former=$fettle_pid
  mv "$work/fettle.log" "$work/former.log"
  fettle_start "$router" "${arguments[@]}" --takeover
  wait "$former" || fail "the former one ends with $?"
done
judge "takeover"
fettle_stop
expect_equal "exit status" "$fettle_status" 0
expect_between "packets in the last summary" "$(queue_summary packets)" "$sent" 1000000000

printf 'killed and started anew\n'
fettle_start "$router" "${arguments[@]}"
traffic_start
for ((i = 0; i < rounds; ++i)); do
  sleep 0.3
  kill -KILL "$fettle_pid"
  wait "$fettle_pid" 2>/dev/null || true
  sleep 0.1
  fettle_start "$router" "${arguments[@]}"
done
judge "kill"
fettle_stop
expect_equal "exit status" "$fettle_status" 0
expect_between "packets in the last summary" "$(queue_summary packets)" "$sent" 1000000000
live_end
