#!/bin/bash
# A sender whose buffer ends in the middle of what a rule matches, and that has no room for the rest until the first
# part is acknowledged: the match is found all the same.
. "$(dirname "$0")/lib.sh"

bytes=${BYTES:-1000000}
live_begin "$bytes bytes of an edited TCP stream from a sender with a small buffer"

cat >"$work/rules.toml" <<'RULES'
[[rule]]
match = { protocol = "tcp", port = 5001, tcp-flags = "syn" }
steps = [ { clamp-mss = 1200 } ]

[[rule]]
match = { protocol = "tcp", port = 5001 }
steps = [ { replace = '<(g+)>', with = '<$1$1$1>' }, { replace = '\[s+\]', with = '' } ]
RULES

transfer() {  # flag
  printf '%s\n' "$1"
  fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:0 --stream-wait 200 "$1"
  in_router iptables -t mangle -A FORWARD -p tcp -m multiport --ports 5001 -j NFQUEUE --queue-num 0
  start server "$server" "$python" "$live_dir/edited_stream.py" serve $server_address4 5001 3 cut
  server_pid=$started
  wait_for 10 log_has server listening || die "the server does not listen"
  start client "$client" "$python" "$live_dir/edited_stream.py" send $server_address4 5001 3 cut "$bytes"
  wait "$started" || die "the client failed"
  wait "$server_pid" || die "the server failed"
  expect_between "bytes sent" "$(report client sent)" "$bytes" $((bytes + 70000))
  expect_equal "first wrong one" "$(report server wrong_at)" -1
  expect_equal "SHA-256 of the edited stream" "$(report server sha256)" "$(report client sha256)"
  expect_equal "first wrong acknowledgement" "$(report client lines_wrong_at)" -1
  in_router iptables -t mangle -F FORWARD
  fettle_stop
  expect_equal "exit status" "$fettle_status" 0
  grep 'TCP segments' "$work/fettle.log" || fail "no segment was edited"
}

transfer --gso
transfer --no-gso
live_end
