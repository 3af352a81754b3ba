#!/bin/bash
# fettle sniff on a queue under load: every packet passes unchanged, those too that are queued while it
# begins and while it ends, however it ends.
. "$(dirname "$0")/lib.sh"

live_begin "sniff at 10,000 packets a second"
firewall "$router" -t mangle -A FORWARD -p udp --dport 5000 -j NFQUEUE --queue-num 3 --queue-bypass

sniff_under_load() {  # title exit-status shell-command
  local status=0
  receiver_start $server_address4
  sender_start $server_address4 from=$client_addresses4 rate=10000
  sleep 0.3
  in_router timeout 20 bash -c "$3" bash "$fettle" "$work/sniffed" 2>"$work/sniff.log" || status=$?
  sleep 0.3
  traffic_stop
  expect_equal "$1: exit status" $status "$2"
  expect_equal "$1: lost" "$lost" 0
  expect_equal "$1: damaged" "$(report receiver corrupt)" 0
  expect_equal "$1: unchanged" "$(report receiver none)" "$(report receiver distinct)"
}

# shellcheck disable=SC2016  # the inner shell's variables
{
  for round in 1 2 3; do
    sniff_under_load "--count, $round" 0 '"$1" sniff --queue 3 --count 50 >"$2"'
    expect_equal "--count, $round: packets shown" "$(grep -c '^packet ' "$work/sniffed")" 50
    expect_match "--count, $round: decoded" "$(head -n 40 "$work/sniffed")" 'destination port +5000'
  done
  for signal in TERM INT; do
    sniff_under_load "SIG$signal" 0 "timeout --foreground -s $signal 0.5 "'"$1" sniff --queue 3 >"$2" || [ $? = 124 ]'
    expect_between "SIG$signal: packets shown" "$(grep -c '^packet ' "$work/sniffed")" 100 100000
  done
  sniff_under_load "a reader that goes away" 74 '"$1" sniff --queue 3 | head -n 1 >"$2"; exit ${PIPESTATUS[0]}'
}
expect_equal "queues that are still bound" "$(in_router sh -c 'wc -l </proc/net/netfilter/nfnetlink_queue')" 0
live_end
