#!/bin/bash
# 802.1Q: packets are changed between two VLANs that a router joins, and within one VLAN that passes a bridge, there by
# iptables (br_netfilter) and by nft's bridge family. A capture at the server's link says that each came changed once,
# with its tag and priority and with right checksums.
. "$(dirname "$0")/lib.sh"

count=300
live_begin "packets with 802.1Q tags"
for ns in "$client" "$server"; do
  ip -n "$ns" link add link eth0 name vlan type vlan id 7 egress-qos-map 0:5 2>"$work/vlan" ||
    skip "the kernel has no 802.1Q (VLAN_8021Q): $(head -n 1 "$work/vlan")"
done

cat >"$work/rules.toml" <<'RULES'
[[rule]]
name = "routed"
match = { protocol = "udp", dst-port = 5000, in = "lan.7", out = "wan.9" }
steps = [ { write = "46544c31", at = 0 }, { set = { dscp = 10 } } ]

[[rule]]
name = "bridged"
match = { protocol = "udp", dst-port = 5001 }
steps = [ { write = "46544c31", at = 0 } ]

[[rule]]
name = "bridged, longer"
match = { protocol = "udp", dst-port = 5002 }
steps = [ { write = "46544c31", at = 0 }, { insert = "6c6f6e676572", at = 40 } ]
RULES

captured() { [ "$(stat -c %s "$work/seen.pcap" 2>/dev/null || echo 0)" -ge $((count * (16 + 18 + 20 + 8 + 120))) ]; }
pass_through() {  # title address port tags
  rm -f "$work/seen.pcap"
  start capture "$server" tcpdump -i eth0 -n -U -B 16384 --immediate-mode -Z root -w "$work/seen.pcap"
  local capture_pid=$started witness
  wait_for 5 log_has capture 'listening on' || die "tcpdump does not listen"
  start receiver "$server" "$traffic" receive "at=$2" port="$3"
  receiver_pid=$started
  wait_for 5 log_has receiver listening || die "the receiver does not listen"
  start sender "$client" "$traffic" send "to=$2" port="$3" count=$count rate=1000 size=120
  wait "$started" || die "$1: the sender failed"
  wait_for 5 queues_empty "$router" || fail "$1: the queues do not run empty"
  wait_for 3 captured || true # it ends without what it has not read yet
  sleep 0.2
  kill -TERM "$receiver_pid" 2>/dev/null || true
  receiver_wait
  kill -TERM "$capture_pid" 2>/dev/null || true
  wait "$capture_pid" 2>/dev/null || true
  witness=$("$python" "$live_dir/witness.py" "$work/seen.pcap" "$3")
  expect_equal "$1" "$witness" "datagrams=$count distinct=$count changed=$count wrong=0 tags=$4"
  expect_equal "$1: what the server's socket got" "$(report receiver received)" $count
  [ "$3" = 5002 ] || expect_equal "$1: of these changed, and else as they were sent" "$(report receiver first)" $count
}

# ---- between VLANs ----------------------------------------------------------------------------

ip -n "$server" link set vlan down
ip -n "$server" link del vlan
ip -n "$server" link add link eth0 name vlan type vlan id 9
ip -n "$router" link add link lan name lan.7 type vlan id 7
ip -n "$router" link add link wan name wan.9 type vlan id 9 egress-qos-map 0:3
for ns in "$client" "$server"; do ip -n "$ns" link set vlan up; done
ip -n "$router" link set lan.7 up
ip -n "$router" link set wan.9 up
add_addresses "$client" vlan 10.7.0.2/24 fd00:7::2/64
add_addresses "$router" lan.7 10.7.0.1/24 fd00:7::1/64
add_addresses "$router" wan.9 10.9.0.1/24 fd00:9::1/64
add_addresses "$server" vlan 10.9.0.2/24 fd00:9::2/64
add_neighbours "$client" vlan 01 10.7.0.1 fd00:7::1
add_neighbours "$router" lan.7 02 10.7.0.2 fd00:7::2
add_neighbours "$router" wan.9 12 10.9.0.2 fd00:9::2
add_neighbours "$server" vlan 11 10.9.0.1 fd00:9::1
ip -n "$client" route add 10.9.0.0/24 via 10.7.0.1
ip -n "$client" route add fd00:9::/64 via fd00:7::1
ip -n "$server" route add 10.7.0.0/24 via 10.9.0.1
ip -n "$server" route add fd00:7::/64 via fd00:9::1

fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1
firewall "$router" -t mangle -A FORWARD -p udp -m multiport --dports 5000:5002 -j NFQUEUE --queue-balance 0:1
pass_through "IPv4 from VLAN 7 to VLAN 9" 10.9.0.2 5000 9.3
pass_through "IPv6 from VLAN 7 to VLAN 9" fd00:9::2 5000 9.3

# ---- within a VLAN, over a bridge -------------------------------------------------------------

ip -n "$router" link del lan.7
ip -n "$router" link del wan.9
ip -n "$server" link del vlan
ip -n "$server" link add link eth0 name vlan type vlan id 7
ip -n "$server" link set vlan up
add_addresses "$server" vlan 10.7.0.3/24 fd00:7::3/64
add_neighbours "$client" vlan 12 10.7.0.3 fd00:7::3
add_neighbours "$server" vlan 02 10.7.0.2 fd00:7::2
ip -n "$router" link add bridge0 type bridge
for device in lan wan bridge0; do
  [ $device = bridge0 ] || ip -n "$router" link set $device master bridge0
  ip -n "$router" link set $device up
done
ip -n "$router" addr flush dev lan
ip -n "$router" addr flush dev wan
modprobe br_netfilter 2>/dev/null || true
if in_router sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1 \
  net.bridge.bridge-nf-filter-vlan-tagged=1 2>/dev/null; then
  pass_through "IPv4 over a bridge, br_netfilter" 10.7.0.3 5001 7.5
  pass_through "IPv6 over a bridge, br_netfilter" fd00:7::3 5001 7.5
  pass_through "longer, over a bridge, br_netfilter" 10.7.0.3 5002 7.5
  in_router sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0
else
  printf '  (no br_netfilter in this kernel: not tried)\n'
fi
firewall "$router" -t mangle -F FORWARD
if in_router nft -f - 2>"$work/nft.log" <<'NFT'; then
table bridge mend {
  chain forward {
    type filter hook forward priority 0; policy accept;
    vlan id 7 ip protocol udp udp dport 5001-5002 queue flags bypass to 0-1
    vlan id 7 ip6 nexthdr udp udp dport 5001-5002 queue flags bypass to 0-1
  }
}
NFT
  pass_through "IPv4 over a bridge, nft's bridge family" 10.7.0.3 5001 7.5
  pass_through "IPv6 over a bridge, nft's bridge family" fd00:7::3 5001 7.5
  pass_through "longer, over a bridge, nft's bridge family" 10.7.0.3 5002 7.5
else
  printf '  (no queue statement of nft'\''s bridge family in this kernel: not tried)\n'
fi
fettle_stop
expect_equal "exit status" "$fettle_status" 0
expect_equal "packets changed by fettle" "$(queue_summary changed)" "$(queue_summary packets)"
live_end
