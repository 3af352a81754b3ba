#!/bin/bash
# deploy/container/Containerfile, built and run by Podman on a Debian 12 of debootstrap's: with the capabilities that
# its page names, packets pass and are changed; it is healthy while the supervisor answers; what runs is taken over by
# the next container under UDP load, and nothing is lost; stopped, it empties its queues. What Kubernetes' DaemonSet
# runs beside it has new rules read.
#
#   PACKAGES=build container_test.sh   the build folder, in which Debian is kept, for the next time
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/debian_lib.sh"
. "$(dirname "$0")/engine_lib.sh"

eval "show_all_logs() { $(declare -f show_logs | tail -n +2); }"
rate=${RATE:-20000}
live_begin "a container, at $rate packets a second"
debian_begin
engine_begin
make_package now
debian_plain

show_logs() { engine_logs && show_all_logs; }

# ---- built ------------------------------------------------------------------------------------
tar -C "$debian" --create . | engine import --quiet - docker.io/library/debian:12 >"$work/import.log" 2>&1 ||
  skip "Podman takes no image here: $(tail -n 1 "$work/import.log")"
began=$SECONDS
engine build --pull=never --isolation chroot --format docker --tag fettle \
  --file "$root_dir/deploy/container/Containerfile" "$work/now" >"$work/build.log" 2>&1 || {
  ! grep -qE 'Failed to fetch|Could not resolve|Temporary failure' "$work/build.log" || skip "no packages for it here"
  die "podman build failed"
}
pass "the image is built, in $((SECONDS - began)) s"

# ---- run --------------------------------------------------------------------------------------
mkdir -p "$work"/{rules,control}
rules() {  # the rule's name
  printf '[[rule]]\nname = "%s"\nmatch = { protocol = "udp", dst-port = 5000 }\n' "$1"
  printf 'steps = [ { write = "46544c31", at = 0 } ]\n'
}
rules first >"$work/rules/rules.toml"
capabilities=(NET_ADMIN SYS_ADMIN BPF PERFMON SETUID SETGID SETPCAP KILL CHOWN)
page=$(sed -n 's/^| `\([A-Z_, `]*\)` |.*/\1/p' "$root_dir/deploy/container/README.md" | tr -d '`,' | xargs)
expect_equal "capabilities that the page names" "$page" "${capabilities[*]}"
options=(--cap-drop ALL "${capabilities[@]/#/--cap-add=}" --security-opt no-new-privileges --read-only --pid host
  --volume "$work/rules:/etc/fettle:ro" --volume "$work/control:/run/fettle")
arguments=(run --rules /etc/fettle/rules.toml --queue-balance 0:1 --queue-length 65536 --receive-buffer 256M
  --steer iptables)
engine_run first "${options[@]}" fettle "${arguments[@]}"
is_ready() { container_says "$1" 'ready: ' || { container_state "$1" | grep -q running || die "$1 ended"; false; }; }
wait_for 10 is_ready first || die "it does not get ready"
engine logs first 2>&1 | grep -E 'sandbox|self-test|locked' | sed 's/^/        /'
# Which takes a kernel with BPF LSM, and a machine that allows it.
missing=$(engine logs first 2>&1 | grep -E 'left out|running without' |
  grep -vc "left out: the lock on the queues' sockets" || true)
expect_equal "what fettle goes without, but for that lock" "$missing" 0
expect_equal "before it is asked" "$(container_health first)" starting
healthy() { engine healthcheck run "$1" >"$work/health.log" 2>&1; }
wait_for 5 healthy first || fail "the health check fails: $(cat "$work/health.log")"
expect_equal "health" "$(container_health first)" healthy
expect_equal "an option's value of the recipe" "$(engine inspect first --format '{{.Config.StopSignal}}')" 15

# ---- taken over by the next one, under load ---------------------------------------------------
expect_match "the firewall's rules are entered" "$(in_router iptables-save)" "dports 5000 .*NFQUEUE .*--queue-bypass"
receiver_start $server_address4
sender_start $server_address4 "from=$client_addresses4" "rate=$rate"
sleep 0.5
engine_run second "${options[@]}" fettle "${arguments[@]}" --takeover
began=$SECONDS
wait_for 10 is_ready second || die "it does not get ready"
ended() { [ "$(container_state first)" = "exited 0" ]; }
wait_for 10 ended || true
expect_equal "the former one, by itself" "$(container_state first)" "exited 0"
sleep 0.5
traffic_stop
for what in none duplicated corrupt; do expect_equal "packets: $what" "$(report receiver $what)" 0; done
expect_equal "lost" "$lost" 0

# ---- new rules, as the DaemonSet's second container has them read ------------------------------
"$python" - "$root_dir/deploy/kubernetes/daemonset.yaml" >"$work/reload.sh" <<'SCRIPT'
import sys, yaml
spec = yaml.safe_load(open(sys.argv[1]))["spec"]["template"]["spec"]
print(next(c["command"][2] for c in spec["containers"] if c["name"] == "reload"))
SCRIPT
engine_run reload --cap-drop ALL --read-only --security-opt no-new-privileges --volume "$work/rules:/etc/fettle:ro" \
  --volume "$work/control:/run/fettle" --entrypoint /bin/sh fettle -c "$(sed 's/sleep 5/sleep 0.3/' "$work/reload.sh")"
sleep 1
rules second >"$work/rules/new" # as a ConfigMap comes: all at once
mv "$work/rules/new" "$work/rules/rules.toml"
wait_for 10 container_says second 'reload asked for by' || fail "new rules are not read again"
reloads() { engine logs second 2>&1 | grep -c 'reload asked for by' || true; }
sleep 1.5
expect_equal "of which it is told once" "$(reloads)" 1
printf 'wrong' >"$work/rules/rules.toml"
wait_for 10 container_says second 'reload refused, the rules in force stay' || fail "wrong rules are not refused"
wait_for 5 healthy second || fail "the health check fails with refused rules: $(cat "$work/health.log")"
engine stop --time 5 reload >/dev/null
expect_equal "and ends when it is told" "$(container_state reload)" "exited 0"

# ---- ill, and well again ----------------------------------------------------------------------
# In the first 15 s no failure counts.
while [ $((SECONDS - began)) -le 15 ]; do sleep 0.2; done
supervisor=$(engine inspect second --format '{{.State.Pid}}')
kill -STOP "$supervisor"
for _ in 1 2 3; do ! healthy second || fail "a supervisor that stands still is healthy"; done
expect_equal "health while the supervisor stands still" "$(container_health second)" unhealthy
kill -CONT "$supervisor"
wait_for 5 healthy second || fail "the health check fails: $(cat "$work/health.log")"
expect_equal "health when it goes on" "$(container_health second)" healthy

# ---- stopped, and another one started, as where nothing is taken over -----------------------------
rules third >"$work/rules/rules.toml"
receiver_start $server_address4
sender_start $server_address4 "from=$client_addresses4" "rate=$rate"
sleep 0.5
began=$(date +%s%N)
engine stop --time 10 second >/dev/null
expect_equal "state after it" "$(container_state second)" "exited 0"
expect_equal "queues that are bound after it" "$(in_router sh -c 'wc -l </proc/net/netfilter/nfnetlink_queue')" 0
expect_equal "rules of the firewall after it" "$(in_router iptables-save | grep -c NFQUEUE)" 0
engine_run third "${options[@]}" fettle "${arguments[@]}"
wait_for 10 is_ready third || die "it does not get ready"
printf '        nobody there for %d ms\n' $((($(date +%s%N) - began) / 1000000))
sleep 0.5
traffic_stop
expect_equal "lost" "$lost" 0
expect_between "but unchanged" "$(report receiver none)" 1 $((10 * rate))

# ---- with the least that it works with, and folders as Kubernetes makes them (emptyDir) ------------
engine stop --time 10 third >/dev/null
engine_run least --cap-drop ALL --cap-add NET_ADMIN --security-opt no-new-privileges --read-only \
  --volume "$work/rules:/etc/fettle:ro" --tmpfs /run/fettle:mode=777 --tmpfs /var/lib/fettle:mode=777 \
  fettle "${arguments[@]}"
wait_for 10 is_ready least || die "it does not get ready"
engine logs least 2>&1 | grep -E 'sandbox|self-test|warning' | sed 's/^/        /'
wait_for 5 healthy least || fail "the health check fails: $(cat "$work/health.log")"
expect_equal "health with NET_ADMIN alone" "$(container_health least)" healthy
live_end
