#!/bin/bash
# fettle sniff on a queue: prints what passes, decoded, and accepts it unchanged. A rule that is there before the
# queue is bound feeds `fettle run` from its first moment: what comes before the bind is acknowledged is changed, too.
. "$(dirname "$0")/lib.sh"

live_begin "sniff on a queue; a rule that is there before the queue"

bound() { [ -n "$(queue_column "$router" "$1" 2)" ]; }

start sniff "$router" "$fettle" sniff --queue 3
sniff_pid=$started
wait_for 5 bound 3 || die "sniff does not bind its queue"
firewall "$router" -t mangle -A FORWARD -p udp --dport 5000 -j NFQUEUE --queue-num 3 --queue-bypass
receiver_start $server_address4
sender_start $server_address4 from=$client_addresses4 rate=500
sleep 1
traffic_stop
expect_equal "lost" "$lost" 0
expect_equal "unchanged" "$(report receiver none)" "$sent"
expect_equal "printed" "$(log_count sniff '^packet [0-9]+, id [0-9]+, hook forward, in [a-z]')" "$sent"
expect_equal "decoded, with good or unfinished checksums" "$(log_count sniff 'destination port +5000')" "$sent"
start second "$router" "$fettle" sniff --queue 3
status=0
wait "$started" || status=$?
expect_equal "a second one: exit status" $status 69
expect_match "a second one: names the owner" "$(cat "$work/second.log")" "fettle \(process $sniff_pid\)"
end_process "$sniff_pid"
firewall "$router" -t mangle -F FORWARD

printf '[[rule]]\nmatch = { dst-port = 5000 }\nsteps = [ { write = "46544c31", at = 0 } ]\n' >"$work/rules.toml"
firewall "$router" -t mangle -A FORWARD -p udp --dport 5000 -j NFQUEUE --queue-num 4 --queue-bypass
receiver_start $server_address4
sender_start $server_address4 from=$client_addresses4 rate=20000
sleep 0.2
fettle_start "$router" --rules "$work/rules.toml" --queue-balance 4
sleep 0.5
traffic_stop
# Between the queue's making and its copy mode, which one message sets, the kernel itself drops what comes
# (net/netfilter/nfnetlink_queue.c: nfqnl_recv_config); a rule that is entered after the bind avoids it.
expect_between "bound under load: lost" "$lost" 0 100
expect_equal "bound under load: damaged" "$(report receiver corrupt)" 0
expect_between "bound under load: passed before it" "$(report receiver none)" 1000 "$sent"
changed=$(report receiver first)
expect_between "bound under load: changed" "$changed" 5000 "$sent"
fettle_stop
# All that ever entered the queue was changed.
expect_equal "packets of the summary" "$(queue_summary packets)" "$changed"
live_end
