#!/bin/bash
# However fettle sniff leaves a queue under load, no packet is lost: those that wait are answered, and later
# ones pass.
. "$(dirname "$0")/lib.sh"

live_begin "sniff leaves a queue at 10,000 packets a second"
rule=(FORWARD -p udp --dport 5000 -j NFQUEUE --queue-num 3 --queue-bypass)
bound() { [ -n "$(queue_column "$router" 3 2)" ]; }
gone() { ! kill -0 "$sniff_pid" 2>/dev/null; }

# The rule comes after the bind, in whose middle the kernel itself drops packets.
leave_under_load() {  # title exit-status signal-or-nothing shell-command
  local status=0
  receiver_start $server_address4
  sender_start $server_address4 from=$client_addresses4 rate=10000
  start sniff "$router" bash -c "$4" bash "$fettle" "$work/sniffed"
  sniff_pid=$started
  wait_for 5 bound || die "sniff does not bind its queue"
  firewall "$router" -t mangle -A "${rule[@]}"
  sleep 0.3
  [ -z "$3" ] || kill "-$3" "$sniff_pid"
  wait_for 10 gone || fail "$1: does not end"
  wait "$sniff_pid" || status=$?
  sleep 0.2
  traffic_stop
  firewall "$router" -t mangle -D "${rule[@]}"
  expect_equal "$1: exit status" $status "$2"
  expect_equal "$1: lost" "$lost" 0
  expect_equal "$1: unchanged" "$(report receiver none)" "$sent"
}

# shellcheck disable=SC2016  # the inner shell's variables
{
  for round in 1 2 3; do
    leave_under_load "--count, $round" 0 "" 'exec "$1" sniff --queue 3 --count 50 >"$2"'
    expect_equal "--count, $round: packets shown" "$(grep -c '^packet ' "$work/sniffed")" 50
  done
  for signal in TERM INT; do
    leave_under_load "SIG$signal" 0 $signal 'exec "$1" sniff --queue 3 >"$2"'
    expect_between "SIG$signal: packets shown" "$(grep -c '^packet ' "$work/sniffed")" 100 100000
  done
  leave_under_load "a reader that goes away" 74 "" '"$1" sniff --queue 3 | head -n 1 >"$2"; exit ${PIPESTATUS[0]}'
  expect_match "a reader that goes away: said" "$(cat "$work/sniff.log")" 'cannot write standard output: Broken pipe'
}

expect_equal "queues that are still bound" "$(in_router sh -c 'wc -l </proc/net/netfilter/nfnetlink_queue')" 0
live_end
