#!/bin/bash
# fettle steer: each recipe's own packets, among as many again that have nothing to do with it, leave as they do when
# all is queued, while only its own are queued; what is entered twice is there once, and what is taken away leaves
# everybody else's rules and no packet lost. With iptables; steer_nft_test.sh is the same with nft.
. "$(dirname "$0")/lib.sh"

live_begin "steering: only what the rules can matter to is queued"
tool=iptables
. "$live_dir/steer_lib.sh"

in_router iptables -t mangle -A FORWARD -p udp --dport 7 -m comment --comment "somebody else's" -j MARK --set-mark 1
in_router iptables -t mangle -N other-chain
for name in dns-doctoring ftp http-headers keep-alive-text mss-clamping print-server-keepalive sip tftp ttl-dscp; do
  try_recipe "$name"
done
try_recipe icmp-errors --around wan
try_recipe ftp --around lan
try_recipe print-server-keepalive --spread flow
# What no match of iptables says, a filter's own program does (xt_bpf).
cat >"$work/filter.toml" <<'RULES'
[[rule]]
match = { filter = ["udp port 1331 and net 10.0.0.0/8", "ip6 and tcp dst port 25"] }
steps = [ { set = { ttl = 33 } } ]
[[test]]
packet = { protocol = "udp", src = "10.9.1.2", dst = "203.0.113.9", src-port = 1331, payload = "00" }
expect = { ttl = 33 }
[[test]]
packet = { protocol = "udp", src = "172.16.1.2", dst = "203.0.113.9", src-port = 1331, payload = "00" }
expect = {}
[[test]]
packet = { protocol = "tcp", src = "fd00::9", dst = "2001:db8::9", dst-port = 25, payload = "00" }
expect = { ttl = 33 }
RULES
own=$recipes recipes=$work
try_recipe filter
recipes=$own
expect_match "a filter is the kernel's" "$(steer --rules "$work/filter.toml")" '-m bpf --bytecode'
try_entering
try_load 20000
try_run 10000
live_end
