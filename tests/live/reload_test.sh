#!/bin/bash
# SIGHUP under load: each packet is changed by exactly one of the two rule sets, none is lost, and a file
# that is refused changes nothing.
#
#   RELOADS=1000 RATE=50000 tests/live/reload_test.sh   (8, at 20,000 packets a second)
. "$(dirname "$0")/lib.sh"

reloads=${RELOADS:-8}
rate=${RATE:-20000}
live_begin "$reloads reloads at $rate packets a second"

rule_set() {  # bytes at
  printf '[[rule]]\nmatch = { protocol = "udp", dst-port = 5000 }\nsteps = [ { write = "%s", at = %d } ]\n' \
    "$1" "$2"
}
rule_set 46544c31 0 >"$work/one"
rule_set 46544c32 4 >"$work/two"
sed 's/write/wrote/' "$work/one" >"$work/refused"
# Looks into no packet, so that the kernel copies none: what it has to copy changes with the rules.
printf '[[rule]]\nmatch = { hook = "input" }\nsteps = ["drop"]\n' >"$work/metadata"

reload() {  # file pattern-to-wait-for
  local before
  before=$(log_count fettle "$2")
  cp "$work/$1" "$work/rules.toml"
  kill -HUP "$fettle_pid"
  wait_for 10 log_beyond "$before" "$2" || die "no \"$2\" in the log"
}
log_beyond() { [ "$(log_count fettle "$2")" -gt "$1" ]; }

cp "$work/one" "$work/rules.toml"
fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1 --queue-length 65536 --receive-buffer 256M
# No bypass: a queue that were unbound for a moment would show as loss.
firewall "$router" -t mangle -A FORWARD -p udp --dport 5000 -j NFQUEUE --queue-balance 0:1
receiver_start $server_address4
sender_start $server_address4 "from=$client_addresses4" "rate=$rate"
sleep 0.3
for ((i = 1; i <= reloads; ++i)); do
  if ((i % 2)); then reload two reloaded; else reload one reloaded; fi
  sleep "0.$((RANDOM % 3))5"
done
traffic_stop
expect_between "packets sent" "$sent" 20000 100000000
expect_equal "lost" "$lost" 0
expect_equal "duplicated" "$(report receiver duplicated)" 0
expect_equal "damaged" "$(report receiver corrupt)" 0
expect_equal "changed by neither" "$(report receiver none)" 0
expect_equal "changed by both" "$(report receiver both)" 0
expect_between "changed by the first" "$(report receiver first)" 1000 "$sent"
expect_between "changed by the second" "$(report receiver second)" 1000 "$sent"

receiver_start $server_address4
sender_start $server_address4 from=$client_addresses4 rate=20000
sleep 0.3
reload refused "reload refused"
sleep 0.3
traffic_stop
expect_equal "refused file: lost" "$lost" 0
expect_equal "refused file: changed by the rules in force" "$(report receiver first)" "$sent"
log=$(cat "$work/fettle.log")
expect_match "refused file: the log names the place" "$log" 'rules\.toml:3:[0-9]+'
expect_match "refused file: the log quotes what was found" "$log" 'wrote'

reload metadata reloaded
expect_equal "metadata only: copy mode" "$(queue_column "$router" 0 4)" 1
receiver_start $server_address4
sender_start $server_address4 from=$client_addresses4 rate=20000
sleep 0.3
reload one reloaded
sleep 0.3
reload metadata reloaded
sleep 0.3
reload two reloaded
sleep 0.3
traffic_stop
expect_equal "from metadata only and back: lost" "$lost" 0
expect_equal "from metadata only and back: damaged" "$(report receiver corrupt)" 0
expect_between "from metadata only and back: unchanged" "$(report receiver none)" 5000 "$sent"
expect_between "from metadata only and back: changed by the first" "$(report receiver first)" 3000 "$sent"
expect_between "from metadata only and back: changed by the second" "$(report receiver second)" 3000 "$sent"
expect_equal "whole packets again: copy mode" "$(queue_column "$router" 0 4)" 2
# Every rule ran on every packet that it was in force for: a packet that came cut would be a miss.
fettle_stop
expect_equal "misses of the last rules" "$(rule_summary misses "rule 1")" 0
expect_equal "exit status" "$fettle_status" 0
live_end
