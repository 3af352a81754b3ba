#!/bin/bash
# A TCP transfer whose stream is edited and changes its length, through a bad network on both sides of the editor:
# lost, reordered, late and corrupted packets. What arrives is the edited plain stream, byte for byte.
#
#   BYTES=1073741824 tests/live/edited_transfer_test.sh     by hand: as much as one likes
#   CONNECTIONS=64                                          so many at a time, BYTES on each, up to 100
#   KIND=dense, PLACES="server"                             many edits; the bad network before one end only
. "$(dirname "$0")/lib.sh"

bytes=${BYTES:-200000}
kind=${KIND:-edited}
places=${PLACES:-client server}
connections=${CONNECTIONS:-1}
live_begin "$bytes bytes of $connections edited TCP streams through a bad network"

cat >"$work/bad.toml" <<'RULES'
[[rule]]
match = { protocol = "tcp" }
steps = [ { corrupt = "1%" }, { lose = "5%" }, { delay = "2ms", jitter = "1ms" }, { reorder = "25%", by = "3ms" } ]
RULES

judge() {  # client server: what they report
  printf '        client: %s\n        server: %s\n' "$(tail -n 1 "$work/$1.log")" "$(tail -n 1 "$work/$2.log")"
  expect_between "bytes sent" "$(report "$1" sent)" "$bytes" $((bytes + 80000))
  expect_equal "bytes that arrive" "$(report "$2" bytes)" "$(report "$1" bytes)"
  expect_equal "first wrong one" "$(report "$2" wrong_at)" -1
  expect_equal "SHA-256 of the edited stream" "$(report "$2" sha256)" "$(report "$1" sha256)"
  expect_equal "acknowledgements that come back" "$(report "$1" lines)" "$(report "$2" lines)"
  expect_equal "first wrong one" "$(report "$1" lines_wrong_at)" -1
}

transfer() {  # flag place: of the bad network
  local ns=$server bad_pid
  [ "$2" = server ] || ns=$client
  printf '%s, the bad network before the %s\n' "$1" "$2"
  start bad "$ns" "$fettle" run --rules "$work/bad.toml" --queue-balance 7:7 --no-gso
  bad_pid=$started
  wait_for 10 log_has bad ready || die "the bad network does not get ready"
  fettle_start "$router" --rules "$live_dir/edited_stream.toml" --queue-balance 0:0 --stream-wait 200 "$1"
  in_router iptables -t mangle -A FORWARD -p tcp -m multiport --ports 5001:5100 -j NFQUEUE --queue-num 0
  ip netns exec "$ns" iptables -A INPUT -p tcp -j NFQUEUE --queue-num 7
  ip netns exec "$ns" iptables -A OUTPUT -p tcp -j NFQUEUE --queue-num 7
  local i servers=() clients=()
  for ((i = 1; i <= connections; i++)); do
    start "server$i" "$server" "$python" "$live_dir/edited_stream.py" serve $server_address4 $((5000 + i)) "$i" "$kind"
    servers+=("$started")
  done
  for ((i = 1; i <= connections; i++)); do
    wait_for 60 log_has "server$i" listening || die "server $i does not listen"
    start "client$i" "$client" "$python" "$live_dir/edited_stream.py" send $server_address4 $((5000 + i)) "$i" "$kind" \
      "$bytes"
    clients+=("$started")
  done
  for ((i = 1; i <= connections; i++)); do
    wait "${clients[i - 1]}" || die "client $i failed"
    wait "${servers[i - 1]}" || die "server $i failed"
    judge "client$i" "server$i"
  done
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
