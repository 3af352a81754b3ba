#!/bin/bash
# A table of streams that is too small: connections that end make room for those that begin, which do not push each
# other out; those beyond it pass unedited, are counted, and the log says what to turn.
. "$(dirname "$0")/lib.sh"

live_begin "more TCP connections than --streams"
connections() { # name what argument...
  in_client timeout 120 "$python" "$live_dir/small_connections.py" "$2" $server_address4 5001 "${@:3}" >"$work/$1.log" 2>&1 ||
    die "$1 failed: $(cat "$work/$1.log")"
  printf '%s: %s\n' "$1" "$(tail -n 1 "$work/$1.log")"
}
untracked() {
  "$fettle" status --json --control "$work/control" | "$python" -c '
import json, sys
print(sum(queue["loss"]["untracked"] for queue in json.load(sys.stdin)["queues"]))'
}

fettle_start "$router" --rules "$live_dir/edited_stream.toml" --queue-balance 0:0 --streams 64
in_router iptables -t mangle -A FORWARD -p tcp -m multiport --ports 5001 -j NFQUEUE --queue-num 0
start server "$server" "$python" "$live_dir/small_connections.py" serve $server_address4 5001
wait_for 10 log_has server listening || die "the server does not listen"

connections one-after-another ask 3000 6
expect_equal "edited" "$(report one-after-another edited)" 3000
expect_equal "segments without a place" "$(untracked)" 0

connections all-at-a-time keep 200
edited=$(report all-at-a-time edited)
expect_between "edited" "$edited" 40 64
expect_equal "unedited" "$(report all-at-a-time plain)" $((200 - edited))
expect_between "segments without a place" "$(untracked)" $((136 * 4)) 4000
told() { log_has fettle 'TCP segments were not edited.*raise --streams .now 64'; }
wait_for 5 told || fail "the log does not say what to turn"

# What ended leaves its place to what begins.
connections afterwards ask 300 3
expect_equal "edited" "$(report afterwards edited)" 300
fettle_stop
expect_equal "exit status" "$fettle_status" 0
live_end
