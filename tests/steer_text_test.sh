#!/bin/bash
# What fettle steer prints: rules as nft and iptables write them, and refusals with their exit status.
#
#   steer_text_test.sh FETTLE
set -u -o pipefail
fettle=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

fail() { printf 'FAIL  %s\n' "$*"; failures=$((failures + 1)); }
has() { # what line
  grep -qxF -- "$2" "$work/out" || fail "$1: expected '$2', found: $(cat "$work/out")"
}
lacks() { # what pattern
  ! grep -qE -- "$2" "$work/out" || fail "$1: found '$2' in $(cat "$work/out")"
}
steer() { # rules flags...
  cat >"$work/rules.toml"
  "$fettle" steer --rules "$work/rules.toml" "$@" >"$work/out" 2>"$work/said" || fail "steer $*: $(cat "$work/said")"
}
refused() { # status pattern flags...
  local status=0
  "$fettle" steer "${@:3}" >"$work/out" 2>"$work/said" || status=$?
  [ "$status" = "$1" ] || fail "steer ${*:3}: exit status $status, expected $1"
  grep -qE -- "$2" "$work/said" || fail "steer ${*:3}: expected '$2', found: $(cat "$work/said")"
  [ ! -s "$work/out" ] || fail "steer ${*:3}: prints $(cat "$work/out")"
}

steer --queue-balance 2:5 <<'RULES'
[[rule]]
name = "two"
match = { protocol = "udp", dst-port = [1331, "2000-2010"], src = ["10.0.0.0/8", "10.1.0.0/16", "fd00::/8"], in = "eth+" }
steps = [ { set = { ttl = 9 } } ]
[[rule]]
name = "idle"
match = { protocol = "tcp" }
steps = [ "accept" ]
RULES
rule='add rule inet fettle forward meta l4proto udp'
tail='iifname "eth*" counter queue flags bypass,fanout to 2-5 comment "two"'
has "two prefixes are one" "$rule ip saddr 10.0.0.0/8 th dport { 1331, 2000-2010 } $tail"
has "IPv6 apart" "$rule ip6 saddr fd00::/8 th dport { 1331, 2000-2010 } $tail"
lacks "what accepts needs no queue" 'tcp|idle'

steer --tool iptables --queue-balance 0 --fail-closed <<'RULES'
[[rule]]
match = { protocol = "udp", port = 5060, ttl = "3-5", mark = "0x10/0x30", length = "100-200", payload = "REGISTER" }
steps = [ "drop" ]
RULES
has "iptables" '-A fettle-FORWARD -p udp -m multiport --ports 5060 -m mark --mark 0x10/0x30 -m ttl --ttl-gt 2 -m ttl --ttl-lt 6 -m length --length 100:65535 -m comment --comment "rule 1" -j NFQUEUE --queue-num 0'
has "ip6tables" '-A fettle-FORWARD -p udp -m multiport --ports 5060 -m mark --mark 0x10/0x30 -m hl --hl-gt 2 -m hl --hl-lt 6 -m length --length 100:65535 -m comment --comment "rule 1" -j NFQUEUE --queue-num 0'
lacks "a filter on the payload is none of a firewall's" REGISTER

steer --queue-balance 0:1 <<'RULES'
[[rule]]
name = "stream"
match = { protocol = "tcp", dst-port = 25, src = "10.0.0.0/8", tcp-flags = "psh", in = "lan", mark = 7 }
steps = [ { replace = 'a', with = 'bb' } ]
[[rule]]
name = "must"
must-change = true
match = { protocol = "tcp", tcp-flags = "syn/syn,ack" }
steps = [ { clamp-mss = 1000 } ]
RULES
has "all of a connection" 'add rule inet fettle forward meta l4proto tcp ip saddr 10.0.0.0/8 th dport 25 counter queue flags bypass to 0-1 comment "stream"'
has "and what answers" 'add rule inet fettle forward meta l4proto tcp ip daddr 10.0.0.0/8 th sport 25 counter queue flags bypass to 0-1 comment "stream"'
has "none that must change passes" 'add rule inet fettle forward meta l4proto tcp tcp flags & (syn | ack) == syn counter queue to 0-1 comment "must"'
first=$(grep -n -m1 'comment "' "$work/out")
[[ $first = *'"must"'* ]] || fail "what must change comes first: $first"
grep -q 'be_liberal' "$work/said" || fail "nothing is said of connection tracking"

# Many of one shape: one rule, with what is within another one left out; what overlaps stays a rule.
shape() { # address port
  printf '[[rule]]\nname = "%s"\nmatch = { protocol = "udp", src = "%s", dst-port = "%s" }\nsteps = [ { set = { ttl = 9 } } ]\n' \
    "$1" "$1" "$2"
}
for number in 1 2 3 4 5 6; do shape "10.$number.0.0/16" $((1331 + number)); done >"$work/six"
{ cat "$work/six"; shape 10.7.0.0/16 "2000-2010"; shape 10.7.1.0/24 2005; shape 10.7.1.0/25 "2010-2011"; } >"$work/nine"
for number in $(seq 12); do shape "10.1$number.0.0/16" $((1331 + number)); done >"$work/twelve"
{ cat "$work/twelve"; shape 10.7.0.0/16 "2000-2010"; shape 10.7.1.0/24 2005; shape 10.7.1.0/25 "2010-2011"; } >"$work/fifteen"
steer <"$work/twelve"
has "twelve are rules" 'add rule inet fettle forward meta l4proto udp ip saddr 10.16.0.0/16 th dport 1337 counter queue flags bypass to 0 comment "10.16.0.0/16"'
steer <"$work/fifteen"
grep -qE '^add rule inet fettle forward meta l4proto udp ip saddr [.] th dport [{] 10.11.0.0/16 [.] 1332, .*10.19.0.0/16 [.] 1340, 10.7.0.0/16 [.] 2000-2010 [}] counter queue flags bypass to 0 comment' "$work/out" ||
  fail "more are one: $(cat "$work/out")"
has "but for what overlaps" 'add rule inet fettle forward meta l4proto udp ip saddr 10.7.1.0/25 th dport 2010-2011 counter queue flags bypass to 0 comment "10.7.1.0/25"'
lacks "one within another" '2005'
steer --tool iptables <"$work/six"
lacks "few are in a row" '-g '
{ printf '[[rule]]\nname = "must"\nmust-change = true\nmatch = { protocol = "udp", ttl = 9 }\nsteps = [ { set = { ttl = 8 } } ]\n'; cat "$work/nine"; } >"$work/ten"
steer --tool iptables <"$work/ten"
has "by protocol" '-A fettle-FORWARD -p udp -j fettle-FORWARD-000'
has "between the addresses that there are" '-A fettle-FORWARD-000 -s 10.0.0.0/13 -j fettle-FORWARD-001'
has "addresses are halved" '-A fettle-FORWARD-001 -s 10.4.0.0/15 -g fettle-FORWARD-003'
has "each is in its half" '-A fettle-FORWARD-003 -p udp -s 10.5.0.0/16 -m multiport --dports 1336 -m comment --comment "10.5.0.0/16" -j NFQUEUE --queue-num 0 --queue-bypass'
first=$(grep -m1 '^-A fettle' "$work/out")
for number in 1 2 3 4 5 6 7 8 9; do
  printf '[[rule]]\nmatch = { protocol = "udp", dst-port = "%d-%d", ttl = %d }\nsteps = [ { set = { dscp = 1 } } ]\n' \
    $((10 * number)) $((10 * number + 7)) $((number + 40))
done >"$work/ports"
[[ $first = *'--comment "must" -j NFQUEUE --queue-num 0' ]] || fail "what must change comes first: $first"
steer --tool iptables <"$work/ports"
has "between the ports that there are" '-A fettle-FORWARD-000 -p udp -m multiport --dports 10:97 -j fettle-FORWARD-001'
has "ports are halved" '-A fettle-FORWARD-001 -p udp -m multiport --dports 0:49 -g fettle-FORWARD-002'

steer --queue-balance 0:3 --spread flow --tool iptables <<'RULES'
[[rule]]
match = { protocol = "udp" }
steps = [ { set = { dst = "10.0.0.1" } } ]
RULES
has "addresses before routing" '*raw'
has "by flow" '-A fettle-PREROUTING-h -m mark --mark 0x4 -j NFQUEUE --queue-num 3 --queue-bypass'

steer <<'RULES'
[[rule]]
name = "any device"
match = { protocol = ["icmp", "icmpv6"], in = ["eth0", "+"] }
steps = [ "log" ]
RULES
has "any device, which nft has no word for" 'add rule inet fettle forward meta l4proto { icmp, icmpv6 } counter queue flags bypass to 0 comment "any device"'

cat >"$work/both.toml" <<'RULES'
[[rule]]
name = "out"
match = { protocol = "udp" }
steps = [ { set = { src = "10.0.0.1" } } ]
[[rule]]
name = "in"
match = { protocol = "tcp" }
steps = [ { set = { dst = "10.0.0.2" } } ]
RULES
refused 65 '"in" changes destination.*"out" changes sources.*expected hook' --rules "$work/both.toml"
refused 64 'found no --rules' --queue-balance 0:1
refused 64 'found "Fe ttle"' --rules "$work/both.toml" --name 'Fe ttle'
refused 64 'hook' --rules "$work/both.toml" --hook sideways
refused 64 '9:3' --rules "$work/both.toml" --hook forward --queue-balance 9:3
refused 66 'no-such' --rules "$work/no-such.toml"
printf '[[rule]]\nmatch = { protocol = "tcp" }\nsteps = [ { replace = "a", with = "b" } ]\n' >"$work/stream.toml"
refused 64 'found cpu, expected address or flow' --rules "$work/stream.toml" --queue-balance 0:1 --spread cpu
refused 64 'found 1 of 1 rules that need the queue' --rules "$work/stream.toml" --push-down --apply
printf '[defaults]\nbypass-mark = "0x10/0x30"\n[[rule]]\nmatch = { protocol = "udp" }\nsteps = [ { bypass = true } ]\n' >"$work/bypass.toml"
refused 64 'found 0x1f, expected the bits of bypass-mark' --rules "$work/bypass.toml" --mark-mask 0x1f
refused 64 'found --mark-mask 0xff, expected none' --rules "$work/bypass.toml" --mark-mask 0xff --tool iptables \
  --spread flow --queue-balance 0:1

steer --push-down <<'RULES'
[table.hosts]
"10.9.1.2" = "198.51.100.1"
"10.9.4.0/24" = "198.51.101.0/24"
[[rule]]
name = "keep-alive"
match = { protocol = "udp", dst-port = 1331, family = "ipv4" }
steps = [ { translate = "hosts", at = 4 } ]
on-miss = "drop"
[[rule]]
name = "by pattern"
match = { protocol = "tcp", payload = "x" }
steps = [ "drop" ]
RULES
rule='add rule inet fettle'
has "asked once" "$rule forward meta l4proto udp th dport 1331 meta nfproto ipv4 jump forward_r1"
has "no later fragment" "$rule forward_r1 ip frag-off & 0x1fff != 0 return"
has "hosts are a map" \
  "$rule forward_r1_1 @ih,32,32 set @ih,32,32 map { 0x0a090102 : 0xc6336401 } goto forward_r1_1_on"
has "prefixes keep the host's bits" \
  "$rule forward_r1_1 @ih,32,32 & 0xffffff00 == 0x0a090400 @ih,32,32 set @ih,32,32 & 0x000000ff | 0xc6336500 goto forward_r1_1_on"
has "a miss" "$rule forward_r1_1 drop"
has "the rest is queued" "$rule forward meta l4proto tcp counter queue flags bypass to 0 comment \"by pattern\""
grep -q '"by pattern" is left to the queue: key: payload' "$work/said" || fail "not said why: $(cat "$work/said")"
[ $failures = 0 ] || exit 1
printf 'steer: 44 expectations met\n'
