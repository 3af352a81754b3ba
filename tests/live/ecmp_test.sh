#!/bin/bash
# Several routers between two that spread what passes (ECMP), by the hash that deploy/scale.md has: both directions of
# each connection come to one router, and streams whose edits change their length arrive whole. With other settings they
# do not.
#
#   client - front - router 1, router 2 - back - server
. "$(dirname "$0")/lib.sh"

front=fettle$$-front
back=fettle$$-back
second=fettle$$-second
spaces+=("$front" "$back" "$second")
routers=("$router" "$second")

link() {  # namespace device address namespace device address
  ip link add "$2" netns "$1" type veth peer name "$5" netns "$4"
  add_addresses "$1" "$2" "$3"
  add_addresses "$4" "$5" "$6"
  ip -n "$1" link set dev "$2" up
  ip -n "$4" link set dev "$5" up
}

build_network() {
  local ns i last
  for ns in "${spaces[@]}"; do
    ip netns add "$ns"
    ip -n "$ns" link set lo up
    ip netns exec "$ns" sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 \
      net.ipv4.conf.default.rp_filter=0
  done
  link "$client" eth0 10.1.0.2/24 "$front" clients 10.1.0.1/24
  link "$server" eth0 $server_address4/24 "$back" servers 10.2.0.1/24
  for last in 3 4 5 6 7 8 9; do add_addresses "$client" eth0 "10.1.0.$last/24"; done
  for i in 1 2; do
    ns=${routers[i - 1]}
    link "$front" "to$i" "10.11.$i.1/24" "$ns" lan "10.11.$i.2/24"
    link "$back" "to$i" "10.12.$i.1/24" "$ns" wan "10.12.$i.2/24"
    ip -n "$ns" route add 10.1.0.0/24 via "10.11.$i.1"
    ip -n "$ns" route add 10.2.0.0/24 via "10.12.$i.1"
  done
  ip -n "$client" route add default via 10.1.0.1
  ip -n "$server" route add default via 10.2.0.1
  # In the same order on both sides.
  ip -n "$front" route add 10.2.0.0/24 nexthop via 10.11.1.2 nexthop via 10.11.2.2
  ip -n "$back" route add 10.1.0.0/24 nexthop via 10.12.1.2 nexthop via 10.12.2.2
}

live_begin "two routers, between two that spread by a symmetric hash"
[ -e /proc/sys/net/ipv4/fib_multipath_hash_seed ] || skip "this kernel's hash has no seed that can be set (Linux 6.11)"

spread() {  # policy, fields of policy 3, seed at the front, seed at the back
  in_front sysctl -qw "net.ipv4.fib_multipath_hash_policy=$1" "net.ipv4.fib_multipath_hash_fields=$2" \
    "net.ipv4.fib_multipath_hash_seed=$3"
  in_back sysctl -qw "net.ipv4.fib_multipath_hash_policy=$1" "net.ipv4.fib_multipath_hash_fields=$2" \
    "net.ipv4.fib_multipath_hash_seed=$4"
}
in_front() { ip netns exec "$front" "$@"; }
in_back() { ip netns exec "$back" "$@"; }

# Sets there, the connections that went to each router, and back, of these those that came back the same way.
count_ways() {  # connections
  local ns
  for ns in "${routers[@]}"; do
    ip netns exec "$ns" iptables -F
    ip netns exec "$ns" iptables -A FORWARD -p tcp --dport 5009 --syn -m comment --comment there
    ip netns exec "$ns" iptables -A FORWARD -p tcp --sport 5009 --tcp-flags SYN,ACK SYN,ACK \
      -m conntrack --ctstate ESTABLISHED -m comment --comment back
  done
  in_client "$python" - "$1" <<'CLIENT' || die "the connections fail"
import socket, sys
for i in range(int(sys.argv[1])):
    with socket.socket() as connection:
        connection.settimeout(5)
        connection.bind((f"10.1.0.{2 + i % 8}", 0))
        connection.connect(("10.2.0.2", 5009))
        connection.recv(1)
CLIENT
  there=() back_again=0
  for ns in "${routers[@]}"; do
    there+=("$(counted "$ns" iptables filter there)")
    back_again=$((back_again + $(counted "$ns" iptables filter back)))
  done
}
start answers "$server" "$python" -c '
import socket
listener = socket.create_server(("10.2.0.2", 5009), backlog=200)
print("listening", flush=True)
while True:
    listener.accept()[0].close()'
wait_for 5 log_has answers listening || die "the server does not listen"

connections=200
spread 3 0x0037 7 7
count_ways $connections
printf '        by addresses and ports: %d and %d of %d\n' "${there[@]}" $connections
expect_equal "both directions by one router, by addresses and ports" $back_again $connections
expect_between "the first one's share" "${there[0]}" $((connections / 4)) $((connections * 3 / 4))
spread 0 0x0007 7 7
count_ways $connections
printf '        by addresses: %d and %d of %d\n' "${there[@]}" $connections
expect_equal "both directions by one router, by addresses" $back_again $connections
spread 3 0x0037 7 8
count_ways $connections
expect_between "with two seeds" $back_again 0 $((connections * 3 / 4))
spread 1 0x0007 7 7
count_ways $connections
printf '        by policy 1 %d of %d come back the same way\n' $back_again $connections

# ---- edited streams ---------------------------------------------------------------------------
spread 3 0x0037 7 7
for i in 0 1; do
  start "fettle$i" "${routers[i]}" "$fettle" run --control "$work/control$i" --rules "$live_dir/edited_stream.toml" \
    --queue-balance 0:1 --quarantine "$work" --stream-wait 500
  wait_for 10 log_has "fettle$i" ready || die "fettle $i does not get ready"
  ip netns exec "${routers[i]}" iptables -t mangle -A FORWARD -p tcp -m multiport --ports 5001:5008 -j NFQUEUE \
    --queue-balance 0:1
done
servers=() clients=()
for i in 1 2 3 4 5 6 7 8; do
  start "server$i" "$server" "$python" "$live_dir/edited_stream.py" serve $server_address4 $((5000 + i)) "$i" edited
  servers+=("$started")
  wait_for 20 log_has "server$i" listening || die "server $i does not listen"
  start "client$i" "$client" "$python" "$live_dir/edited_stream.py" send $server_address4 $((5000 + i)) "$i" edited \
    1000000
  clients+=("$started")
done
whole=0
for i in 1 2 3 4 5 6 7 8; do
  wait "${clients[i - 1]}" && wait "${servers[i - 1]}" || die "transfer $i failed"
  [ "$(report "server$i" sha256) $(report "client$i" lines_wrong_at)" = "$(report "client$i" sha256) -1" ] &&
    whole=$((whole + 1))
done
expect_equal "edited streams that arrive whole" $whole 8
for i in 0 1; do
  changed=$("$fettle" status --json --control "$work/control$i" | "$python" -c '
import json, sys
print(sum(queue["traffic"]["packets"] for queue in json.load(sys.stdin)["queues"]))')
  expect_between "packets of router $((i + 1))" "$changed" 10 1000000
done
live_end
