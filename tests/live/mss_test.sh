#!/bin/bash
# A transfer through a link of MTU 1300 whose ICMP errors nobody sees: with deploy/recipes/mss-clamping.toml it
# goes through, without the recipe not a byte arrives. IPv4 and IPv6, the server's side and the client's.
. "$(dirname "$0")/lib.sh"

recipe=$root_dir/deploy/recipes/mss-clamping.toml
bytes=2000000
live_begin "TCP through a path-MTU black hole"
for tool in curl ethtool; do
  command -v $tool >/dev/null || skip "$tool is not there: deploy/install-dependencies --tests"
done

while read -r ns device; do
  ip netns exec "$ns" ethtool -K "$device" tso off gso off gro off >/dev/null
done <<<"$client eth0
$router lan
$router wan
$server eth0"
ip -n "$router" link set wan mtu 1300
in_router iptables -A OUTPUT -p icmp --icmp-type fragmentation-needed -j DROP
in_router ip6tables -A OUTPUT -p ipv6-icmp --icmpv6-type packet-too-big -j DROP

head -c $bytes /dev/urandom >"$work/big"
echo hello >"$work/small"
start web4 "$server" "$python" -u -m http.server 8000 --bind $server_address4 --directory "$work"
start web6 "$server" "$python" -u -m http.server 8000 --bind $server_address6 --directory "$work"
start inside "$client" "$python" -u -m http.server 8000 --bind $client_address4 --directory "$work"
for name in web4 web6 inside; do
  wait_for 10 log_has $name Serving || die "the web server does not listen"
done

size() {  # namespace url seconds
  ip netns exec "$1" curl -s -m "$3" -o "$work/got" -w '%{size_download}' "$2" || true
}

fetch_all() {  # bytes wanted, seconds
  expect_equal "IPv4, bytes from the server" "$(size "$client" http://$server_address4:8000/big "$2")" "$1"
  expect_equal "IPv6, bytes from the server" "$(size "$client" "http://[$server_address6]:8000/big" "$2")" "$1"
  expect_equal "IPv4, bytes to the server's side" "$(size "$server" http://$client_address4:8000/big "$2")" "$1"
}

printf 'without fettle\n'
fetch_all 0 2
expect_equal "a small file arrives all the same" "$(size "$client" http://$server_address4:8000/small 2)" 6

printf 'with fettle\n'
fettle_start "$router" --rules "$recipe" --queue-balance 0:1
firewall "$router" -t mangle -A FORWARD -i wan -p tcp --tcp-flags SYN,RST SYN -j NFQUEUE --queue-balance 0:1
firewall "$router" -t mangle -A FORWARD -o wan -p tcp --tcp-flags SYN,RST SYN -j NFQUEUE --queue-balance 0:1
fetch_all $bytes 10
expect_equal "what arrived is what was sent" "$(cmp -s "$work/big" "$work/got" && echo yes)" yes
firewall "$router" -t mangle -F FORWARD
fettle_stop
expect_equal "exit status" "$fettle_status" 0
expect_equal "SYNs that were queued" "$(queue_summary packets)" 6
expect_equal "and changed" "$(queue_summary changed)" 6
live_end
