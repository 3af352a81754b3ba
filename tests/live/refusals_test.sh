#!/bin/bash
# What fettle run cannot do it refuses at once, with the reason and an exit status of sysexits(3).
. "$(dirname "$0")/lib.sh"

live_begin "refusals of fettle run"

printf '[[rule]]\nmatch = { protocol = "udp" }\nsteps = [ { set = { ttl = 9 } } ]\n' >"$work/rules.toml"
printf '[[rule]]\nmatch = { protcol = "udp" }\nsteps = [ "drop" ]\n' >"$work/bad.toml"

# Sets output.
refused() {  # title exit-status pattern command...
  local title=$1 wanted=$2 pattern=$3 status=0
  shift 3
  output=$(timeout 20 ip netns exec "$router" "$@" 2>&1) || status=$?
  expect_equal "$title: exit status" $status "$wanted"
  expect_match "$title: the message names it" "$output" "$pattern"
}
run=("$fettle" run --control "$work/second")
good=(--rules "$work/rules.toml" --queue-balance 0:1)

fettle_start "$router" "${good[@]}"
refused "queue taken" 69 "queue [01].*(process|pid)? *.*$fettle_pid" "${run[@]}" "${good[@]}"
expect_match "queue taken: by fettle" "$output" "fettle"
refused "one of two taken" 69 "queue 1" "${run[@]}" --rules "$work/rules.toml" --queue-balance 1:2
expect_equal "one of two taken: the other is let go" "$(queue_column "$router" 2 1)" ""
expect_equal "the owner still has its queue" "$(queue_column "$router" 0 1)" 0
fettle_stop
expect_equal "exit status of the owner" "$fettle_status" 0

refused "no capability" 77 "CAP_NET_ADMIN" \
  setpriv --inh-caps=-all --bounding-set=-all "${run[@]}" "${good[@]}"
refused "another user" 77 "CAP_NET_ADMIN" \
  setpriv --reuid 65534 --regid 65534 --clear-groups "${run[@]}" --rules /dev/null --queue-balance 0:1

refused "unknown flag" 64 "frobnicate" "${run[@]}" "${good[@]}" --frobnicate
refused "no rules" 64 "rules" "${run[@]}" --queue-balance 0:1
refused "no queue" 64 "queue-balance" "${run[@]}" --rules "$work/rules.toml"
refused "queues backwards" 64 "3:1" "${run[@]}" --rules "$work/rules.toml" --queue-balance 3:1
refused "queue out of range" 64 "65536" "${run[@]}" --rules "$work/rules.toml" --queue-balance 65536
refused "batch of none" 64 "batch" "${run[@]}" "${good[@]}" --batch 0
refused "fail-open and closed" 64 "fail-(open|closed)" "${run[@]}" "${good[@]}" --fail-open --fail-closed
refused "GSO and not" 64 "gso" "${run[@]}" "${good[@]}" --gso --no-gso
refused "unknown --on-crash" 64 "on-crash.*(panic)?" "${run[@]}" "${good[@]}" --on-crash panic
refused "a CPU that is not there" 64 "4095" "${run[@]}" "${good[@]}" --cpus 4095

refused "bad rules" 65 "bad\.toml:2:" "${run[@]}" --rules "$work/bad.toml" --queue-balance 0
expect_match "bad rules: quoted" "$output" "protcol"
expect_match "bad rules: the nearest word" "$output" "protocol"
refused "no such file" 66 "$work/none\.toml" "${run[@]}" --rules "$work/none.toml" --queue-balance 0
expect_equal "queues that any of them left" \
  "$(in_router sh -c 'wc -l </proc/net/netfilter/nfnetlink_queue')" 0
live_end
