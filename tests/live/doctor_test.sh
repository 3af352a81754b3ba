#!/bin/bash
# fettle doctor on a good router finds nothing bad; each thing that is broken it finds, and the command that
# it prints, run as it stands, makes the finding go away.
. "$(dirname "$0")/lib.sh"

live_begin "what doctor finds, its own commands mend"

printf '[[rule]]\nmatch = { protocol = "udp" }\nsteps = [ { write = "46544c31", at = 0 } ]\n' >"$work/plain.toml"
cat >"$work/stream.toml" <<'RULES'
[[rule]]
match = { protocol = "tcp", port = 21 }
steps = [ { replace = "a", with = "bb" } ]
RULES
cat >"$work/mark.toml" <<'RULES'
[defaults]
bypass-mark = "0x1/0x1"

[[rule]]
match = { protocol = "udp" }
steps = [ { bypass = true } ]
RULES
cat >"$work/moves.toml" <<'RULES'
[[rule]]
match = { protocol = "udp" }
steps = [ { set = { src = "10.9.9.9" } } ]
RULES

# Sets status and $work/found.json.
examine() {  # rules [flag...]
  status=0
  in_router "$fettle" doctor --rules "$work/$1" --queue-balance 0:1 --json --no-self-test "${@:2}" \
    >"$work/found.json" 2>"$work/doctor.log" || status=$?
}

finding() {  # grade check pattern key: that key of the first such finding; nothing where there is none
  "$python" - "$work/found.json" "$@" <<'PYTHON'
import json, re, sys
path, grade, check, pattern, key = sys.argv[1:]
for one in json.load(open(path))["findings"]:
    if one["grade"] == grade and re.fullmatch(check, one["check"]) and re.search(pattern, one["found"]):
        print(one[key])
        break
PYTHON
}

grades() { "$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$work/found.json" "$1"; }

gone() {  # grade check pattern rules [flag...]: no such finding any more
  examine "${@:4}"
  [ -z "$(finding "$1" "$2" "$3" found)" ]
}

# The finding is there with a command; run, the command leaves none of the kind.
mended() {  # title grade check pattern rules [flag...]
  local title=$1 grade=$2 check=$3 pattern=$4 fix
  shift 4
  examine "$@"
  expect_equal "$title: exit status" "$status" "$([ "$grade" = bad ] && echo 78 || echo 0)"
  fix=$(finding "$grade" "$check" "$pattern" fix)
  [ -n "$fix" ] || { fail "$title: not found, or without a command: $(cat "$work/found.json")"; return; }
  printf '        %s\n' "$fix"
  in_router sh -ec "$fix" >"$work/fix.log" 2>&1 || fail "$title: the command fails: $(cat "$work/fix.log")"
  wait_for 5 gone "$grade" "$check" "$pattern" "$@" || true
  expect_equal "$title: mended" "$(finding "$grade" "$check" "$pattern" found)" ""
}

queue() { firewall "$router" -t mangle "$@"; }
clean() {
  local tables
  for tables in mangle raw nat filter; do
    firewall "$router" -t $tables -F
    firewall "$router" -t $tables -X
  done
}

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

# nft's own tables, where the kernel and the machine have what it takes.
if command -v nft >/dev/null && in_router nft -f - 2>/dev/null <<'NFT'; then
table inet fw {
  chain forward { type filter hook forward priority -150; policy accept; udp dport 5000 queue num 0-1 comment "it's queued"; }
}
NFT
  mended "nft: no bypass" warn queue-bypass "nft inet fw forward" plain.toml
  expect_match "nft: the rest of the rule is as it was" "$(in_router nft list table inet fw)" \
    'udp dport 5000 queue (flags bypass to 0-1|num 0-1 bypass) comment "it.s queued"'
  in_router nft delete table inet fw
else
  printf '        no nft, or no NFT_QUEUE in this kernel: not tried\n'
fi
in_router iptables -t mangle -A FORWARD -p udp -j NFQUEUE --queue-balance 0:1 --queue-bypass
if command -v nft >/dev/null && in_router nft -f - 2>/dev/null <<'NFT'; then
table inet fast {
  flowtable ft { hook ingress priority 0; devices = { lan, wan }; }
  chain forward { type filter hook forward priority 0; policy accept; meta l4proto udp flow add @ft; }
}
NFT
  mended "nft: a flowtable" bad flow-offload "nft inet fast forward" plain.toml
  in_router nft delete table inet fast
else
  printf '        no nft, or no NF_FLOW_TABLE in this kernel: not tried\n'
fi

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
