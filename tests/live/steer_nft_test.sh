#!/bin/bash
# fettle steer with nft's rules, where the kernel has the queue statement: see steer_test.sh.
. "$(dirname "$0")/lib.sh"

live_begin "steering by nft: only what the rules can matter to is queued"
command -v nft >/dev/null || skip "nft is not there: deploy/install-dependencies --tests"
in_router nft add table inet probe \; add chain inet probe c \; add rule inet probe c queue to 9 2>"$work/nft.log" ||
  skip "the kernel has no queue statement (NFT_QUEUE): $(head -n 1 "$work/nft.log")"
in_router nft delete table inet probe
# shellcheck disable=SC2034 # the library's
tool=nft
. "$live_dir/steer_lib.sh"

try_recipe dns-doctoring
try_recipe icmp-errors --around wan
try_recipe ftp --around lan --spread flow
try_recipe mss-clamping --spread cpu
try_entering
try_load 20000
try_run 10000
live_end
