#!/bin/bash
# A TCP transfer whose stream is edited and changes its length, through a bad network on both sides of the editor:
# lost, reordered, late and corrupted packets. What arrives is the edited plain stream, byte for byte. The bad network
# is a second fettle, and the kernel's netem where it has one (tests/vm/run edited_transfer), which doubles packets, too.
#
#   BYTES=1073741824 tests/live/edited_transfer_test.sh     by hand: as much as one likes
#   CONNECTIONS=64                                          so many at a time, BYTES on each, up to 100
#   KIND=dense, PLACES="server"                             many edits; the bad network before one end only
#   NETWORKS="netem"                                        by one of them only
. "$(dirname "$0")/lib.sh"

bytes=${BYTES:-200000}
kind=${KIND:-edited}
places=${PLACES:-client server}
networks=${NETWORKS:-fettle netem}
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

# Both directions of an end's link.
netem() {  # add|del namespace router-device
  local bad=()
  [ "$1" = del ] || bad=(netem delay 2ms 1ms loss 5% duplicate 5% corrupt 1% reorder 25% limit 20000)
  ip netns exec "$2" tc qdisc "$1" dev eth0 root "${bad[@]}" && in_router tc qdisc "$1" dev "$3" root "${bad[@]}"
}

bad_network() {  # on|off fettle|netem client|server
  local ns=$server device=wan
  [ "$3" = server ] || ns=$client device=lan
  case $2$1 in
    netemon) netem add "$ns" $device || die "no netem" ;;
    netemoff) netem del "$ns" $device ;;
    fettleon)
      start bad "$ns" "$fettle" run --control "$work/bad" --rules "$work/bad.toml" --queue-balance 7:7 --no-gso
      bad_pid=$started
      wait_for 10 log_has bad ready || die "the bad network does not get ready"
      ip netns exec "$ns" iptables -A INPUT -p tcp -j NFQUEUE --queue-num 7
      ip netns exec "$ns" iptables -A OUTPUT -p tcp -j NFQUEUE --queue-num 7
      ;;
    fettleoff)
      ip netns exec "$ns" iptables -F
      kill -TERM "$bad_pid"
      wait "$bad_pid" || fail "the bad network failed"
      ;;
  esac
}

transfer() {  # flag place network
  printf '%s, the bad network (%s) before the %s\n' "$1" "$3" "$2"
  bad_network on "$3" "$2"
  fettle_start "$router" --rules "$live_dir/edited_stream.toml" --queue-balance 0:0 --stream-wait 200 "$1"
  in_router iptables -t mangle -A FORWARD -p tcp -m multiport --ports 5001:5100 -j NFQUEUE --queue-num 0
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
  bad_network off "$3" "$2"
  in_router iptables -t mangle -F FORWARD
  fettle_stop
  expect_equal "exit status" "$fettle_status" 0
  grep 'TCP segments' "$work/fettle.log" || true
}

for network in $networks; do
  if [ "$network" = netem ] && ! netem add "$server" wan 2>/dev/null; then
    printf '  (no netem in this kernel: not tried)\n'
    continue
  fi
  [ "$network" != netem ] || netem del "$server" wan
  for place in $places; do
    transfer --gso "$place" "$network"
    transfer --no-gso "$place" "$network"
  done
done
live_end
