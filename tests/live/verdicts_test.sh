#!/bin/bash
# What rules decide is what the kernel does: accept, drop, repeat, another queue, marks.
. "$(dirname "$0")/lib.sh"

count=500
live_begin "verdicts and marks"

cat >"$work/rules.toml" <<'RULES'
[[rule]]
name = "drop"
match = { dst-port = 5001 }
steps = [ "drop" ]

[[rule]]
name = "mark"
match = { dst-port = 5002 }
steps = [ { mark = "0x20/0xf0" }, "accept" ]

[[rule]]
name = "repeat"
match = { dst-port = 5003, mark = "0/0x1" }
steps = [ { write = "46544c31", at = 0 }, { mark = "0x1/0x1" }, "repeat" ]

[[rule]]
name = "hand on"
match = { dst-port = 5004 }
steps = [ { write = "46544c31", at = 0 }, { queue = 7 } ]

[[rule]]
name = "hand on to nobody"
match = { dst-port = 5005 }
steps = [ { queue = 9 } ]

[[rule]]
name = "half of them"
match = { dst-port = 5006, probability = "50%" }
steps = [ "drop" ]
RULES
cat >"$work/seven.toml" <<'RULES'
[[rule]]
name = "from the other queue"
match = { dst-port = 5004 }
steps = [ { write = "46544c32", at = 4 } ]
RULES

start seven "$router" "$fettle" run --control "$work/seven" --rules "$work/seven.toml" --queue-balance 7
seven_pid=$started
wait_for 10 log_has seven ready || die "the second fettle did not get ready"
fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1

firewall "$router" -t mangle -A FORWARD -m mark --mark 0x1/0x1 -m comment --comment again
firewall "$router" -t mangle -A FORWARD -p udp -j NFQUEUE --queue-balance 0:1
firewall "$router" -A FORWARD -p udp --dport 5002 -m mark --mark 0x24 -m comment --comment marked
firewall "$router" -A FORWARD -p udp --dport 5000 -m mark --mark 0x4 -m comment --comment unmarked
# What the mark step leaves alone.
firewall "$router" -t raw -A PREROUTING -p udp --dport 5002 -j MARK --set-mark 0x14
firewall "$router" -t raw -A PREROUTING -p udp --dport 5000 -j MARK --set-mark 0x4

try() {  # port version
  local address="server_address$2" from="client_addresses$2"
  start receiver "$server" "$traffic" receive "at=${!address}" "port=$1"
  receiver_pid=$started
  wait_for 5 log_has receiver listening || die "the receiver does not listen"
  start sender "$client" "$traffic" send "to=${!address}" "port=$1" "from=${!from}" \
    count=$count rate=20000 size=300
  sender_pid=$started
  wait "$sender_pid" || die "the sender failed"
  sleep 0.1
  traffic_stop >/dev/null
  received=$(report receiver distinct)
  expect_equal "port $1, IPv$2: damaged" "$(report receiver corrupt)" 0
}

by_chance=0
for v in 4 6; do
  tables=iptables
  [ $v = 4 ] || tables=ip6tables
  try 5000 $v
  expect_equal "IPv$v, no rule: unchanged" "$(report receiver none)" $count
  expect_equal "IPv$v, no rule: mark stays" "$(counted "$router" $tables filter unmarked)" $count
  try 5001 $v
  expect_equal "IPv$v, drop: arrive" "$received" 0
  try 5002 $v
  expect_equal "IPv$v, mark: arrive unchanged" "$(report receiver none)" $count
  expect_equal "IPv$v, mark: seen by the next table" "$(counted "$router" $tables filter marked)" $count
  try 5003 $v
  expect_equal "IPv$v, repeat: arrive changed" "$(report receiver first)" $count
  expect_equal "IPv$v, repeat: come by the chain again" "$(counted "$router" $tables mangle again)" $count
  try 5004 $v
  expect_equal "IPv$v, queue: changed by both" "$(report receiver both)" $count
  try 5005 $v
  expect_equal "IPv$v, queue without a listener: arrive" "$(report receiver none)" $count
  try 5006 $v
  expect_between "IPv$v, half of them dropped: arrive" "$received" $((count / 2 - 70)) $((count / 2 + 70)) # 6 deviations
  by_chance=$((by_chance + count - received))
done
expect_equal "checksum errors at the server" "$(checksum_errors "$server")" 0
fettle_stop
expect_equal "exit status" "$fettle_status" 0
expect_equal "dropped, as the summary says" "$(queue_summary dropped)" $((2 * count + by_chance))
expect_equal "hits of \"half of them\"" "$(rule_summary hits "half of them")" $by_chance
for rule in drop mark "hand on" "hand on to nobody"; do
  expect_equal "hits of \"$rule\"" "$(rule_summary hits "$rule")" $((2 * count))
done
kill -TERM "$seven_pid"
status=0
wait "$seven_pid" || status=$?
expect_equal "exit status of the second" $status 0
live_end
