#!/bin/bash
# SIGTERM and SIGINT under load: no packet is lost where the firewall rule has --queue-bypass and the
# queues fail open, and those that come after the end pass unchanged.
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
live_end
