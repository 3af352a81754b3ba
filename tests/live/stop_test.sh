#!/bin/bash
# SIGTERM and SIGINT under load: no packet is lost where the firewall rule has --queue-bypass and the
# queues fail open, and those that come after the end pass unchanged. Nor is any lost where a worker dies meanwhile.
. "$(dirname "$0")/lib.sh"

live_begin "stop at 20,000 packets a second"

cat >"$work/rules.toml" <<'RULES'
[[rule]]
match = { protocol = "udp", dst-port = 5000 }
steps = [ { write = "46544c31", at = 0 } ]
RULES

firewall "$router" -t mangle -A FORWARD -p udp --dport 5000 -j NFQUEUE --queue-balance 0:1 --queue-bypass
for signal in TERM INT TERM; do
  fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1 --fail-open
  receiver_start $server_address4
  sender_start $server_address4 from=$client_addresses4 rate=20000
  sleep 0.5
  kill -$signal "$fettle_pid"
  fettle_wait
  sleep 0.3
  traffic_stop
  expect_equal "SIG$signal: exit status" "$fettle_status" 0
  expect_equal "SIG$signal: lost" "$lost" 0
  expect_equal "SIG$signal: duplicated" "$(report receiver duplicated)" 0
  expect_equal "SIG$signal: damaged" "$(report receiver corrupt)" 0
  expect_between "SIG$signal: changed before" "$(report receiver first)" 5000 "$sent"
  expect_between "SIG$signal: unchanged after" "$(report receiver none)" 1000 "$sent"
  expect_equal "SIG$signal: changed, as the summary says" "$(queue_summary changed)" \
    "$(report receiver first)"
  expect_equal "SIG$signal: queues that are still bound" \
    "$(in_router sh -c 'wc -l </proc/net/netfilter/nfnetlink_queue')" 0
done

# With rules that edit streams what is left in a queue is dropped at the end, so there must not be any.
printf 'a worker dies while it drains\n'
cat "$live_dir/edited_stream.toml" >>"$work/rules.toml"
for signal in KILL SEGV; do
  fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1 --queue-length 65536 --drain-time 5000 \
    --watchdog 0 --quarantine "$work/quarantine"
  firewall "$router" -t mangle -F FORWARD
  firewall "$router" -t mangle -A FORWARD -p udp --dport 5000 -j NFQUEUE --queue-balance 0:1 --queue-bypass
  receiver_start $server_address4
  sender_start $server_address4 from=$client_addresses4 rate=10000
  sleep 0.3
  worker=$(worker_pid 0)
  kill -STOP "$worker"
  sleep 0.5
  kill -TERM "$fettle_pid"
  sleep 0.3
  kill -$signal "$worker"
  kill -CONT "$worker" 2>/dev/null || true
  fettle_wait
  sleep 0.3
  traffic_stop
  expect_equal "SIG$signal: exit status" "$fettle_status" 0
  expect_equal "SIG$signal: lost" "$lost" 0
  expect_equal "SIG$signal: duplicated" "$(report receiver duplicated)" 0
  expect_match "SIG$signal: the log says so" "$(cat "$work/fettle.log")" "another one empties the queue"
  expect_equal "SIG$signal: left in the queues" "$(log_count fettle 'packets were left')" 0
done
live_end
