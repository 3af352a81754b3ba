#!/bin/bash
# fettle replay, check, sniff and reference as a user meets them: pipes, exit statuses, messages.
#
#   replay_test.sh FETTLE
set -u -o pipefail
fettle=$1
here=$(cd "$(dirname "$0")" && pwd)
capture=$here/scenarios/keep-alive-is-translated/in.pcap
rules=$here/scenarios/keep-alive-is-translated/rules.toml
mended=$here/scenarios/keep-alive-is-translated/out.pcap
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0

fail() { printf 'FAIL  %s\n' "$*"; failures=$((failures + 1)); }
same() { cmp -s "$2" "$3" || fail "$1: $2 and $3 differ"; }
# what status regular-expression command...: exit status and what is said on stderr or stdout
expect() {
  local what=$1 status=$2 pattern=$3 got
  shift 3
  "$@" >said 2>&1
  got=$?
  [ "$got" = "$status" ] || fail "$what: exit status $got, expected $status: $(head -c 300 said)"
  grep -Eq -- "$pattern" said || fail "$what: does not say \"$pattern\": $(head -c 300 said)"
}

"$fettle" replay --rules "$rules" - - < <(cat "$capture") 2>/dev/null | cat >piped.pcap || fail "through pipes: exit status $?"
same "through pipes" "$mended" piped.pcap
expect "the table" 0 'packets +3' "$fettle" replay --rules "$rules" "$capture" out.pcap
expect "a rule's counters" 0 '3 +1 +keep-alive' "$fettle" replay --rules "$rules" "$capture" out.pcap
expect "JSON" 0 '"changed": 2' "$fettle" replay --json --quiet --rules "$rules" "$capture" out.pcap
"$fettle" replay --json --quiet --rules "$rules" "$capture" - 2>summary >out.pcap
same "JSON beside a capture on standard output" "$mended" out.pcap
grep -q '"packets": 3' summary || fail "JSON goes to stderr where the capture goes to standard output"
[ -z "$("$fettle" replay --quiet --rules "$rules" "$capture" out.pcap 2>&1)" ] || fail "--quiet is not quiet"

expect "onto itself" 64 'the same file' "$fettle" replay --rules "$rules" out.pcap out.pcap
same "onto itself" "$mended" out.pcap
expect "onto itself through standard input" 64 'standard input and own.pcap are the same file' \
  sh -c "cp '$capture' own.pcap && '$fettle' replay --rules '$rules' - own.pcap <own.pcap"
expect "onto its own end" 64 'own.pcap and standard output are the same file' \
  sh -c "timeout 10 '$fettle' replay --rules '$rules' own.pcap - >>own.pcap"
same "a refused replay leaves the input alone" "$capture" own.pcap
mkdir apart && cp "$capture" apart/other.pcap
expect "a copy is another file" 0 'packets +3' "$fettle" replay --rules "$rules" "$capture" apart/other.pcap
expect "no capture" 65 'is no capture: it begins with' "$fettle" replay --rules "$rules" "$rules" o
expect "no input" 66 'cannot open missing.pcap: No such file' "$fettle" replay --rules "$rules" missing.pcap o
expect "no rules" 66 'cannot read the rule file missing.toml' "$fettle" replay --rules missing.toml "$capture" o
expect "no place for the output" 73 'cannot create no/such/place: ' "$fettle" replay --rules "$rules" "$capture" no/such/place
expect "a full disk" 74 'cannot write /dev/full: No space left' "$fettle" replay --rules "$rules" "$capture" /dev/full
expect "a wrong hook" 64 'foreward' "$fettle" replay --hook foreward --rules "$rules" "$capture" o
expect "an interface's name that cannot be" 64 'found "a-name-of-16-chr", expected an interface' \
  "$fettle" replay --in a-name-of-16-chr --rules "$rules" "$capture" o
expect "the longest interface's name" 0 packets "$fettle" replay --out a-name-of-15-ch --rules "$rules" "$capture" o
for mark in -1 4294967296 green; do
  expect "mark $mark" 64 "mark.*$mark" "$fettle" replay --mark "$mark" --rules "$rules" "$capture" o
done
for count in 0 -1 99999999999999999999 few; do
  expect "sniff --count $count" 64 "count" "$fettle" sniff --count "$count" "$capture"
done

# A stream that takes no more is an error that is told, or, where it is standard error, no matter.
sh -c "'$fettle' replay --rules '$rules' '$capture' o 2>/dev/full" || fail "standard error is full: exit status $?"
same "standard error is full" "$mended" o
expect "JSON on a full disk" 74 'cannot write standard output: No space' \
  sh -c "'$fettle' replay --json --quiet --rules '$rules' '$capture' o >/dev/full"
expect "sniff on a full disk" 74 'cannot write standard output: No space' sh -c "'$fettle' sniff '$capture' >/dev/full"
{ head -c 24 "$capture"; for _ in $(seq 4000); do tail -c +25 "$capture"; done; } >long.pcap
"$fettle" replay --quiet --rules "$rules" long.pcap - 2>said | head -c 100 >start.pcap
[ "${PIPESTATUS[0]}" = 74 ] && grep -q 'cannot write standard output: Broken pipe' said || fail "a reader that goes away"

# Live: what came goes on although the input is still open, and a signal ends the wait.
mkfifo live
"$fettle" replay --quiet --rules "$rules" - - <live >went-on &
replay_pid=$!
exec 9<>live
cat "$capture" >&9
for _ in $(seq 50); do cmp -s "$mended" went-on && break; sleep 0.1; done
same "packets of a pipe that is open go on" "$mended" went-on
exec 9>&-
wait $replay_pid || fail "a pipe that was closed: exit status $?"
"$fettle" sniff - <live >seen &
sniff_pid=$!
exec 9<>live
cat "$capture" >&9
for _ in $(seq 50); do grep -q '^packet 3,' seen && break; sleep 0.1; done
grep -q '^packet 3,' seen || fail "sniff holds back what a pipe brought"
kill -TERM $sniff_pid
for _ in $(seq 50); do kill -0 $sniff_pid 2>/dev/null || break; sleep 0.1; done
kill -0 $sniff_pid 2>/dev/null && { fail "sniff does not end at SIGTERM"; kill -KILL $sniff_pid; }
wait $sniff_pid 2>/dev/null
exec 9>&-
head -c 90 "$capture" >cut.pcap
expect "a cut capture" 65 'damaged at byte 24: found 66 bytes of a record' "$fettle" replay --rules "$rules" cut.pcap o
same "a cut capture is passed on" cut.pcap o

printf '[[rule]]\nmatch = { hook = "forward", in = "lan+", out = "wan0", mark = 5 }\nsteps = ["drop"]\n' >meta.toml
expect "metadata of the command line" 0 'dropped +3' "$fettle" replay --rules meta.toml --hook forward --in lan7 \
  --out wan0 --mark 5 "$capture" o
expect "no metadata" 0 'dropped +0' "$fettle" replay --rules meta.toml "$capture" o
printf '[[rule]]\nname = "seen"\nmatch = {}\nsteps = ["log"]\n' >log.toml
expect "log" 0 'packet 2: rule "seen": IP' "$fettle" replay --rules log.toml "$capture" o

expect "check" 0 'translate the address at payload\+4' "$fettle" check "$rules"
printf '[[rule]]\nmatch = { dst-prot = 1 }\nsteps = []\n' >bad.toml
expect "a refused file" 65 'bad.toml:2:11: error: unknown match key "dst-prot"; did you mean "dst-port"\?' \
  "$fettle" check bad.toml
expect "standard input" 65 'standard input:2:11: error' sh -c "'$fettle' check - <bad.toml"
expect "no command" 64 'subcommand is required' "$fettle"
expect "an unknown command" 64 'unknown command "replays"; did you mean "replay"' "$fettle" replays
expect "an unknown flag" 64 'jsn' "$fettle" replay --jsn --rules "$rules" "$capture" o
expect "help" 0 'Example' "$fettle" replay --help
expect "sniff" 0 'packet 2, 2023-11-14 22:13:21' "$fettle" sniff "$capture"
[ "$("$fettle" sniff --count 1 "$capture" | grep -c '^packet ')" = 1 ] || fail "sniff --count"
# Link type 147 (private use): nothing is known of it, and its bytes are shown.
{ head -c 20 "$capture"; printf '\223\0\0\0'; tail -c +25 "$capture"; } >unknown.pcap
expect "sniff of what is not IP" 0 '^0000  .* 45 00' "$fettle" sniff --count 1 unknown.pcap
expect "sniff of what is not IP: said" 0 '^not IP' "$fettle" sniff --count 1 unknown.pcap
expect "sniff without a source" 64 'expected a capture or --queue' "$fettle" sniff
"$fettle" reference | cmp -s - "$here/../rules/README.md" || fail "reference is not rules/README.md"

[ $failures = 0 ] && printf 'all as expected\n'
exit $((failures > 0))
