#!/bin/bash
# deploy/recipes/ttl-dscp.toml: what the server gets, as tcpdump sees it there, without the recipe and with it.
. "$(dirname "$0")/lib.sh"

live_begin "TTL and class of service, as they arrive"
command -v tcpdump >/dev/null || skip "tcpdump is not there: deploy/install-dependencies --tests"
start tcpdump "$server" tcpdump -l -nn -v -i eth0 udp
wait_for 10 log_has tcpdump "listening on" || die "tcpdump does not listen"

# From 6000 (a call), 5060 (signalling), 40000 (all else, and it calls itself urgent), each with a TTL of 128.
send() {  # number of the try: the destination port is 7000 and that
  in_client "$python" - "$1" $server_address4 $server_address6 <<'PYTHON'
import socket, sys
for address in sys.argv[2:]:
    v6 = ":" in address
    level = socket.IPPROTO_IPV6 if v6 else socket.IPPROTO_IP
    for port, tos in ((6000, 0x02), (5060, 0), (40000, 0xb8)):
        s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(("", port))
        s.setsockopt(level, socket.IPV6_TCLASS if v6 else socket.IP_TOS, tos)
        s.setsockopt(level, socket.IPV6_UNICAST_HOPS if v6 else socket.IP_TTL, 128)
        s.sendto(b"x" * 20, (address, 7000 + int(sys.argv[1])))
PYTHON
}

# family, source port, class and ECN, TTL of the packets to a destination port, a line each.
seen() {  # destination-port
  awk -v port="$1" '
    /IP6? / {
      family = / IP6 / ? "ipv6" : "ipv4"
      class = "0x0"
      if (match($0, /(tos|class) 0x[0-9a-f]+/)) class = substr($0, RSTART, RLENGTH)
      sub(/.* /, "", class)
      if (class ~ /^0x0.$/) sub(/^0x0/, "0x", class)
      match($0, /(ttl|hlim) [0-9]+/)
      ttl = substr($0, RSTART, RLENGTH)
      sub(/.* /, "", ttl)
    }
    match($0, /[.][0-9]+ > [^ ]*[.]/) && index($0, "." port ": ") {
      source = substr($0, RSTART + 1)
      sub(/ .*/, "", source)
      print family, source, class, ttl
    }' "$work/tcpdump.log" | sort
}
all_seen() { [ "$(seen "$1" | wc -l)" = 6 ]; }

expect_seen() {  # what destination-port line...
  wait_for 5 all_seen "$2" || fail "$1: six packets did not arrive"
  expect_equal "$1" "$(seen "$2" | tr '\n' ',')" "$(printf '%s,' "${@:3}")"
}

send 1
expect_seen "without the recipe" 7001 "ipv4 40000 0xb8 127" "ipv4 5060 0x0 127" "ipv4 6000 0x2 127" \
  "ipv6 40000 0xb8 127" "ipv6 5060 0x0 127" "ipv6 6000 0x2 127"

fettle_start "$router" --rules "$root_dir/deploy/recipes/ttl-dscp.toml" --queue-balance 0:1
firewall "$router" -t mangle -A POSTROUTING -o wan -j NFQUEUE --queue-balance 0:1
send 2
expect_seen "with the recipe" 7002 "ipv4 40000 0x0 64" "ipv4 5060 0x60 64" "ipv4 6000 0xba 64" \
  "ipv6 40000 0x0 64" "ipv6 5060 0x60 64" "ipv6 6000 0xba 64"
expect_equal "checksum errors" "$(checksum_errors "$server")" 0
firewall "$router" -t mangle -F POSTROUTING
fettle_stop
expect_equal "exit status" "$fettle_status" 0
live_end
