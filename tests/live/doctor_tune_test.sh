#!/bin/bash
# fettle doctor --tune: its text is one that a shell takes and shellcheck has nothing against; of this namespace's
# settings, what it says once it was run is that nothing is left. What is of the whole machine is not run here.
. "$(dirname "$0")/lib.sh"

live_begin "doctor --tune"
. "$live_dir/doctor_lib.sh"

tune() {  # rules: $work/tune.sh, and $work/here.sh, the part that is this namespace's
  in_router "$fettle" doctor --rules "$work/$1" --queue-balance 0:1 --tune >"$work/tune.sh" 2>"$work/doctor.log" ||
    fail "doctor --tune: exit status $?"
  sed -n '/^# ======== This network namespace/,/^# ======== To keep it/p' "$work/tune.sh" >"$work/here.sh"
  for shell in sh bash; do
    $shell -n "$work/tune.sh" || fail "$shell does not take it"
  done
  if command -v shellcheck >/dev/null; then
    expect_equal "shellcheck says" "$(shellcheck "$work/tune.sh" 2>&1)" ""
  fi
}
commands() { grep -v '^#' "$1" | grep -v '^$' || true; }
liberal() { in_router sysctl -n net.netfilter.nf_conntrack_tcp_be_liberal; }

in_router iptables -t nat -A POSTROUTING -o wan -j MASQUERADE
in_router iptables -t mangle -A FORWARD -p tcp -j NFQUEUE --queue-balance 0:1 --queue-bypass
in_router sysctl -qw net.netfilter.nf_conntrack_tcp_be_liberal=0
in_router sysctl -a 2>/dev/null | grep '^net' >"$work/before"
tune stream.toml
in_router sysctl -a 2>/dev/null | grep '^net' >"$work/after"
expect_equal "it changes nothing by itself" \
  "$(diff <(grep -v 'count\|rate\|random' "$work/before") <(grep -v 'count\|rate\|random' "$work/after"))" ""
expect_equal "streams behind a strict connection tracking" "$(commands "$work/here.sh")" \
  "sysctl -w net.netfilter.nf_conntrack_tcp_be_liberal=1"
expect_match "what there is, and what would be better" "$(cat "$work/here.sh")" \
  '^# net.netfilter.nf_conntrack_tcp_be_liberal: now 0; better 1$'
expect_match "who says so" "$(cat "$work/here.sh")" '^#   tested: '
expect_match "how it is kept" "$(cat "$work/tune.sh")" '^#   net.netfilter.nf_conntrack_tcp_be_liberal=1$'
expect_match "what has no effect is named" "$(cat "$work/tune.sh")" '^# net.core.rmem_max and wmem_max: .*SO_RCVBUFFORCE'
expect_match "what is not seen from here is named" "$(cat "$work/tune.sh")" '^# net.core.netdev_max_backlog .*not seen'
expect_match "veth has no interrupts" "$(cat "$work/tune.sh")" '^# offloads, rings, interrupts, RPS: no device of hardware'

in_router sh -e "$work/here.sh" >"$work/ran.log" 2>&1 || fail "it fails: $(cat "$work/ran.log")"
expect_equal "run, it does what it says" "$(liberal)" 1
in_router sh -e "$work/here.sh" >"$work/ran.log" 2>&1 || fail "it fails the second time: $(cat "$work/ran.log")"
tune stream.toml
expect_equal "nothing is left here" "$(commands "$work/here.sh")" ""

in_router sysctl -qw net.netfilter.nf_conntrack_tcp_be_liberal=0
tune plain.toml
expect_equal "rules that edit no streams need nothing" "$(commands "$work/here.sh")" ""

refused=0
in_router "$fettle" doctor --tune --json >/dev/null 2>"$work/refused.log" || refused=$?
expect_equal "with --json: exit status" $refused 64
live_end
