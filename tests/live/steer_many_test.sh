#!/bin/bash
# fettle steer with many rules: divided into chains (iptables) or in sets (nft), they are for the same packets, and for
# the same statement, as rules in a row. Random rules and packets at their edges meet both in one firewall, where marks
# stand for the queue. SEED; ROUNDS (3), RULES (120) and COUNT (1500) of packets in each.
. "$(dirname "$0")/lib.sh"

live_begin "steering: many rules are for the packets that each of them is for"
command -v nft >/dev/null || skip "nft is not there: deploy/install-dependencies --tests"
# shellcheck disable=SC2034 # the library's
tool=iptables
. "$live_dir/steer_lib.sh"
seed=${SEED:-$RANDOM} rounds=${ROUNDS:-3} rules=${RULES:-120}
[ "${SLOWNESS:-1}" = 1 ] || rounds=${ROUNDS:-1}
count=${COUNT:-1500}
printf 'SEED=%s\n' "$seed"

printed() { # tool rules name
  "$fettle" steer --tool "$1" --hook forward --rules "$2" --name "$3" 2>>"$work/said" ||
    die "$2 cannot be steered: $(tail -n 1 "$work/said")"
}
# Each rule alone: those that let no packet pass unread are met first, as one of two that match.
in_a_row() { # tool: what follows "-A FORWARD" or "add rule"
  local number
  for number in $(seq "$rules"); do printed "$1" "$work/one-$number.toml" row; done >"$work/row"
  ! grep -qE -- ' -g |\} \. | \. ' "$work/row" || die "one rule is divided: no row"
}
# Packets of the firewall's that end in no queue: low mark by the many, high mark by the row.
marking_nft() { # high or low bits: 1 or 16
  sed -E "s/queue flags bypass to 0/meta mark set mark or $1 accept/; s/queue to 0/meta mark set mark or $(($1 * 2)) accept/"
}
try_nft() { # file to write
  printed nft "$work/all.toml" many | marking_nft 1
  printf 'add table inet row\nadd chain inet row forward { type filter hook forward priority -140; }\n'
  { sed -n '/queue to 0/p' "$work/row"; sed -n '/queue flags/p' "$work/row"; } | marking_nft 16
}
marking_iptables() { # prefix: both targets end the table's chain
  sed -E "s/-j NFQUEUE --queue-num 0 --queue-bypass/-g $1-passes/; s/-j NFQUEUE --queue-num 0\$/-g $1-must/"
}
targets() { # prefix bits
  printf ':%s-passes - [0:0]\n:%s-must - [0:0]\n' "$1" "$1"
  printf -- "-A $1-passes -j MARK --set-xmark %d/%d\n-A $1-passes -j ACCEPT\n" "$2" $(($2 * 15))
  printf -- "-A $1-must -j MARK --set-xmark %d/%d\n-A $1-must -j ACCEPT\n" $(($2 * 2)) $(($2 * 15))
}
of_family() { # iptables or ip6tables: that one's part
  if [ "$1" = iptables ]; then awk '/^# ip6tables/ { on = 0 } /^# iptables/ { on = 1 } on'
  else awk '/^# iptables/ { on = 0 } /^# ip6tables/ { on = 1 } on'; fi | sed '/^#/d'
}
try_iptables() { # family
  printed iptables "$work/all.toml" many | of_family "$1" | marking_iptables mark |
    sed "/^\*mangle/r $work/many-targets"
  printf '*filter\n:row-FORWARD - [0:0]\n'
  targets row 16
  of_family "$1" <"$work/row" | sed -n '/^-A row-FORWARD/p' >"$work/row.$1"
  { sed '/--queue-bypass/d' "$work/row.$1"; sed -n '/--queue-bypass/p' "$work/row.$1"; } | marking_iptables row
  printf -- '-A FORWARD -j row-FORWARD\nCOMMIT\n'
}
enter() { # tool
  if [ "$1" = nft ]; then
    try_nft >"$work/text"
    in_router nft -f "$work/text" || die "nft refuses the rules"
    divided=$((divided + $(grep -c ' \. ' "$work/text" || true)))
    return
  fi
  targets mark 1 >"$work/many-targets"
  for family in iptables ip6tables; do
    try_iptables $family >"$work/text"
    in_router $family-restore --noflush <"$work/text" || die "$family refuses the rules"
    divided=$((divided + $(grep -c -- '-g many-' "$work/text" || true)))
  done
}
leave() { # tool
  in_router nft delete table inet judge
  if [ "$1" = nft ]; then
    in_router nft delete table inet many \; delete table inet row
    return
  fi
  for family in iptables ip6tables; do
    for table in mangle filter; do
      in_router $family -t $table -F
      in_router $family -t $table -X
    done
  done
}
judge() { # name: packets that it counted
  in_router nft list table inet judge | sed -n "s/.*packets \([0-9]*\) .*\"$1\"/\1/p"
}
try_round() { # tool
  in_a_row "$1"
  enter "$1"
  in_router nft -f - <<'NFT'
add table inet judge
add chain inet judge c { type filter hook postrouting priority 10; }
add rule inet judge c ip6 saddr { ::, fe80::/10 } accept comment "the router's own, whose mark is anything"
add rule inet judge c meta mark and 0xff == 0x11 counter accept comment "passes"
add rule inet judge c meta mark and 0xff == 0x22 counter accept comment "must"
add rule inet judge c meta mark and 0xff == 0x00 counter accept comment "neither"
add rule inet judge c counter comment "differs"
NFT
  in_client tcpreplay -q -p 5000 -i eth0 "$work/in.pcap" >"$work/replay.log" 2>&1 || die "tcpreplay failed"
  sleep 0.2
  expect_equal "$1: packets that one asks for and the other does not" "$(judge differs)" 0
  passes=$((passes + $(judge passes))) must=$((must + $(judge must))) neither=$((neither + $(judge neither)))
  leave "$1"
}

for tool in nft iptables; do
  passes=0 must=0 neither=0 divided=0
  for round in $(seq "$rounds"); do
    "$python" "$live_dir/steer_many.py" "$((seed + round))" "$rules" "$count" "$work" || die "no rules"
    try_round "$tool"
  done
  least=$((rounds * count / 40))
  expect_between "$tool: of rules that let them pass unread" "$passes" "$least" 1000000
  expect_between "$tool: of rules that do not" "$must" "$least" 1000000
  expect_between "$tool: of no rule" "$neither" "$least" 1000000
  expect_between "$tool: sets, or cuts of ports" "$divided" "$rounds" 100000
done
live_end
