#!/bin/bash
# --push-down: what the firewall carries out by itself leaves the router byte for byte as it does through the queue.
# Random packets, and the recipes' own, meet the same rules by the one and by the other. SEED and COUNT (2000) of them.
. "$(dirname "$0")/lib.sh"

live_begin "push-down: the firewall does what the rules say"
command -v nft >/dev/null || skip "nft is not there: deploy/install-dependencies --tests"
tool=iptables
in_router nft add table inet probe \; add chain inet probe c \; add rule inet probe c queue to 9 2>"$work/nft.log" &&
  tool=nft
in_router nft delete table inet probe 2>/dev/null || true
. "$live_dir/steer_lib.sh"
seed=${SEED:-$RANDOM}
printf 'SEED=%s\n' "$seed"

push() { # tool rules
  in_router "$fettle" steer --tool "$1" --hook forward --push-down --rules "$2" --apply 2>"$work/notes.log" ||
    die "$1 does not take $2: $(cat "$work/notes.log")"
}
unpush() { in_router "$fettle" steer --tool "$1" --remove || die "cannot be removed"; }
# All packets of $work/in.pcap through fettle, which has all rules.
by_the_queue() { # rules
  fettle_start "$router" --rules "$1" --queue-balance 0:1
  steer --rules "$work/all.toml" --apply || die "what queues all cannot be entered"
  pass_by "$work/all.pcap"
  fettle_stop
  steer --remove
}
compare() { # title rules
  local judged tool
  for tool in $tools; do
    push "$tool" "$2"
    pass_by "$work/some.pcap"
    [ "$tool" = nft ] && in_router nft list table inet fettle >"$work/ruleset.$tool"
    unpush "$tool"
    judged=$(packets same "$work/all.pcap" "$work/some.pcap" 2>"$work/differences")
    expect_equal "$1, by $tool: packets that are others than through the queue" \
      "$(says "$judged" missing) $(says "$judged" more)" "0 0"
    [ "$(says "$judged" missing) $(says "$judged" more)" = "0 0" ] || cat "$work/differences"
    expect_between "$1, by $tool: packets compared" "$(says "$judged" packets)" "$least" 1000000
  done
}

count=${COUNT:-$((2000 / ${SLOWNESS:-1}))}
least=$((count / 2))
"$python" "$live_dir/push_down_packets.py" "$seed" "$count" "$work/in.pcap" || die "no packets"
by_the_queue "$live_dir/push_down.toml"
tools=nft
compare "random packets" "$live_dir/push_down.toml"
rules=$(grep -c '^\[\[rule' "$live_dir/push_down.toml")
met=$(grep -c 'counter packets [1-9]' "$work/ruleset.nft")
expect_equal "rules that some packet met" "$met" "$rules"

# What iptables has, too: the rules that --push-down leaves to nft alone are taken out.
"$python" - "$live_dir/push_down.toml" "$work/iptables.toml" <<'PYTHON'
import re, sys
text = open(sys.argv[1]).read()
head, *rules = re.split(r"(?m)^\[\[rule\]\]\n", text)
wanted = ("let through", "fields", "by mark", "either port", "segments", "errors", "unwanted")
kept = [r for r in rules if re.search(r'name = "(.*)"', r)[1] in wanted]
assert len(kept) == len(wanted)
out = head + "".join("[[rule]]\n" + r for r in kept)
open(sys.argv[2], "w").write(out.replace(", ecn = \"ect0\"", "").replace("set = { ecn = \"ce\" }", "set = { ttl = 9 }")
                             .replace(", { set = { window = 777 } }", ""))
PYTHON
# Where the processor is emulated, what this kernel alone shows: nft beside the queue, and before it.
slow() { [ "${SLOWNESS:-1}" != 1 ]; }
if ! slow; then
  by_the_queue "$work/iptables.toml"
  tools="nft iptables"
  compare "those that iptables has" "$work/iptables.toml"
fi

# Some by the firewall, the others by the queue behind it: fettle run enters the one and leaves them out of the other.
mixed() { # title rules pushed
  local judged
  fettle_start "$router" --rules "$2" --queue-balance 0:1 --steer "$tool" --steer-hook forward --push-down
  wait_for 10 log_has fettle 'steering: ' || fail "run --steer does not say what it entered"
  expect_match "$1: $3 of them by the firewall" "$(cat "$work/fettle.log")" "the firewall carries out $3 rules"
  expect_match "$1: status says so" "$("$fettle" status --control "$work/control")" \
    ": $((${3#* of } - ${3% of *})) rules, ${3% of *} more by the firewall itself"
  pass_by "$work/some.pcap"
  expect_between "$1: packets that were queued" "$(queued)" 1 $((count / 2))
  fettle_stop
  judged=$(packets same "$work/all.pcap" "$work/some.pcap" 2>"$work/differences")
  expect_equal "$1: packets that are others than through the queue" \
    "$(says "$judged" missing) $(says "$judged" more)" "0 0"
  [ "$(says "$judged" missing) $(says "$judged" more)" = "0 0" ] || cat "$work/differences"
  expect_equal "$1: rules left by run --steer" "$(rules_of | grep -cE 'NFQUEUE|queue flags|-A|counter')" 0
}
cat >>"$work/iptables.toml" <<'RULES'
[[rule]]
name = "names"
match = { protocol = "udp", dst-port = 5009 }
steps = [ { replace = 'KA', with = 'Keep-alive' } ]

[[rule]]
name = "behind it, of others"
match = { protocol = "tcp", dst-port = 5007 }
steps = [ { set = { dscp = 3 } } ]

[[rule]]
name = "behind it, of the same"
match = { dst-port = "5008-5009" }
steps = [ { set = { ttl = 55 } } ]

[[rule]]
name = "too late for the firewall"
match = { protocol = "udp", dst-port = 5009, length = "0-80" }
steps = [ { set = { dscp = 11 } } ]
RULES
by_the_queue "$work/iptables.toml"
mixed "mixed, by $tool" "$work/iptables.toml" "9 of 11"

slow && live_end && exit 0
least=40
for name in mss-clamping ttl-dscp print-server-keepalive; do
  packets write "$recipes/$name.toml" "$work/in.pcap" >"$work/count.log" || die "no packets"
  by_the_queue "$recipes/$name.toml"
  [ "$name" = print-server-keepalive ] && tools=nft
  compare "$name" "$recipes/$name.toml"
done
live_end
