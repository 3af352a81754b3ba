#!/bin/bash
# fettle explain, and the tests of rule files in fettle check, as a user meets them.
#
#   explain_test.sh FETTLE
set -u -o pipefail
fettle=$1
here=$(cd "$(dirname "$0")" && pwd)
scenario=$here/scenarios/keep-alive-is-translated
capture=$scenario/in.pcap
rules=$scenario/rules.toml
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0
unset NO_COLOR

fail() { printf 'FAIL  %s\n' "$*"; failures=$((failures + 1)); }
# what status regular-expression command...: exit status and what is said on stderr or stdout
expect() {
  local what=$1 status=$2 pattern=$3 got
  shift 3
  "$@" >said 2>&1
  got=$?
  [ "$got" = "$status" ] || fail "$what: exit status $got, expected $status: $(head -c 300 said)"
  grep -Eq -- "$pattern" said || fail "$what: does not say \"$pattern\": $(head -c 300 said)"
}
packets() { grep -c '^packet ' said; }

# ---- explain ----

expect "a step that is done" 0 'done +translate the address at payload\+4 by print-servers; changed bytes' \
  "$fettle" explain --rules "$rules" "$capture"
[ "$(packets)" = 3 ] || fail "all packets are shown: $(packets)"
grep -q '[*]cb' said || fail "bytes that differ have a star"
grep -q $'\033' said && fail "colours in what is no terminal"
expect "a step that misses" 0 'missed +translate' "$fettle" explain --rules "$rules" "$capture"
longer=$here/scenarios/datagrams-become-longer
expect "a packet has room to become longer, as in replay" 0 'done +insert .*\(\+5\)' \
  "$fettle" explain --rules "$longer/rules.toml" "$longer/in.pcap"
expect "through a pipe" 0 '^packet 3: ' sh -c "cat '$capture' | '$fettle' explain --rules '$rules' -"
for count in 0 -1 few; do
  expect "--count $count" 64 count "$fettle" explain --count "$count" --rules "$rules" "$capture"
done
expect "--count 2" 0 '^packet 2' "$fettle" explain --count 2 --rules "$rules" "$capture"
[ "$(packets)" = 2 ] || fail "--count 2 shows $(packets)"
expect "--changed" 0 'changed' "$fettle" explain --changed --rules "$rules" "$capture"
[ "$(packets)" = 2 ] || fail "--changed shows $(packets)"
expect "--rule" 0 'rule "keep-alive"' "$fettle" explain --rule keep-alive --count 1 --rules "$rules" "$capture"
expect "a rule that is none" 64 'found "keep-alife", expected .* did you mean "keep-alive"' \
  "$fettle" explain --rule keep-alife --rules "$rules" "$capture"
printf '[[rule]]\nmatch = { hook = "forward", in = "lan+", out = "wan0", mark = 5 }\nsteps = ["drop"]\n' >meta.toml
expect "metadata of the command line" 0 'drop \(rule "rule 1"\)' "$fettle" explain --rules meta.toml --hook forward \
  --in lan7 --out wan0 --mark 5 "$capture"
expect "no metadata" 0 'no rule matches' "$fettle" explain --rules meta.toml "$capture"
expect "no input" 66 'cannot open missing.pcap' "$fettle" explain --rules "$rules" missing.pcap
expect "no rules" 66 'cannot read the rule file' "$fettle" explain --rules missing.toml "$capture"
expect "no capture" 65 'is no capture' "$fettle" explain --rules "$rules" "$rules"
expect "a full disk" 74 'cannot write standard output: No space' \
  sh -c "'$fettle' explain --rules '$rules' '$capture' >/dev/full"
head -c 90 "$capture" >cut.pcap
expect "a cut capture" 65 'damaged at byte' "$fettle" explain --rules "$rules" cut.pcap
{ head -c 20 "$capture"; printf '\223\0\0\0'; tail -c +25 "$capture"; } >unknown.pcap
expect "what is not IP" 0 '^packet 1: not IP: passes unchanged' "$fettle" explain --rules "$rules" unknown.pcap
expect "help" 0 Examples "$fettle" explain --help

# A terminal gets colours, but not where NO_COLOR is set to something.
# shellcheck disable=SC2317  # expect calls it
in_terminal() { script -qec "$*" /dev/null; }
expect "colours on a terminal" 0 $'\033\\[1;32m[*]cb' in_terminal "$fettle" explain --rules "$rules" "$capture"
expect "NO_COLOR" 0 '[*]cb' in_terminal env NO_COLOR=1 "$fettle" explain --rules "$rules" "$capture"
grep -q $'\033' said && fail "NO_COLOR is not honoured"
expect "an empty NO_COLOR" 0 $'\033' in_terminal env NO_COLOR= "$fettle" explain --rules "$rules" "$capture"

# As JSON: every line an object; what it says leaves is what replay leaves.
"$fettle" explain --json --rules "$rules" "$capture" >json || fail "--json: exit status $?"
"$fettle" replay --quiet --rules "$rules" "$capture" out.pcap
python3 - json out.pcap <<'END' || fail "--json is not what replay does"
import json, struct, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
data = open(sys.argv[2], "rb").read()
at, frames = 24, []
while at < len(data):
    seconds, micros, size = struct.unpack_from("<III", data, at)
    frames.append((seconds * 10**9 + micros * 1000, data[at + 16:at + 16 + size].hex()))
    at += 16 + size
assert len(lines) == len(frames) == 3, (len(lines), len(frames))
for number, (line, (time, frame)) in enumerate(zip(lines, frames), 1):
    assert line["packet"] == number and line["time_ns"] == time, line
    assert frame.endswith(line["after"]), (line, frame)
    assert line["changed"] == (line["before"] != line["after"]), line
    assert line["verdict"] == "accept" and line["decided_by"] == "default", line
steps = [step for line in lines for rule in line["rules"] for step in rule["steps"]]
assert [step["missed"] for step in steps].count(True) == 1, steps
END

# ---- tests in a rule file ----

cat >tested.toml <<'END'
[[rule]]
name = "written"
match = { protocol = "udp" }
steps = [{ write = "aabb", at = 0 }]
[[test]]
name = "good"
packet = { protocol = "udp", src = "10.0.0.1", dst = "10.0.0.2", payload = "0000" }
expect = { payload = "aabb" }
[[test]]
packet = { protocol = "tcp", src = "::1", dst = "::2" }
expect = {}
END
expect "tests that pass" 0 '^2 tests passed' "$fettle" check tested.toml
grep -q '^tested.toml: right' said || fail "tests that pass: the file is right"
sed 's/"aabb" }$/"aabc" }/' tested.toml >failing.toml
expect "a test that fails" 65 '^failing.toml:6:8: error: test "good" fails: not as expected: bytes' \
  "$fettle" check failing.toml
grep -q '^failing.toml: 1 of 2 tests failed' said || fail "failures are counted"
grep -q 'aa[*]bc .* aa[*]bb ' said || fail "what is expected and found stand side by side"
expect "files after one that fails are looked at, and its status stays" 65 '^tested.toml: right' \
  "$fettle" check failing.toml tested.toml
"$fettle" replay --quiet --rules failing.toml "$capture" out.pcap || fail "replay does not run a file's tests"
sed 's/^expect = {}/expekt = {}/' tested.toml >bad.toml
malformed='bad.toml:11:1: error: unknown key of a test "expekt"; did you mean "expect"'
expect "a malformed test, check" 65 "$malformed" "$fettle" check bad.toml
expect "a malformed test, replay" 65 "$malformed" "$fettle" replay --rules bad.toml "$capture" out.pcap

cat >longer.toml <<'END'
[[rule]]
match = { protocol = "udp" }
steps = [ { insert = "ffff", at = 1 } ]

[[test]]
packet = { protocol = "udp", src = "10.0.0.1", dst = "10.0.0.2", payload = "aabb" }
expect = { payload = "aaffffbb" }
END
expect "a test of a packet that becomes longer" 0 '1 test passed' "$fettle" check longer.toml

[ $failures = 0 ] && printf 'all as expected\n'
exit $((failures > 0))
