#!/bin/bash
# fettle run --shadow: whatever the rules say, every packet arrives as it was sent, as scapy sees it on both sides of
# the router; what is counted is what the same rules do to the same traffic without it; the log has the bytes.
. "$(dirname "$0")/lib.sh"
"$python" -c 'import scapy' 2>/dev/null || skip "needs python3-scapy"
command -v tcpdump >/dev/null || skip "tcpdump is not there: deploy/install-dependencies --tests"

count=40
live_begin "run --shadow changes nothing, and says what would be"

cat >"$work/rules.toml" <<'RULES'
[table.inside]
"10.20.0.11" = "203.0.113.11"
[[rule]]
name = "hop"
match = { protocol = "udp", dst-port = 5001 }
steps = [ { set = { ttl = 9 } } ]
[[rule]]
name = "slot"
match = { protocol = "udp", dst-port = 5002 }
steps = [ { write = "46544c31", at = 0 } ]
[[rule]]
name = "inside"
match = { protocol = "udp", dst-port = 5003 }
steps = [ { translate = "inside", at = 4 } ]
[[rule]]
name = "gone"
match = { protocol = "udp", dst-port = 5004 }
steps = [ "drop" ]
[[rule]]
name = "colour"
match = { protocol = "udp", dst-port = 5005 }
steps = [ { mark = "0x20/0xf0" } ]
[[rule]]
name = "slow"
match = { protocol = "udp", dst-port = 5006 }
steps = [ { delay = "700ms" } ]
[[rule]]
name = "longer"
match = { protocol = "udp", dst-port = 5007 }
must-change = true
steps = [ { insert = "3a3a3a", at = 14 } ]
[[rule]]
name = "beyond"
match = { protocol = "udp", dst-port = 5008 }
on-miss = "drop"
steps = [ { write = "00", at = 900 } ]
[[rule]]
name = "words"
match = { protocol = "tcp", dst-port = 5100, tcp-flags = "psh" }
steps = [ { replace = '\bsecret\b', with = 'a much longer word' } ]
RULES
datagram_rules="hop slot inside gone colour slow longer beyond"

status_of() {  # expression over s
  "$fettle" status --json --control "$work/control" |
    "$python" -c "import json, sys; s = json.load(sys.stdin); q = s['queues'][0]; print($1)"
}
per_rule() { status_of '" ".join("%s=%d/%d" % (r["name"], r["hits"], r["misses"]) for r in s["rules"])'; }
watch() {  # device
  start "watch-$1" "$router" tcpdump -i "$1" -n -U -B 16384 -Z root --immediate-mode -w "$work/$1.pcap" \
    'ip and (udp portrange 5001-5009 or tcp port 5100)'
  watches+=("$started")
  wait_for 5 log_has "watch-$1" 'listening on' || die "tcpdump does not listen"
}

traffic_passes() {  # name: sets compared
  local at
  watches=()
  watch lan
  watch wan
  start server "$server" "$python" "$live_dir/shadow_traffic.py" serve $server_address4 5100
  wait_for 10 log_has server listening || die "the server does not listen"
  in_client "$python" "$live_dir/shadow_traffic.py" send $server_address4 5100 $count >"$work/client.log" 2>&1 ||
    die "the client failed"
  wait_for 5 queues_empty "$router" || fail "the queue does not run empty"
  sleep 0.3
  kill "${watches[@]}"
  for at in "${watches[@]}"; do wait "$at" 2>/dev/null || true; done
  "$python" "$live_dir/shadow_traffic.py" compare "$work/lan.pcap" "$work/wan.pcap" >"$work/$1.log" ||
    die "the captures cannot be compared"
  printf '        %s: %s, %s\n' "$1" "$(report "$1" same) of $(report "$1" came) as they came" "$(tail -n 1 "$work/client.log")"
}

firewall "$router" -t mangle -A FORWARD -m mark ! --mark 0 -m comment --comment early
in_router iptables -t mangle -A FORWARD -p udp --dport 5001:5009 -j NFQUEUE --queue-num 0
in_router iptables -t mangle -A FORWARD -p tcp --dport 5100 -j NFQUEUE --queue-num 0
in_router iptables -t mangle -A FORWARD -p tcp --sport 5100 -j NFQUEUE --queue-num 0
in_router iptables -A FORWARD -m mark ! --mark 0 -m comment --comment marked
# Port 5009 goes to another machine's unreachable port nowhere: the server says so by ICMP, which is not looked at.
in_server iptables -A OUTPUT -p icmp -j DROP

printf 'in a shadow\n'
fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0 --shadow --on-crash drop --queue-length 32768 --overload-length 32768 \
  --metrics 127.0.0.1:9464
expect_match "the self-test changes nothing either" "$(cat "$work/fettle.log")" \
  'self-test: (a packet went through the queue and came out as it went in|cannot be done here)'
expect_match "ready, in a shadow" "$(cat "$work/fettle.log")" 'ready: queue 0, .*SHADOW, every packet passes as it came'
expect_equal "though a rule has must-change, the queue is open" "$(status_of 'q["settings"]["fail_open"]')" True
traffic_passes shadow
expect_between "packets came" "$(report shadow came)" $((9 * count + 14)) $((9 * count + 80))
expect_equal "as many left" "$(report shadow left)" "$(report shadow came)"
expect_equal "each as it came, in its flow's order" "$(report shadow same)" "$(report shadow came)"
expect_between "none was kept back, milliseconds" "$(report shadow slowest)" 0 300
expect_equal "marked" "$(counted "$router" iptables filter marked)" 0
expect_equal "what the server was sent" "$(report client answers)" 11,11,19,23,9
shadow_rules=$(per_rule)
shadow_udp=$(status_of 'q["traffic"]["dropped"], q["other"]["held"]')
shadow_edited=$(status_of 'q["streams"]["stream_edited"]')
expect_equal "status --json" "$(status_of 's["shadow"]')" True
expect_match "status" "$("$fettle" status --control "$work/control")" '^SHADOW +every packet passes as it came'
expect_match "top" "$("$fettle" top --once --control "$work/control")" 'SHADOW, running'
expect_match "metrics" "$(in_router "$python" -c \
  'import urllib.request; print(urllib.request.urlopen("http://127.0.0.1:9464/metrics").read().decode())')" '^fettle_shadow 1$'

line() {  # rule pattern
  expect_match "the log: $1" "$(grep "shadow: rule \"$1\"" "$work/fettle.log" | head -n 3)" "$2"
}
line hop 'UDP 54 bytes, ttl 63: would change [34] bytes at 8: 3f11[0-9a-f]+ -> 0911[0-9a-f]+, 2 at 26:'
line slot '4 at 28: 73656e74 -> 46544c31$'
line inside '4 at 32: 0a14000b -> cb00710b$|3 at 32: 0a1400 -> cb0071$'
line gone '10\.1\.0\.2:[0-9]+ > 10\.2\.0\.2:5004 UDP 54 bytes, ttl [0-9]+: would drop it$'
line colour 'would mark 0x0 -> 0x20$'
line slow 'would delay 700ms$'
line longer 'insert 3 bytes at 42: 3a3a3a$'
line beyond 'would drop it$'
line words 'its stream would change .* 6 at [0-9]+ to 18: 736563726574 -> 61206d756368206c6f6e67657220776f\.\.$'

printf 'a reload, and a worker that dies, under traffic\n'
firewall "$router" -t mangle -A FORWARD -p udp --dport 5000 -j NFQUEUE --queue-num 0
sed -i '0,/dst-port = 5002/s//dst-port = [5000, 5002]/' "$work/rules.toml"
receiver_start $server_address4
sender_start $server_address4 from=$client_addresses4 rate=5000 size=64
sleep 0.3
kill -HUP "$fettle_pid"
wait_for 10 log_has fettle reloaded || die "no reload"
sleep 0.3
kill -KILL "$(worker_pid 0)"
sleep 0.5
expect_equal "the reload left it a shadow" "$(status_of 's["shadow"]')" True
expect_between "hits of the reloaded rule" "$(status_of 's["rules"][1]["hits"]')" 100 100000
traffic_stop
expect_equal "lost" "$lost" 0
expect_equal "unchanged" "$(report receiver none)" "$sent"
expect_equal "reordered" "$(report receiver reordered)" 0
# What is counted did not happen: who takes the queue over, and does it, begins anew.
start live "$router" "$fettle" run --control "$work/control" --rules "$work/rules.toml" --queue-balance 0 --takeover
live_pid=$started
wait_for 10 log_has live 'ready' || die "no takeover"
fettle_wait
expect_match "a takeover begins its counts anew" "$(cat "$work/live.log")" 'a shadow: counters and TCP streams begin anew'
expect_equal "and is no shadow" "$(status_of 's["shadow"], q["traffic"]["packets"]')" "False 0"
expect_match "the summary of the shadow" "$(cat "$work/fettle.log" "$work/live.log")" 'handed over to process'
kill -TERM "$live_pid"
wait "$live_pid" || fail "the one that took over failed"

printf 'the same rules, the same traffic, without\n'
sed -i '0,/dst-port = \[5000, 5002\]/s//dst-port = 5002/' "$work/rules.toml"
fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0
traffic_passes plain
expect_between "as they came are fewer" "$(report plain same)" 0 $(($(report plain came) / 3))
expect_equal "what the server was sent" "$(report client answers)" 11,23,31,35,9
for rule in $datagram_rules; do
  expect_equal "hits/misses of \"$rule\", in the shadow" "$(grep -o "\b$rule=[0-9/]*" <<<"$shadow_rules")" \
    "$(grep -o "\b$rule=[0-9/]*" <<<"$(per_rule)")"
done
expect_equal "dropped and delayed, in the shadow" "$shadow_udp" "$(status_of 'q["traffic"]["dropped"], q["other"]["held"]')"
# What waits live may be repeated by its sender meanwhile.
expect_match "hits/misses of \"words\", in the shadow" "$shadow_rules" '\bwords=6/0$'
expect_match "hits/misses of \"words\"" "$(per_rule)" '\bwords=[6-9]/0$'
expect_equal "segments edited, in the shadow" "$shadow_edited" 4
expect_between "segments edited" "$(status_of 'q["streams"]["stream_edited"]')" 4 7
expect_equal "status --json" "$(status_of 's["shadow"]')" False
fettle_stop

printf 'with --steer, and what is refused\n'
in_router iptables -t mangle -F FORWARD
fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0 --shadow --steer iptables --threads 2
expect_equal "steered: rules that drop what nobody reads" \
  "$(in_router iptables-save -t mangle | grep NFQUEUE | grep -vc bypass)" 0
traffic_passes steered
expect_equal "steered: each as it came" "$(report steered same)" "$(report steered came)"
fettle_stop
expect_match "the summary" "$(cat "$work/fettle.log")" '^SHADOW: every packet passed as it came'
for flags in --fail-closed "--steer nft --push-down"; do
  refused=0
  # shellcheck disable=SC2086  # words
  in_router "$fettle" run --rules "$work/rules.toml" --queue-balance 0 --shadow $flags \
    >"$work/refused.log" 2>&1 || refused=$?
  expect_equal "with $flags: exit status" $refused 64
done
live_end
