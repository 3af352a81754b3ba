#!/bin/bash
# fettle doctor on rules that nft made, as this kernel's nft lists them: what is right is not complained of, and each
# thing that is broken is found, and mended by the command that it prints.
. "$(dirname "$0")/lib.sh"

live_begin "what doctor finds in nft's rules, its own commands mend"
. "$live_dir/doctor_lib.sh"
command -v nft >/dev/null || die "nft is not there; run deploy/install-dependencies --tests"

# A table with one chain, instead of the one before.
flowtable='flowtable ft { hook ingress priority 0; devices = { lan, wan }; }'
rules() {  # rule...
  {
    printf 'table inet fw\ndelete table inet fw\ntable inet fw {\n  %s\n' "$flowtable"
    printf '  chain forward {\n    type filter hook forward priority mangle; policy accept;\n'
    printf '    %s\n' "$@"
    printf '  }\n}\n'
  } | in_router nft -f - 2>"$work/nft.log"
}
listed() { in_router nft list table inet fw; }
rest_is() {  # title rule: how nft lists it
  expect_match "$1: the rest of the rule is as it was" "$(listed)" "^[[:space:]]*$2\$"
}

if rules "meta l4proto udp flow add @ft"; then
  in_router iptables -t mangle -A FORWARD -p udp -j NFQUEUE --queue-balance 0:1 --queue-bypass
  mended "a flowtable" bad flow-offload "nft inet fw forward" plain.toml
  clean
else
  flowtable=""
  printf '  (no NF_FLOW_TABLE in this kernel: not tried)\n'
fi
if ! rules "udp dport 5000 queue flags bypass,fanout to 0-1"; then
  [ -n "$flowtable" ] || skip "the kernel has neither NFT_QUEUE nor NF_FLOW_TABLE: $(head -n 1 "$work/nft.log")"
  printf '  (no NFT_QUEUE in this kernel: not tried)\n'
  live_end
  exit
fi

judged_well() {  # title rules-file
  examine "$2"
  expect_equal "$1: exit status" "$status" 0
  expect_equal "$1: complaints" "$(finding 'warn|bad' 'queue-.*|hidden-packets|stream-.*' . found)" ""
}
judged_well "bypass and fanout, a queue for each CPU" plain.toml
expect_match "bypass and fanout: what it feeds" "$(finding ok queue-rules . found)" \
  'nft inet fw forward, handle [0-9]+ feeds queues 0:1, bypass$'
mended "fanout, and rules that edit streams" bad queue-fanout "nft inet fw forward.*spreads by CPU" stream.toml
rest_is "fanout" 'udp dport 5000 queue flags bypass to 0-1'
examine plain.toml
expect_match "without fanout it is said how packets are spread" \
  "$(finding ok queue-spread . found)" 'hash of the addresses'

rules "udp dport 5000 queue num 0-1 comment \"it's queued\""
mended "no bypass" warn queue-bypass "nft inet fw forward.*no bypass flag" plain.toml
rest_is "no bypass" 'udp dport 5000 queue flags bypass to 0-1 comment "it.s queued"'
judged_well "no bypass, mended" plain.toml
mended "bypass where none may be" bad queue-bypass "nft inet fw forward.*fail-closed" plain.toml --fail-closed
rest_is "bypass where none may be" 'udp dport 5000 queue to 0-1 comment "it.s queued"'

rules 'iifname "lan" oifname "wan" meta l4proto udp counter queue flags bypass,fanout to 0-3'
mended "a range beyond the workers" bad queue-range \
  "nft inet fw forward.*feeds queues 0:3, --queue-balance is 0:1" plain.toml
rest_is "a range beyond the workers" \
  'iifname "lan" oifname "wan" meta l4proto udp counter packets 0 bytes 0 queue flags bypass(,fanout)? to 0-1'
rules 'ip protocol udp udp dport { 53, 5000-5010 } queue flags bypass to 1'
mended "a queue that nothing feeds" warn queue-range "nft inet fw forward.*feeds queue 1, " plain.toml
rest_is "a queue that nothing feeds" \
  '(ip protocol udp )?udp dport [{] 53, 5000-5010 [}] queue flags bypass to 0-1'
rules 'udp dport 5000 queue flags bypass to 7'
examine plain.toml
expect_match "another program's queue" "$(finding warn queue-rules . found)" '^no rule feeds queues 0:1$'

# By an expression, which may give any queue of a range.
if rules 'udp dport 5000 queue flags bypass to symhash mod 2'; then
  judged_well "a queue by a hash of the ports" plain.toml
  expect_match "a queue by a hash of the ports: the range" "$(finding ok queue-rules . found)" \
    'feeds queues 0:1, bypass$'
  rules 'udp dport 5000 queue flags bypass to numgen inc mod 4'
  examine plain.toml
  expect_match "queues in turn, beyond the workers" "$(finding bad queue-range . found)" 'feeds queues 0:3'
else
  printf '  (no queue by an expression in this kernel: not tried)\n'
fi

hidden() {  # title
  examine plain.toml
  expect_equal "$1: exit status" "$status" 78
  expect_match "$1: found" "$(finding bad hidden-packets . found)" \
    '^nft inet fw forward, handle [0-9]+ accepts known connections before nft inet fw forward, handle [0-9]+$'
}
if rules 'ct state established,related accept' 'udp dport 5000 queue flags bypass to 0-1'; then
  hidden "packets of known connections"
  rules 'ct state vmap { established : accept, related : accept, invalid : drop }' \
    'udp dport 5000 queue flags bypass to 0-1'
  hidden "packets of known connections, by a verdict map"
  rules 'ct state vmap { invalid : drop }' 'ct state new accept' 'udp dport 5000 queue flags bypass to 0-1'
  expect_equal "other states are let alone" "$(gone bad hidden-packets . plain.toml && echo yes)" yes
else
  printf '  (no ct state of nft in this kernel: not tried)\n'
fi
rules 'meta mark & 0xf == 0x1 return' 'udp dport 5000 queue flags bypass to 0-1'
examine mark.toml
expect_match "bits of a mark that another rule looks at" "$(finding bad marks . found)" \
  'nft inet fw forward, handle [0-9]+ asks for mark'

# A chain that nothing leads to, and one that a rule of another leads to.
in_router nft -f - <<'NFT'
delete table inet fw
table inet fw {
  chain mend { udp dport 5000 queue flags bypass to 0-1; }
}
NFT
examine plain.toml
expect_match "a chain that nothing leads to" "$(finding bad queue-rules . found)" 'no chain leads to nft inet fw mend'
in_router nft add chain inet fw forward '{ type filter hook forward priority mangle; }'
in_router nft add rule inet fw forward iifname lan jump mend
judged_well "a chain that a rule leads to" plain.toml
in_router nft flush chain inet fw forward
in_router nft add rule inet fw forward meta l4proto vmap '{ udp : jump mend, tcp : accept }'
judged_well "a chain that a verdict map leads to" plain.toml

in_router nft -j list ruleset >"$work/before"
examine plain.toml
in_router nft -j list ruleset >"$work/after"
expect_equal "the rules are as they were" "$(diff "$work/before" "$work/after")" ""
live_end
