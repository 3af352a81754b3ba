#!/bin/bash
# More threads than one in each worker: every packet changed as one thread would, flows in order, nothing lost,
# through reload, the death of a worker, and the end; and workers that never sleep.
. "$(dirname "$0")/lib.sh"

live_begin "threads inside the workers, and busy polling"

rule_set() {  # bytes at
  printf '[[rule]]\nname = "%s"\nmatch = { protocol = "udp", dst-port = 5000 }\nsteps = [\n' "$1"
  # So dear that a single packet is worth sharing out.
  for _ in $(seq 600); do
    printf '  { write = "00000000", at = %d }, { write = "ffffffff", at = %d },\n' "$2" "$2"
  done
  printf '  { write = "%s", at = %d } ]\n' "$1" "$2"
}
rule_set 46544c31 0 >"$work/one"
rule_set 46544c32 4 >"$work/two"

threads_of() {  # pid
  find "/proc/$1/task" -mindepth 1 -maxdepth 1 | wc -l
}

firewall "$router" -t mangle -A FORWARD -p udp --dport 5000 -j NFQUEUE --queue-balance 0:1
cp "$work/one" "$work/rules.toml"
fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1 --threads 2 --batch 64 --queue-length 32768
receiver_start $server_address4
sender_start $server_address4 from=$client_addresses4 rate=10000 size=64
sleep 0.7
expect_equal "threads of a worker" "$(threads_of "$(worker_pid 0)")" 2
kill -KILL "$(worker_pid 0)"
sleep 0.5
cp "$work/two" "$work/rules.toml"
kill -HUP "$fettle_pid"
wait_for 10 log_has fettle reloaded || die "no reload"
sleep 0.5
traffic_stop
expect_equal "lost" "$lost" 0
expect_equal "duplicated" "$(report receiver duplicated)" 0
expect_equal "damaged" "$(report receiver corrupt)" 0
expect_equal "reordered" "$(report receiver reordered)" 0
expect_between "unchanged, in the hands of the dead" "$(report receiver none)" 0 $((2 * 64))
expect_between "changed by the first rules" "$(report receiver first)" 5000 "$sent"
second=$(report receiver second)
expect_between "changed by the second rules" "$second" 3000 "$sent"
fettle_stop
expect_equal "exit status" "$fettle_status" 0
expect_equal "hits of all threads" "$(rule_summary hits 46544c32)" "$second"

cp "$work/one" "$work/rules.toml"
fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1 --busy-poll --queue-length 32768
receiver_start $server_address4
sender_start $server_address4 from=$client_addresses4 count=10000 rate=20000 size=64
wait "$sender_pid" || die "the sender failed"
traffic_stop
expect_equal "busy polling: lost" "$lost" 0
expect_equal "busy polling: changed" "$(report receiver first)" 10000
fettle_stop
expect_equal "busy polling: exit status" "$fettle_status" 0
live_end
