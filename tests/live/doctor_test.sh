#!/bin/bash
# fettle doctor on a good router finds nothing bad; each thing that is broken it finds, and the command that
# it prints, run as it stands, makes the finding go away.
. "$(dirname "$0")/lib.sh"

live_begin "what doctor finds, its own commands mend"

. "$live_dir/doctor_lib.sh"

queue -A FORWARD -p udp -j NFQUEUE --queue-balance 0:1 --queue-bypass
examine plain.toml
expect_equal "a good router: exit status" "$status" 0
expect_equal "a good router: nothing bad" "$(grades bad)" 0
expect_equal "a good router: no rule is complained of" "$(finding warn 'queue-rules|queue-bypass' . found)" ""
expect_match "text for people" "$(in_router "$fettle" doctor --rules "$work/plain.toml" --queue-balance 0:1)" \
  '^ok    self-test +a packet went through each of 2 queues and came out changed$'
clean

mended "no rule" warn queue-rules "no rule feeds queues 0:1" plain.toml
expect_equal "no rule: fed now" "$(finding ok queue-rules 'feeds queues 0:1, bypass' grade)" ok
clean

# shellcheck disable=SC2016  # it is to stay a word
in_router iptables -t mangle -A FORWARD -p udp -m comment --comment 'it "is" $(false) here' \
  -j NFQUEUE --queue-balance 0:3 --queue-bypass
mended "a range beyond the workers" bad queue-range "0:3" plain.toml
expect_match "a range beyond the workers: the rest of the rule is as it was" \
  "$(in_router iptables -t mangle -S FORWARD)" 'comment "it .*is.* \$\(false\) here" -j NFQUEUE --queue-balance 0:1 --queue-bypass'
clean

queue -A FORWARD -p udp -j NFQUEUE --queue-num 1 --queue-bypass
mended "a queue that nothing feeds (IPv4)" warn queue-range "iptables mangle.*queue 1" plain.toml
mended "a queue that nothing feeds (IPv6)" warn queue-range "ip6tables mangle.*queue 1" plain.toml
clean

in_router iptables -t mangle -A FORWARD -p udp -j NFQUEUE --queue-balance 0:1
mended "no bypass" warn queue-bypass "no bypass flag" plain.toml
mended "bypass where none may be" bad queue-bypass "fail-closed" plain.toml --fail-closed
clean

in_router iptables -t mangle -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
in_router iptables -t mangle -A FORWARD -p udp -j NFQUEUE --queue-balance 0:1 --queue-bypass
mended "packets of known connections" bad hidden-packets "rule 1 accepts known" plain.toml
clean

in_router iptables -t mangle -A FORWARD -p tcp -j NFQUEUE --queue-balance 0:1 --queue-bypass --queue-cpu-fanout
mended "streams spread by CPU" bad queue-fanout "spreads by CPU" stream.toml
clean

in_router iptables -t nat -A POSTROUTING -o wan -j MASQUERADE
in_router iptables -t mangle -A FORWARD -p tcp -j NFQUEUE --queue-balance 0:1 --queue-bypass
in_router sysctl -qw net.netfilter.nf_conntrack_tcp_be_liberal=0
mended "streams behind a strict connection tracking" bad stream-hooks "which is strict" stream.toml
in_router sysctl -qw net.netfilter.nf_conntrack_tcp_be_liberal=0
in_router iptables -t mangle -F FORWARD
in_router iptables -t raw -A PREROUTING -i lan -p tcp --dport 21 -j NFQUEUE --queue-balance 0:1 --queue-bypass
mended "one direction of streams" bad stream-hooks "one direction" stream.toml
expect_equal "one direction of streams: all is well" "$(finding ok stream-hooks . grade)" ok
in_router iptables -t raw -F PREROUTING
in_router iptables -t mangle -F POSTROUTING
in_router iptables -t raw -A PREROUTING -p tcp -j NFQUEUE --queue-balance 0:1 --queue-bypass
mended "both directions before connection tracking" bad stream-hooks "both directions" stream.toml
mended "and where that leads" bad stream-hooks "which is strict" stream.toml
clean

queue -A FORWARD -p udp -j NFQUEUE --queue-balance 0:1 --queue-bypass
in_router iptables -t mangle -A FORWARD -m mark --mark 0x1/0xf -j RETURN
mended "bits of a mark that another rule looks at" bad marks "rule 2 asks for mark 0x1/0xf" mark.toml
mended "a bypass mark that no rule heeds" warn bypass-rules "no rule lets" mark.toml
in_router ip rule add fwmark 0x10/0xf0 lookup 100
mended "bits of a mark that routing looks at" bad marks "ip rule" mark.toml
in_router ip rule del fwmark 0x10/0xf0 lookup 100
clean

in_router iptables -t mangle -A FORWARD -p udp -j NFQUEUE --queue-balance 0:1 --queue-bypass
in_router sysctl -qw net.ipv4.ip_forward=0
mended "no forwarding" bad forwarding "IPv4" plain.toml
if ip -n "$router" link add bridge0 type bridge 2>/dev/null &&
  in_router sysctl -qw net.bridge.bridge-nf-call-iptables=0 2>/dev/null; then
  mended "a bridge that keeps its packets" warn bridge "bridge0 hands no IPv4" plain.toml
else
  printf '        no bridge, or no br_netfilter, in this kernel: not tried\n'
fi
ip -n "$router" link del bridge0 2>/dev/null || true
clean

in_router iptables -t mangle -A PREROUTING -p udp -j NFQUEUE --queue-balance 0:1 --queue-bypass
in_router sysctl -qw net.ipv4.conf.wan.rp_filter=1
mended "sources that are checked" warn source-check "wan" moves.toml
clean

in_router iptables -t mangle -A FORWARD -p udp -j NFQUEUE --queue-balance 0:1 --queue-bypass
start holder "$router" "$fettle" sniff --queue 1
held() { [ -n "$(queue_column "$router" 1 1)" ]; }
wait_for 5 held || die "the queue is not taken"
examine plain.toml
expect_equal "a queue of fettle's own: nothing bad" "$(finding bad queue-owner . found)" ""
end_process "$started"
cat >"$work/foreign.py" <<'PYTHON'
import socket, struct, time
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
s.bind((0, 0))
bind = struct.pack("=HHBBH", 8, 1, 1, 0, 0)
s.send(struct.pack("=IHHII", 20 + len(bind), 3 << 8 | 2, 5, 1, 0) + struct.pack("=BBH", 0, 0, socket.htons(1)) + bind)
time.sleep(60)
PYTHON
start foreign "$router" "$python" "$work/foreign.py"
wait_for 5 held || die "the queue is not taken"
mended "a queue that somebody else has" bad queue-owner "queue 1 is taken by python" plain.toml
clean

# It changed nothing by itself, and left nothing.
in_router iptables-save >"$work/before"
examine plain.toml
in_router iptables-save >"$work/after"
expect_equal "the firewall is as it was" "$(diff <(grep -v '^#' "$work/before") <(grep -v '^#' "$work/after"))" ""
expect_equal "no queue is left" "$(in_router cat /proc/net/netfilter/nfnetlink_queue)" ""

refused=0
in_router "$fettle" doctor --queue-balance 3:1 2>"$work/refused.log" || refused=$?
expect_equal "a wrong range: exit status" $refused 64
expect_match "a wrong range is quoted" "$(cat "$work/refused.log")" '3:1'
refused=0
in_router setpriv --inh-caps=-all --bounding-set=-all "$fettle" doctor >"$work/powerless" 2>&1 || refused=$?
expect_equal "without capabilities: exit status" $refused 78
expect_match "without capabilities: it is said" "$(cat "$work/powerless")" '^bad +capability +CAP_NET_ADMIN is missing'
live_end
