#!/bin/bash
# A TCP transfer whose stream is edited and changes its length, through a bad network on both sides of the editor:
# lost, reordered, late and corrupted packets. What arrives is the edited plain stream, byte for byte.
#
#   BYTES=1073741824 tests/live/edited_transfer_test.sh     by hand: as much as one likes
#   KIND=dense, PLACES="server"                             many edits; the bad network before one end only
. "$(dirname "$0")/lib.sh"

bytes=${BYTES:-200000}
kind=${KIND:-edited}
places=${PLACES:-client server}
live_begin "$bytes bytes of an edited TCP stream through a bad network"

cat >"$work/bad.toml" <<'RULES'
[[rule]]
match = { protocol = "tcp" }
steps = [ { corrupt = "1%" }, { lose = "5%" }, { delay = "2ms", jitter = "1ms" }, { reorder = "25%", by = "3ms" } ]
RULES

transfer() {  # flag place: of the bad network
  local ns=$server bad_pid
  [ "$2" = server ] || ns=$client
  printf '%s, the bad network before the %s\n' "$1" "$2"
  start bad "$ns" "$fettle" run --rules "$work/bad.toml" --queue-balance 7:7 --no-gso
  bad_pid=$started
  wait_for 10 log_has bad ready || die "the bad network does not get ready"
  fettle_start "$router" --rules "$live_dir/edited_stream.toml" --queue-balance 0:0 --stream-wait 200 "$1"
  in_router iptables -t mangle -A FORWARD -p tcp -m multiport --ports 5001 -j NFQUEUE --queue-num 0
  ip netns exec "$ns" iptables -A INPUT -p tcp -j NFQUEUE --queue-num 7
  ip netns exec "$ns" iptables -A OUTPUT -p tcp -j NFQUEUE --queue-num 7
  start server "$server" "$python" "$live_dir/edited_stream.py" serve $server_address4 5001 2 "$kind"
  server_pid=$started
  wait_for 10 log_has server listening || die "the server does not listen"
  start client "$client" "$python" "$live_dir/edited_stream.py" send $server_address4 5001 2 "$kind" "$bytes"
  wait "$started" || die "the client failed"
  wait "$server_pid" || die "the server failed"
  printf '        client: %s\n        server: %s\n' "$(tail -n 1 "$work/client.log")" "$(tail -n 1 "$work/server.log")"
  expect_between "bytes sent" "$(report client sent)" "$bytes" $((bytes + 70000))
  expect_equal "bytes that arrive" "$(report server bytes)" "$(report client bytes)"
  expect_equal "first wrong one" "$(report server wrong_at)" -1
  expect_equal "SHA-256 of the edited stream" "$(report server sha256)" "$(report client sha256)"
  expect_equal "acknowledgements that come back" "$(report client lines)" "$(report server lines)"
  expect_equal "first wrong one" "$(report client lines_wrong_at)" -1
  ip netns exec "$ns" iptables -F
  in_router iptables -t mangle -F FORWARD
  kill -TERM "$bad_pid"
  wait "$bad_pid" || fail "the bad network failed"
  fettle_stop
  expect_equal "exit status" "$fettle_status" 0
  grep 'TCP segments' "$work/fettle.log" || true
}

for place in $places; do
  transfer --gso "$place"
  transfer --no-gso "$place"
done
live_end
