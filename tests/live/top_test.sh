#!/bin/bash
# fettle top: its figures beside those of fettle status and the traffic's own, and a pty in which somebody presses
# keys, resizes the window, ends it, and meets another supervisor.
. "$(dirname "$0")/lib.sh"

live_begin "top"
control=$work/control
cat >"$work/rules.toml" <<'RULES'
[[rule]]
name = "never met"
match = { protocol = "udp", dst-port = 6000 }
steps = [ "drop" ]
[[rule]]
name = "mark"
match = { protocol = "udp", dst-port = 5000 }
steps = [ { write = "46544c31", at = 0 } ]
[[rule]]
name = "a rule of many words"
match = { protocol = "udp", dst-port = 6001 }
steps = [ "drop" ]
RULES

top() { LC_ALL=C.UTF-8 "$fettle" top --control "$control" "$@"; }
refused() {  # title exit-status pattern argument...
  local status=0 output
  output=$(top "${@:4}" 2>&1 </dev/null) || status=$?
  expect_equal "$1: exit status" $status "$2"
  expect_match "$1: says so" "$output" "$3"
}
total() {  # counter: of all queues, by status
  "$fettle" status --json --control "$control" | "$python" -c '
import json, sys
print(sum(queue[group][sys.argv[1]] for queue in json.load(sys.stdin)["queues"]
          for group in ("traffic", "loss") if sys.argv[1] in queue[group]))' "$1"
}
uptime() {
  "$fettle" status --json --control "$control" |
    "$python" -c 'import json, sys; print(json.load(sys.stdin)["up_ms"])'
}
# A figure of the screen, such as 4.02k.
figure() {  # first-word column
  awk -v word="$1" -v column="$2" '
    $1 == word { text = $column; number = text + 0
      if (text ~ /k$/) number *= 1000
      if (text ~ /M$/) number *= 1000000
      printf "%d\n", number; exit }' "$work/screen"
}

# ---- nobody there, and flags ---------------------------------------------------------------------
refused "nobody there" 69 "no fettle listens at $control" --once
refused "interval" 64 'interval.*found "0", expected seconds from 0\.1' --interval 0
refused "interval, no number" 64 'found "nan"' --interval nan
refused "batch" 64 'batch' --batch none
refused "both" 64 'once|batch' --once --batch 2
fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1
refused "no terminal" 64 'standard input is no terminal.*--once'
status=0
output=$("$python" -c '
import sys
sys.path.insert(0, sys.argv[1])
from terminal import Terminal
terminal = Terminal(sys.argv[2:], environment={"TERM": "dumb"})
status = terminal.end()
print(terminal.bytes.decode())
sys.exit(status)' "$live_dir" "$fettle" top --control "$control") || status=$?
expect_equal "TERM=dumb: exit status" $status 64
expect_match "TERM=dumb: says so" "$output" 'found TERM="dumb"'

# ---- figures -------------------------------------------------------------------------------------
firewall "$router" -t mangle -A FORWARD -p udp --dport 5000 -j NFQUEUE --queue-balance 0:1
receiver_start $server_address4
sender_start $server_address4 from=$client_addresses4 rate=4000 size=64
sleep 0.5
packets=$(total packets) bytes=$(total bytes) at=$(uptime)
top --batch 2 --interval 1.5 >"$work/screens"
packets=$(($(total packets) - packets)) bytes=$(($(total bytes) - bytes)) at=$(($(uptime) - at))
sed -n '/^$/!{p;b};p' "$work/screens" | awk '/^fettle /{ n++ } n == 2' >"$work/screen"
sed 's/^/        /' "$work/screen"
expect_equal "screens" "$(grep -c '^fettle ' "$work/screens")" 2
near() { expect_between "$1, by status $3" "$2" $(($3 * 70 / 100)) $(($3 * 130 / 100)); }
near "packets/s" "$(figure all 2)" $((packets * 1000 / at))
near "bytes/s" "$(figure all 3)" $((bytes * 1000 / at))
near "changed/s" "$(figure all 4)" $((packets * 1000 / at))
near "accepted/s" "$(figure all 5)" $((packets * 1000 / at))
hits=$(awk '$NF == "mark" { print $1 ~ /k$/ ? $1 * 1000 : $1 }' "$work/screen")
near "hits/s of the rule" "$hits" $((packets * 1000 / at))
expect_equal "dropped/s" "$(figure all 6)" 0
expect_match "the widest line has 80 columns" "$(wc -L <"$work/screens")" '^([1-7][0-9]|80)$'
top --once >"$work/screen" && expect_equal "--once: screens" "$(grep -c '^fettle ' "$work/screen")" 1

# ---- keys ----------------------------------------------------------------------------------------
"$python" "$live_dir/top_keys.py" "$fettle" "$control" "$fettle_pid" >"$work/keys.log" 2>&1 &
keys=$!
pids+=("$keys")
wait_for 90 log_has keys '^gone' || fail "top did not see the supervisor go"
if log_has keys '^gone'; then
  fettle_wait
  kill -TERM "$sender_pid"
  wait "$sender_pid" || true
  sender_start $server_address4 from=$client_addresses4 rate=100 size=64
  fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1
fi
status=0
wait "$keys" || status=$?
while read -r line; do
  case $line in
    "ok "*) pass "${line#ok    }" ;;
    "FAIL "*) fail "${line#FAIL  }" ;;
  esac
done <"$work/keys.log"
expect_equal "at the keys: exit status" $status 0

# ---- quiet: no more is counted, and both say the same -------------------------------------------
kill -TERM "$sender_pid"
wait "$sender_pid" || true
sleep 0.3
top --once --interval 0.3 >"$work/screen"
expect_equal "hits of the rule, by both" "$(awk '$NF == "mark" { print $3 }' "$work/screen")" "$(total packets)"
expect_equal "packets/s" "$(figure all 2)" 0
expect_match "what came between both has its place" "$(cat "$work/screen")" \
  '^ +[0-9]+ +\+0 firewall: came while fettle did not run'
fettle_stop
expect_equal "exit status of fettle run" "$fettle_status" 0
live_end
