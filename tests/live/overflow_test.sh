#!/bin/bash
# More packets than a queue or its socket's buffer holds: fail-open passes the rest unchanged, fail-closed
# drops it, and the kernel's counters, fettle's log and the receiver agree. What the kernel counts nowhere, packets
# that passed a full queue or came while fettle did not run, is worked out from the firewall's counters.
. "$(dirname "$0")/lib.sh"

length=500
count=2000
live_begin "overflow of the queue and of the socket's buffer"

cat >"$work/rules.toml" <<'RULES'
[[rule]]
match = { protocol = "udp", dst-port = 5000 }
steps = [ { write = "46544c31", at = 0 } ]
RULES

firewall "$router" -t mangle -A FORWARD -p udp --dport 5000 -j NFQUEUE --queue-num 0 --queue-bypass

feed() {  # member of the status
  "$fettle" status --control "$work/control" --json | "$python" -c \
    'import json, sys; print(json.load(sys.stdin)["feed"][sys.argv[1]])' "$1"
}

# The worker stands still (SIGSTOP) while `count` packets come, then goes on. Sets dropped_by_queue and
# dropped_by_socket, as the kernel counts them.
overflow() {  # fettle's arguments
  local worker
  fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0 --watchdog 0 "$@"
  worker=$(worker_pid 0)
  kill -STOP "$worker"
  receiver_start $server_address4
  sender_start $server_address4 count=$count rate=10000
  wait "$sender_pid" || die "the sender failed"
  sleep 1.2  # the supervisor looks once a second
  waiting=$(queue_waiting "$router" 0)
  kill -CONT "$worker"
  traffic_stop
  dropped_by_queue=$(queue_column "$router" 0 6)
  dropped_by_socket=$(queue_column "$router" 0 7)
  unqueued=$(feed unqueued)
  expect_equal "$title: left in the queue" "$(queue_waiting "$router" 0)" 0
  fettle_stop
  expect_equal "$title: exit status" "$fettle_status" 0
  expect_equal "$title: damaged" "$(report receiver corrupt)" 0
  changed=$(report receiver first)
  unchanged=$(report receiver none)
}

title="queue full, fail-open"
overflow --queue-length $length --fail-open
expect_equal "$title: waiting at the limit" "$waiting" $length
expect_equal "$title: lost" "$lost" 0
expect_between "$title: changed" "$changed" $length $((length + 16))
expect_equal "$title: passed unchanged" "$unchanged" $((count - changed))
expect_match "$title: the log says so" "$(cat "$work/fettle.log")" "queue 0: full"
expect_equal "$title: passed unchanged, as fettle works it out" "$unqueued" "$unchanged"

before=$unqueued
title="queue full, fail-closed"
overflow --queue-length $length --fail-closed
expect_equal "$title: passed unchanged" "$unchanged" 0
expect_between "$title: changed" "$changed" $length $((length + 16))
expect_equal "$title: lost" "$lost" $((count - changed))
expect_equal "$title: dropped, as the kernel counts" "$dropped_by_queue" "$lost"
expect_equal "$title: nothing more than before is worked out" "$unqueued" "$before"
expect_equal "$title: dropped, as the summary says" "$(queue_summary queue-full)" "$lost"
expect_match "$title: the log says so" "$(cat "$work/fettle.log")" "$lost packets dropped, the queue was full"

printf 'must-change = true\n' >>"$work/rules.toml"
title="queue full, must-change"
overflow --queue-length $length
expect_equal "$title: passed unchanged" "$unchanged" 0
expect_between "$title: changed" "$changed" $length $((length + 16))
expect_equal "$title: lost" "$lost" $((count - changed))
sed -i '/^must-change/d' "$work/rules.toml"

printf '[defaults]\noverload = "drop"\n' >>"$work/rules.toml"
title="queue full, overload = drop"
overflow --queue-length $length
expect_equal "$title: passed unchanged" "$unchanged" 0
sed -i '/^\[defaults/,$d' "$work/rules.toml"

title="socket full, fail-open"
overflow --receive-buffer 256K --fail-open
expect_equal "$title: lost" "$lost" 0
expect_between "$title: passed unchanged" "$unchanged" 1 $((count - 1))
expect_equal "$title: passed, as the summary says" "$(queue_summary socket-full)" "$unchanged"

title="socket full, fail-closed"
overflow --receive-buffer 256K --fail-closed
expect_equal "$title: passed unchanged" "$unchanged" 0
expect_between "$title: lost" "$lost" 1 $((count - 1))
expect_equal "$title: dropped, as the kernel counts" "$dropped_by_socket" "$lost"
expect_equal "$title: dropped, as the summary says" "$(queue_summary socket-full)" "$lost"

title="while it does not run"
receiver_start $server_address4
sender_start $server_address4 count=$count rate=10000
wait "$sender_pid" || die "the sender failed"
traffic_stop
expect_equal "$title: passed unchanged" "$(report receiver none)" $count
fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0
expect_equal "$title: bypassed, as fettle works it out" "$(feed bypassed)" $count
expect_match "$title: the log says so" "$(cat "$work/fettle.log")" "at least $count packets came while fettle did not run"
expect_match "$title: the status says so" "$("$fettle" status --control "$work/control")" \
  "^ +0 +$count +kernel: fettle did not run, passed unchanged"

title="taken over"
former=$fettle_pid
fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0 --takeover
wait "$former" || fail "$title: the former one failed"
expect_equal "$title: known as before, the bypassed" "$(feed bypassed)" $count
expect_equal "$title: known as before, those that passed a full queue" "$(feed unqueued)" "$before"
expect_equal "$title: sent here, since the first one began" "$(feed sent)" $((count * 7))

firewall "$router" -t mangle -F FORWARD
fettle_stop
expect_equal "exit status" "$fettle_status" 0
live_end
