#!/bin/bash
# A queue that is long for bursts does not stand long under an overload that lasts: its limit goes down while
# the overload lasts and up again after it.
. "$(dirname "$0")/lib.sh"

burst=4000
live_begin "an overload that lasts, and bursts before and after it"

# Dear enough that one sender can be faster than the worker.
{
  printf '[[rule]]\nmatch = { protocol = "udp", dst-port = 5000 }\nsteps = [\n'
  for _ in $(seq 1000); do printf '  { write = "00000000", at = 0 }, { write = "ffffffff", at = 0 },\n'; done
  printf '  { write = "46544c31", at = 0 } ]\n'
} >"$work/rules.toml"

firewall "$router" -t mangle -A FORWARD -p udp --dport 5000 -j NFQUEUE --queue-num 0
fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0 --cpus 0 --fail-closed \
  --queue-length 4096 --overload-length 512

burst_passes() {  # title
  receiver_start $server_address4
  sender_start $server_address4 count=$burst rate=10000000 size=64
  wait "$sender_pid" || die "$1: the sender failed"
  wait_for 5 queues_empty "$router" || fail "$1: the queue does not run empty"
  traffic_stop
  expect_equal "$1: lost" "$lost" 0
  expect_equal "$1: changed" "$(report receiver first)" $burst
}

burst_passes "a burst before"

receiver_start $server_address4
sender_start $server_address4 from=$client_addresses4 rate=10000000 size=64
sleep 1.5
most=0
for _ in $(seq 20); do
  waiting=$(queue_waiting "$router" 0)
  [ "$waiting" -le $most ] || most=$waiting
  sleep 0.05
done
traffic_stop
expect_between "the overload: most packets that waited" "$most" 256 $((512 + 256))
expect_between "the overload: lost, as is expected" "$lost" 1000 10000000
expect_equal "the overload: unchanged" "$(report receiver none)" 0
expect_equal "the overload: damaged" "$(report receiver corrupt)" 0

# Some packets at a low rate, that find the queue empty.
receiver_start $server_address4
sender_start $server_address4 count=100 rate=1000
wait "$sender_pid" || die "the sender failed"
traffic_stop
expect_equal "a low rate after it: lost" "$lost" 0

burst_passes "a burst after"
fettle_stop
expect_equal "exit status" "$fettle_status" 0
expect_match "the log says so" "$(cat "$work/fettle.log")" 'the overload lasts: spread over more queues'
live_end
