#!/bin/bash
# deploy/migration.md: its programs run in the router, then its rules do, on the same datagrams. What leaves has to be the
# same, byte by byte; what the page says about recording and comparing is done as it says.
. "$(dirname "$0")/lib.sh"

count=200
library=${LIBIPQ_LIBRARY:-$root_dir/build/deploy/libipq}
live_begin "the migration page: programs and rules"
for tool in gcc tcpdump tshark; do
  command -v $tool >/dev/null || skip "$tool is not there: deploy/install-dependencies --tests"
done
page=$work/page
mkdir "$page"
"$root_dir/tests/migration_blocks.py" "$page" >"$work/blocks" || die "the page has other blocks than tests know"
ln -s "$(realpath "$fettle")" "$page/fettle"
cd "$page"

for address in 10.20.0.11 10.20.0.12 10.20.0.13 10.9.1.2; do
  add_addresses "$client" eth0 $address/32
  add_neighbours "$router" lan 02 $address
done
ip -n "$router" route add 10.20.0.0/16 dev lan
ip -n "$router" route add 10.9.0.0/16 dev lan

# A block of the page, in the router, where its programs are.
block() {  # name: what it says is in $work/NAME.log
  PATH=$page:$PATH in_router bash -euo pipefail "$1.sh" >"$work/$1.log" 2>&1 || die "the block \"$1\" fails"
}
send() {  # namespace kind
  ip netns exec "$1" "$python" "$live_dir/migration_packets.py" "$2" $count
}
records() { tcpdump -r "$1" 2>/dev/null | wc -l; }
recorded() { [ "$(records "$1")" -ge $count ]; }
queue_is_read() { [ -n "$(queue_column "$router" "$1" 1)" ]; }
same() {  # what one other
  expect_equal "$1" "$("$python" "$live_dir/migration_packets.py" compare "$2" "$3" 2>&1)" "$count packets are the same"
}
# What arrives at an end; the first $count datagrams.
listen() {  # namespace file port
  start listen "$1" tcpdump -U -c $count -i eth0 -Q in -w "$2" "udp dst port $3"
  listen_pid=$started
  wait_for 5 log_has listen listening || die "tcpdump does not listen"
}
listened() { wait_for 10 recorded "$1" || die "$(records "$1") of $count datagrams arrive"; wait "$listen_pid" || true; }

# ---- keepalive.c ------------------------------------------------------------------------------

block build
block firewall
start keepalive "$router" ./keepalive
keepalive_pid=$started
wait_for 5 queue_is_read 0 || die "keepalive does not read its queue"
mapfile -t lines < <(sed -n 's/ &$//p' record.sh)
expect_equal "the block \"record\"" "$(grep -c . record.sh) lines, ${#lines[@]} in the background" "2 lines, 2 in the background"
recorders=()
for line in 0 1; do
  start "record$line" "$router" bash -c "exec ${lines[line]}"
  recorders+=("$started")
  wait_for 5 log_has "record$line" listening || die "tcpdump does not listen"
done
listen "$server" "$work/outward.program" 1331
send "$client" keepalives
listened "$work/outward.program"
wait_for 5 recorded before.pcap || fail "before.pcap has $(records before.pcap) datagrams"
wait_for 5 recorded after.pcap || fail "after.pcap has $(records after.pcap) datagrams"
for pid in "${recorders[@]}"; do kill -TERM "$pid"; wait "$pid" || true; done
listen "$client" "$work/inward.program" 1331
send "$server" answers
listened "$work/inward.program"
listen "$server" "$work/damaged.program" 1331
send "$client" damaged
listened "$work/damaged.program"
kill -TERM "$keepalive_pid"
wait "$keepalive_pid" || true

block compare
expect_equal "the page's comparison" "$(tail -n 1 "$work/compare.log")" "the same"
expect_equal "datagrams that the program has changed" \
  "$(tshark -r "$work/outward.program" -T fields -e udp.payload 2>/dev/null | grep -c cb00710)" \
  "$(tshark -r by-the-rules.pcap -T fields -e udp.payload 2>/dev/null | grep -c cb00710)"

read -ra arguments < <(sed -n 's/^fettle run //p' run.sh)
fettle_start "$router" "${arguments[@]}"
listen "$server" "$work/outward.rules" 1331
send "$client" keepalives
listened "$work/outward.rules"
listen "$client" "$work/inward.rules" 1331
send "$server" answers
listened "$work/inward.rules"
listen "$server" "$work/damaged.rules" 1331
send "$client" damaged
listened "$work/damaged.rules"
fettle_stop
same "keep-alives, by the program and by the rules" "$work/outward.program" "$work/outward.rules"
same "answers, by the program and by the rules" "$work/inward.program" "$work/inward.rules"
expect_equal "keep-alives that the rules saw" "$(rule_summary hits "keep-alive to the central system")" $((2 * count))
expect_between "and changed" "$(queue_summary changed)" $((count * 21 / 10)) $((count * 24 / 10))
checksums() {  # file: how many have a payload that was changed, and which checksums
  tshark -r "$1" -o udp.check_checksum:TRUE -T fields -e udp.checksum.status udp.payload contains cb:00:71:0b 2>/dev/null |
    sort | uniq -c | awk '{ printf "%s of status %s", $1, $2 }'
}
expect_equal "wrong checksums, by the program" "$(checksums "$work/damaged.program")" "$count of status 1"
expect_equal "wrong checksums, by the rules" "$(checksums "$work/damaged.rules")" "$count of status 0"
in_router iptables -t mangle -F FORWARD

# ---- devices.py -------------------------------------------------------------------------------

block firewall-devices
# Behind all other folders: the package itself, where it is there.
start devices "$router" env "PYTHONPATH=$("$python" -c 'import sys; print(":".join(p for p in sys.path if p))'):$live_dir/stand_in" \
  "$python" devices.py
devices_pid=$started
wait_for 20 queue_is_read 1 || die "devices.py does not read its queue"
listen "$server" "$work/texts.program" 9999
send "$client" texts
listened "$work/texts.program"
kill -TERM "$devices_pid"
wait "$devices_pid" || true
fettle_start "$router" --rules devices.toml --queue-balance 1
listen "$server" "$work/texts.rules" 9999
send "$client" texts
listened "$work/texts.rules"
fettle_stop
same "datagrams, by devices.py and by the rule" "$work/texts.program" "$work/texts.rules"
expect_equal "of these changed" "$(queue_summary changed)" $((count * 2 / 5))
in_router iptables -t mangle -F FORWARD

# ---- passer.c ---------------------------------------------------------------------------------

cp "$root_dir/tests/libipq/passer.c" .
expect_equal "the block \"libipq\" ends so" "$(tail -n 1 libipq.sh)" "./passer &"
sed -i '$s/.*/exec .\/passer/' libipq.sh
start passer "$router" env "CPATH=$root_dir/deploy/libipq" "LIBRARY_PATH=$library" "LD_LIBRARY_PATH=$library" \
  bash libipq.sh
passer_pid=$started
wait_for 20 queue_is_read 0 || die "passer does not read its queue"
cat >"$work/ping.py" <<'PYTHON'
import socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
s.connect(("10.2.0.2", 0))
s.settimeout(2)
s.send(struct.pack(">BBHHH", 8, 0, 0xffff - 0x0800 - 1, 1, 0))
print("type", s.recv(100)[20])
PYTHON
expect_equal "an echo through passer" "$(in_router "$python" "$work/ping.py")" "type 0"
expect_equal "it came by the queue" "$(queue_column "$router" 0 8)" 1
kill -TERM "$passer_pid"
wait "$passer_pid" || true
expect_equal "without passer it is dropped" "$(in_router "$python" "$work/ping.py" 2>&1 | grep -c TimeoutError)" 1
expect_equal "checksum errors, of the rules' alone" $(($(checksum_errors "$server") + $(checksum_errors "$client"))) $count
live_end
