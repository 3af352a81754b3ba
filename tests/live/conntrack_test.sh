#!/bin/bash
# Super-packets changed in raw PREROUTING stay valid for connection tracking, which verifies checksums
# behind it: not one packet is in state INVALID. And reversely: datagrams changed in FORWARD pass a
# source NAT behind it.
. "$(dirname "$0")/lib.sh"

stream_bytes=${BYTES:-100000000}
live_begin "changed packets and connection tracking"

cat >"$work/rules.toml" <<'RULES'
[[rule]]
match = { dst-port = [5000, 5001] }
steps = [ { set = { dscp = 10 } }, { write = "46544c31", at = 0 } ]
RULES

fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1
firewall "$router" -A FORWARD -m conntrack --ctstate INVALID -m comment --comment invalid -j DROP
firewall "$router" -t raw -A PREROUTING -p tcp --dport 5001 -j NFQUEUE --queue-balance 0:1
for v in 4 6; do
  address="server_address$v"
  start server "$server" "$python" "$live_dir/stream.py" serve "${!address}" 5001
  server_pid=$started
  wait_for 5 log_has server listening || die "the TCP server does not listen"
  start client "$client" "$python" "$live_dir/stream.py" plain "${!address}" 5001 "$stream_bytes"
  wait "$started" || die "IPv$v: the stream broke"
  wait "$server_pid" || die "IPv$v: the stream broke"
  expect_equal "IPv$v: bytes that arrive" "$(report server bytes)" "$stream_bytes"
  expect_between "IPv$v: super-packets edited" "$(report server edits)" 1 $((stream_bytes / (${SLOWNESS:-1} > 1 ? 1400 : 5000)))
  expect_equal "IPv$v: bytes that are neither sent nor edited" "$(report server foreign)" 0
done
expect_equal "IPv4 packets in state INVALID" "$(counted "$router" iptables filter invalid)" 0
expect_equal "IPv6 packets in state INVALID" "$(counted "$router" ip6tables filter invalid)" 0
firewall "$router" -t raw -F PREROUTING

in_router iptables -t nat -A POSTROUTING -o wan -p udp -j SNAT --to-source 10.2.0.1
firewall "$router" -t mangle -A FORWARD -p udp --dport 5000 -j NFQUEUE --queue-balance 0:1
in_server iptables -A INPUT -p udp -s 10.2.0.1 -m comment --comment translated
receiver_start $server_address4 expect=4000 idle=2000
start sender "$client" "$traffic" send to=$server_address4 port=5000 from=$client_addresses4 count=4000
wait "$started" || die "the sender failed"
receiver_wait
expect_equal "datagrams behind a source NAT" "$(report receiver first)" 4000
expect_equal "of these with the router's address" "$(counted "$server" iptables filter translated)" 4000
expect_equal "checksum errors at the server" "$(checksum_errors "$server")" 0
fettle_stop
expect_equal "exit status" "$fettle_status" 0
live_end
