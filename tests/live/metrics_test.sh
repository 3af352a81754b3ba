#!/bin/bash
# fettle run --metrics: what Prometheus gets, beside `fettle status` and the firewall's own counts; counters that do
# not go back over kills, reloads and a takeover; and clients that mean it no good. SEED repeats a run of these.
. "$(dirname "$0")/lib.sh"

clients=$((5000 / ${SLOWNESS:-1}))
promtool=$(command -v promtool) || skip "promtool is not there (Debian package prometheus)"
command -v curl >/dev/null || skip "curl is not there (Debian package curl)"
live_begin "metrics"

rule_set() {  # bytes...
  local at=0 bytes
  for bytes in "$@"; do
    printf '[[rule]]\nname = "mark \\"%s\\""\nmatch = { protocol = "udp", dst-port = 5000 }\n' "$bytes"
    printf 'steps = [ { write = "%s", at = %d } ]\n' "$bytes" $((at++ * 4))
  done
}
rule_set 46544c31 46544c32 >"$work/two"
rule_set 46544c31 >"$work/one"
cp "$work/two" "$work/rules.toml"
control=$work/control
address=127.0.0.1:9464
url=http://$address/metrics
good=(--rules "$work/rules.toml" --queue-balance 0:1 --queue-length 32768)
clients_py() { in_router "$python" "$live_dir/metrics_clients.py" "$@"; }
member() { "$fettle" status --control "$control" --json | "$python" "$live_dir/control_clients.py" get "$@"; }
scrape() { in_router curl -sS -m 10 "${1:-$url}" >"$work/page"; }
metric() { clients_py value "$work/page" "$@"; }
server_pid() {
  local pid
  for pid in $(cat "/proc/$fettle_pid/task/$fettle_pid/children"); do
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != fettle-metrics ] || printf '%s\n' "$pid"
  done
}
queued() { in_router iptables -t mangle -nvxL FORWARD | awk -v column="$1" '/NFQUEUE/ { print $column }'; }

# Sets output.
refused() {  # title exit-status pattern flag...
  local title=$1 wanted=$2 pattern=$3 status=0
  shift 3
  output=$(timeout 20 ip netns exec "$router" "$fettle" run --rules "$work/rules.toml" --queue-balance 7 \
    --control "$work/second" "$@" 2>&1) || status=$?
  expect_equal "$title: exit status" $status "$wanted"
  expect_match "$title: says so" "$output" "$pattern"
}

# ---- what is refused ----------------------------------------------------------------------------
refused "a name" 64 'found "localhost:9464", expected an address and a port' --metrics localhost:9464
refused "no port" 64 'found "127.0.0.1", expected .* like 127.0.0.1:9464 or \[::1\]:9464' --metrics 127.0.0.1
refused "another machine's address" 69 'found 192.0.2.1:9464, expected an address that this machine has' \
  --metrics 192.0.2.1:9464
fettle_start "$router" "${good[@]}" --metrics $address
refused "a port in use" 69 "127.0.0.1:9464 is taken" --metrics $address
expect_equal "the owner still answers" "$(in_router curl -s -o /dev/null -w '%{http_code}' $url)" 200

# ---- the process that serves them ---------------------------------------------------------------
serving=$(server_pid)
process() { awk -v key="$1:" '$1 == key { print $2 }' "/proc/$serving/status"; }
expect_equal "its capabilities" "$(process CapEff)$(process CapBnd)" 00000000000000000000000000000000
expect_equal "seccomp, no new privileges" "$(process Seccomp) $(process NoNewPrivs)" "2 1"
[ "$(id -u nobody)" = "$(process Uid)" ] || [ "$(id -u fettle 2>/dev/null)" = "$(process Uid)" ] ||
  fail "its user: found $(process Uid), expected nobody's or fettle's"
expect_equal "its descriptors" "$(find "/proc/$serving/fd" -mindepth 1 | wc -l)" 5
expect_equal "queues' memory that it can see" "$(grep -c 'memfd:fettle' "/proc/$serving/maps" || true)" 0

# ---- figures ------------------------------------------------------------------------------------
firewall "$router" -t mangle -A FORWARD -p udp --dport 5000 -j NFQUEUE --queue-balance 0:1 --queue-bypass
receiver_start $server_address4
sender_start $server_address4 from=$client_addresses4 rate=20000
sleep 0.5
traffic_stop
all_sent=$sent
# What is there now: a status reads the firewall, where it was not read just before.
has_firewall() {
  member pid >/dev/null
  sleep 0.2
  scrape
  [ "$(metric fettle_firewall_sent_packets_total)" = "$(queued 1)" ]
}
wait_for 5 has_firewall || true
status=0
"$promtool" check metrics <"$work/page" >"$work/lint.log" 2>&1 || status=$?
expect_equal "promtool check metrics: exit status" $status 0
expect_equal "promtool check metrics: findings" "$(cat "$work/lint.log")" ""
expect_equal "packets, as sent" "$(metric fettle_packets_total)" "$sent"
expect_equal "packets, as the firewall counts them" "$(metric fettle_packets_total)" "$(queued 1)"
expect_equal "bytes, as the firewall counts them" "$(metric fettle_packet_bytes_total)" "$(queued 2)"
expect_equal "packets that the firewall sent" "$(metric fettle_firewall_sent_packets_total)" "$(queued 1)"
for queue in 0 1; do
  expect_equal "queue $queue, packets" "$(metric fettle_packets_total queue=$queue)" \
    "$(member queues $queue traffic packets)"
  expect_equal "queue $queue, verdicts" "$(metric fettle_verdicts_total queue=$queue)" \
    "$(member queues $queue traffic accepted)"
  expect_equal "queue $queue, its length" "$(metric fettle_queue_length_packets queue=$queue)" \
    "$(member queues $queue settings length)"
done
expect_equal "changed" "$(metric fettle_changed_packets_total)" "$(member queues + traffic changed)"
expect_equal "receives" "$(metric fettle_receives_total)" "$(member queues + other batches)"
expect_equal "lost" "$(metric fettle_lost_packets_total)" 0
expect_equal "hits" "$(metric fettle_rule_hits_total 'rule=mark \"46544c32\"')" "$(member rules 1 hits)"
expect_equal "version" "$(metric fettle_build_info "version=$(member version)")" 1
expect_equal "start" "$(metric fettle_start_time_seconds)" "$(member started_at)"
expect_equal "rules" "$(metric fettle_rules)" 2
expect_equal "workers that run" "$(metric fettle_worker_state state=running)" 2
headers=$(in_router curl -sS -m 5 -I $url)
expect_match "HEAD" "$headers" '^Content-Type: text/plain; version=0.0.4; charset=utf-8'
expect_equal "another path" "$(in_router curl -s -o /dev/null -w '%{http_code}' http://$address/)" 404
expect_equal "another method" "$(in_router curl -s -o /dev/null -w '%{http_code}' -d x $url)" 405

# ---- what goes on: kills, reloads, a takeover ---------------------------------------------------
start watch "$router" "$python" "$live_dir/metrics_clients.py" watch $url "$work/stop"
watch_pid=$started
receiver_start $server_address4
sender_start $server_address4 from=$client_addresses4 rate=20000
sleep 0.5
for rules in one two one two; do
  cp "$work/$rules" "$work/rules.toml"
  "$fettle" reload --control "$control" >"$work/reload.log" || fail "reload: $(cat "$work/reload.log")"
  sleep 0.2
  kill -KILL "$(worker_pid 0)"
  sleep 0.2
done
printf 'nonsense' >"$work/rules.toml"
"$fettle" reload --control "$control" >"$work/reload.log" 2>&1 && fail "nonsense is taken for rules"
cp "$work/two" "$work/rules.toml"
sleep 0.2 # a page serves for 0.1 s
scrape
expect_equal "a refused reload" \
  "$(metric fettle_last_reload_successful) $(metric fettle_last_reload_exit_status)" "0 65"
first_pid=$fettle_pid
mv "$work/fettle.log" "$work/first.log"
fettle_start "$router" "${good[@]}" --metrics $address --takeover
gone() { ! kill -0 "$first_pid" 2>/dev/null; }
wait_for 10 gone || fail "the first fettle does not end"
serves() { [ -n "$(server_pid)" ] && scrape 2>/dev/null; }
wait_for 10 serves || fail "no metrics after the takeover"
sleep 0.5
traffic_stop
touch "$work/stop"
wait "$watch_pid" || fail "the watch failed"
printf '        watch:    %s\n' "$(tail -n 1 "$work/watch.log")"
all_sent=$((all_sent + sent))
sleep 0.2
scrape
expect_equal "lost in between" "$lost" 0
expect_equal "counters that went back" "$(report watch back)" 0
expect_between "scrapes" "$(report watch scrapes)" 20 100000
expect_between "the longest scrape, in ms" "$(report watch longest_ms)" 0 $((5000 * ${SLOWNESS:-1}))
expect_equal "restarts" "$(metric fettle_worker_restarts_total queue=0)" 4
expect_equal "restarts, as status has them" "$(member queues + worker restarts)" 4
expect_equal "all packets, as status has them" "$(metric fettle_packets_total)" "$(member queues + traffic packets)"
# What a killed worker had read counts for its successor, too.
expect_between "all packets, as the firewall counts them" "$(metric fettle_packets_total)" "$(queued 1)" \
  $(($(queued 1) + $(metric fettle_recovered_packets_total)))
# Each killed worker had at most one packet in hand, which its rules may have counted before.
expect_between "hits of the rule that stayed" "$(metric fettle_rule_hits_total 'rule=mark \"46544c31\"')" \
  $((all_sent - 4)) $((all_sent + 4))
expect_between "status counts since the rules were loaded" "$(member rules 0 hits)" 1 $((sent - 1))

# ---- the server dies ----------------------------------------------------------------------------
serving=$(server_pid)
kill -KILL "$serving"
wait_for 5 log_has fettle "metrics: process $serving, .*killed by signal 9.*another one follows" ||
  fail "the end of process $serving is not told"
replaced() { [ -n "$(server_pid)" ] && [ "$(server_pid)" != "$serving" ] && scrape 2>/dev/null; }
wait_for 5 replaced || fail "it is not replaced"

# ---- clients of all kinds -----------------------------------------------------------------------
descriptors() { find "/proc/$1/fd" -mindepth 1 | wc -l; }
memory() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }
serving=$(server_pid)
clients_py storm $url 500 >/dev/null # what is allocated once is there now
sleep 0.5                            # and who reads the firewall has ended
memory_before=$(memory "$fettle_pid") server_before=$(memory "$serving") descriptors_before=$(descriptors "$fettle_pid")
receiver_start $server_address4
sender_start $server_address4 from=$client_addresses4 rate=20000
clients_py storm $url $clients ${SEED:+"$SEED"} >"$work/storm.log"
traffic_stop
printf '        clients:  %s\n' "$(tail -n 1 "$work/storm.log")"
expect_equal "clients" "$(report storm clients)" $clients
expect_equal "clients that were not served as they should" "$(report storm wrong)" 0
expect_between "the longest scrape among them, in ms" "$(report storm longest_ms)" 0 $((5000 * ${SLOWNESS:-1}))
expect_equal "during them: lost" "$lost" 0
expect_equal "during them: damaged" "$(report receiver corrupt)" 0
ulimit -n 4096
clients_py silent $url 3000 >"$work/silent.log"
printf '        silent:   %s\n' "$(tail -n 1 "$work/silent.log")"
expect_equal "connections that say nothing" "$(report silent connections)" 3000
expect_between "the longest scrape beside them, in ms" "$(report silent longest_ms)" 0 $((5000 * ${SLOWNESS:-1}))
sleep 0.5
expect_equal "the same process serves" "$(server_pid)" "$serving"
expect_equal "descriptors of the supervisor" "$(descriptors "$fettle_pid")" "$descriptors_before"
expect_equal "descriptors of the server" "$(descriptors "$serving")" 5
expect_between "memory of the supervisor in KiB, $memory_before before" "$(memory "$fettle_pid")" 0 \
  $((memory_before + 2048))
expect_between "memory of the server in KiB, $server_before before" "$(memory "$serving")" 0 $((server_before + 4096))
expect_equal "the supervisor answers at once" "$(timeout 2 "$fettle" status --control "$control" | head -c 6)" fettle

# ---- the end, and other addresses ---------------------------------------------------------------
fettle_stop
expect_equal "exit status" "$fettle_status" 0
expect_equal "who still listens" "$(in_router ss -Hltn | grep -c 9464 || true)" 0
for at in "[::1]:9464" "[::]:9464"; do
  fettle_start "$router" "${good[@]}" --metrics "$at"
  scrape "http://[::1]:9464/metrics"
  expect_equal "$at" "$(metric fettle_build_info)" 1
  [ "$at" = "[::1]:9464" ] || scrape
  expect_equal "$at, over IPv4 where it is all there is" "$(metric fettle_build_info)" 1
  fettle_stop
done
fettle_start "$router" "${good[@]}" --metrics $address --no-sandbox
scrape
expect_equal "without a sandbox" "$(metric fettle_build_info)" 1
fettle_stop
live_end
