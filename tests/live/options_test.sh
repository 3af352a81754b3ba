#!/bin/bash
# IPv4 options are stripped on a real router, which fills in a record route itself: before it looks for
# options and after it is done with them they go; in between they stay, and it is a miss.
#
#   options_test.sh
. "$(dirname "$0")/lib.sh"

count=20
no_operations=010101010101010101010101

live_begin "options: a record route is stripped"

cat >"$work/rules.toml" <<RULES
[[rule]]
name = "strip"
match = { protocol = "udp", dst-port = 5000 }
steps = [ { strip = "ip-options" } ]
RULES

# Prints the destination and the options of each datagram that comes.
cat >"$work/receive.py" <<'PYTHON'
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
s.settimeout(5)
print("listening", flush=True)
left = int(sys.argv[1])
while left:
    p = s.recv(2048)
    header = (p[0] & 15) * 4
    if p[header + 2:header + 4] == (5000).to_bytes(2, "big"):
        print("got", socket.inet_ntoa(p[16:20]), p[20:header].hex(), flush=True)
        left -= 1
PYTHON

# A record route with room for two addresses.
cat >"$work/send.py" <<'PYTHON'
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, bytes.fromhex("070b04" + "00" * 9))
for _ in range(int(sys.argv[2])):
    s.sendto(b"x" * 40, (sys.argv[1], 5000))
    time.sleep(0.002)
PYTHON

pass_through() {  # table chain
  start receiver "$server" "$python" "$work/receive.py" $count
  receiver_pid=$started
  wait_for 5 log_has receiver listening || die "the receiver does not listen"
  fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1
  firewall "$router" -t "$1" -A "$2" -p udp --dport 5000 -j NFQUEUE --queue-balance 0:1
  in_client "$python" "$work/send.py" $server_address4 $count
  wait "$receiver_pid" || die "$2: not all datagrams came"
  firewall "$router" -t "$1" -F "$2"
  fettle_stop
  expect_equal "$2: exit status" "$fettle_status" 0
}

# On the way out the client writes its address into the record, then the router its own.
for place in "raw PREROUTING" "mangle POSTROUTING"; do
  # shellcheck disable=SC2086  # two words
  pass_through $place
  expect_equal "$place: arrived at its address without options" \
    "$(log_count receiver "^got $server_address4 $no_operations\$")" $count
  expect_equal "$place: misses" "$(rule_summary misses strip)" 0
done
pass_through mangle FORWARD
expect_equal "FORWARD: arrived at its address with what the router recorded" \
  "$(log_count receiver "^got $server_address4 070b0c0a0100020a020001")" $count
expect_equal "FORWARD: misses" "$(rule_summary misses strip)" $count
live_end
