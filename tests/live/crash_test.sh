#!/bin/bash
# Workers are killed (SIGKILL) under load: nothing is lost, and at most what the dead had in hand passes
# unchanged.
. "$(dirname "$0")/lib.sh"

kills=8
batch=16
live_begin "kill -9 of workers at 20,000 packets a second"

cat >"$work/rules.toml" <<'RULES'
[[rule]]
match = { protocol = "udp", dst-port = 5000 }
steps = [ { write = "46544c31", at = 0 } ]
RULES

fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1 --batch $batch \
  --queue-length 65536 --receive-buffer 128M --on-crash accept
# No bypass: a queue that were unbound for a moment would show as loss.
firewall "$router" -t mangle -A FORWARD -p udp --dport 5000 -j NFQUEUE --queue-balance 0:1
receiver_start $server_address4
sender_start $server_address4 from=$client_addresses4 rate=20000
sleep 0.5
for ((i = 0; i < kills; ++i)); do
  wait_for 10 test -n "$(worker_pid $((i % 2)))" || die "queue $((i % 2)) has no worker"
  victim=$(worker_pid $((i % 2)))
  kill -KILL "$victim"
  sleep 0.4
done
sleep 0.5
traffic_stop
expect_equal "restarts that were logged" "$(log_count fettle restarting)" $kills
expect_between "packets sent" "$sent" 50000 1000000
expect_equal "lost" "$lost" 0
expect_equal "duplicated" "$(report receiver duplicated)" 0
expect_equal "damaged" "$(report receiver corrupt)" 0
expect_equal "reordered" "$(report receiver reordered)" 0
expect_between "passed unchanged" "$(report receiver none)" 0 $((batch * kills))
wait_for 3 queues_empty "$router" || true
expect_equal "left in queue 0" "$(queue_waiting "$router" 0)" 0
expect_equal "left in queue 1" "$(queue_waiting "$router" 1)" 0

# Dropped instead of passed unchanged, for whom that is worse.
fettle_stop
expect_equal "exit status" "$fettle_status" 0
expect_equal "restarts in the summary" "$(queue_summary restarts)" $kills
fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1 --batch $batch \
  --queue-length 65536 --receive-buffer 128M --on-crash drop
receiver_start $server_address4
sender_start $server_address4 from=$client_addresses4 rate=20000
sleep 0.3
for queue in 0 1; do
  kill -KILL "$(worker_pid $queue)"
  sleep 0.4
done
traffic_stop
expect_equal "--on-crash drop: passed unchanged" "$(report receiver none)" 0
expect_between "--on-crash drop: lost" "$lost" 0 $((batch * 2))
fettle_stop
expect_equal "exit status" "$fettle_status" 0
live_end
