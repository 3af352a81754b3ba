#!/bin/bash
# A sender whose buffer ends in the middle of what a rule matches, and that has no room for the rest until the first
# part is acknowledged: the match is found all the same. And one a thousand of whose segments wait for the
# next one, each for a moment: room to hold them is used again.
. "$(dirname "$0")/lib.sh"

live_begin "matches that segments' ends cut"

transfer() {  # flag kind bytes
  printf '%s, %s, %s bytes\n' "$1" "$2" "$3"
  fettle_start "$router" --rules "$live_dir/edited_stream.toml" --queue-balance 0:0 --stream-wait 200 "$1"
  in_router iptables -t mangle -A FORWARD -p tcp -m multiport --ports 5001 -j NFQUEUE --queue-num 0
  start server "$server" "$python" "$live_dir/edited_stream.py" serve $server_address4 5001 3 "$2"
  server_pid=$started
  wait_for 10 log_has server listening || die "the server does not listen"
  start client "$client" "$python" "$live_dir/edited_stream.py" send $server_address4 5001 3 "$2" "$3"
  wait "$started" || die "the client failed"
  wait "$server_pid" || die "the server failed"
  expect_between "bytes sent" "$(report client sent)" "$3" $(($3 + 70000))
  expect_equal "first wrong one" "$(report server wrong_at)" -1
  expect_equal "SHA-256 of the edited stream" "$(report server sha256)" "$(report client sha256)"
  expect_equal "first wrong acknowledgement" "$(report client lines_wrong_at)" -1
  in_router iptables -t mangle -F FORWARD
  fettle_stop
  expect_equal "exit status" "$fettle_status" 0
  grep 'TCP segments' "$work/fettle.log" || fail "no segment was edited"
}
streams() {  # waited, or "repeated": segments, as the summary says
  sed -n "s/.*TCP segments.*$1 \([0-9]*\).*/\1/p" "$work/fettle.log"
}

transfer --gso cut 1000000
transfer --no-gso cut 1000000
transfer --no-gso dense 20000000
expect_between "left to be repeated" "$(streams repeated)" 0 100
# How often a fast sender's segments wait is the machine's affair (202 to 1,500 times in these 20 MB); a thousand of
# this one's have to.
transfer --no-gso halved 1000000
expect_between "segments that waited" "$(streams waited)" 513 1000000
expect_between "left to be repeated" "$(streams repeated)" 0 100
live_end
