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
try_entering
try_load 20000
try_run 10000
live_end
