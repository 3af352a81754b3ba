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
cat >captures.toml <<'RULES'
[[rule]]
match = { protocol = "udp" }
steps = [{ capture = "apart/before.pcap" }, { set = { ttl = 9 } }, { capture = "apart/behind.pcap" }]
[[rule]]
match = { ttl = 9 }
steps = ["drop"]
RULES
for threads in 1 4; do
  rm -f apart/*.pcap
  expect "capture steps" 0 'packets +3' "$fettle" replay --threads $threads --rules captures.toml "$capture" out.pcap
  # An Ethernet header each is what raw packets lack.
  [ "$(stat -c %s apart/behind.pcap)" = "$(($(stat -c %s "$capture") - 3 * 14))" ] || fail "capture steps: size"
  cp apart/before.pcap before-$threads.pcap && cp apart/behind.pcap behind-$threads.pcap
done
same "capture steps on several threads" before-1.pcap before-4.pcap
same "capture steps on several threads" behind-1.pcap behind-4.pcap
printf '[[rule]]\nmatch = { probability = "30%%" }\nsteps = ["drop"]\n' >chance.toml
head -c 24 "$capture" >long.pcap
for _ in $(seq 3000); do tail -c +25 "$capture"; done >>long.pcap
for threads in 1 4; do
  expect "a share of the packets" 0 'packets +9000' "$fettle" replay --threads $threads --rules chance.toml long.pcap chance-$threads.pcap
done
same "the same share on several threads" chance-1.pcap chance-4.pcap
share=$((100 * ($(stat -c %s chance-1.pcap) - 24) / ($(stat -c %s long.pcap) - 24)))
[ $share -ge 65 ] && [ $share -le 75 ] || fail "of a share of 30% dropped, $share% of the bytes are left"
printf '[[rule]]\nmatch = {}\nsteps = [{ set = { ttl = 9 } }]\n' >ttl.toml
"$fettle" replay --quiet --rules ttl.toml before-1.pcap out.pcap
same "what the step between them makes" behind-1.pcap out.pcap
expect "again" 0 'packets +3' "$fettle" replay --rules captures.toml "$capture" out.pcap
expect "again: appended" 0 'packets +6' "$fettle" replay --rules ttl.toml apart/behind.pcap out.pcap
expect "a capture of what is read" 64 'apart/before.pcap is read or written here as apart/before.pcap' \
  "$fettle" replay --rules captures.toml apart/before.pcap out.pcap
printf 'text' >apart/before.pcap
expect "a capture onto something else" 73 'capture: apart/before.pcap begins with 74657874, expected' \
  "$fettle" replay --rules captures.toml "$capture" out.pcap
[ "$(cat apart/before.pcap)" = text ] || fail "a capture onto something else: was written to"

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
soon() { for _ in $(seq 600); do "$@" 2>/dev/null && return; sleep 0.1; done; return 1; }
for threads in 1 2 7; do
  rm -f went-on
  "$fettle" replay --quiet --threads $threads --rules "$rules" - - <live >went-on &
  replay_pid=$!
  exec 9<>live
  cat "$capture" >&9
  soon cmp -s "$mended" went-on
  same "packets of a pipe that is open go on, --threads $threads" "$mended" went-on
  exec 9>&-
  wait $replay_pid || fail "a pipe that was closed, --threads $threads: exit status $?"
  # Who cannot write any more does not wait for what never comes.
  rm -f gone status
  exec 9<>live
  { "$fettle" replay --quiet --threads $threads --rules "$rules" - - <live 2>said; echo $? >status; } |
    { head -c 24 >start.pcap; exec <&-; : >gone; } &
  head -c 24 "$capture" >&9
  soon test -e gone
  tail -c +25 "$capture" >&9
  soon grep -q '^74$' status && grep -q 'standard output: Broken pipe' said ||
    fail "a reader that goes away from a pipe that is open, --threads $threads"
  exec 9>&-
  wait
done
"$fettle" sniff - <live >seen &
sniff_pid=$!
exec 9<>live
cat "$capture" >&9
soon grep -q '^packet 3,' seen || fail "sniff holds back what a pipe brought"
kill -TERM $sniff_pid
for _ in $(seq 50); do kill -0 $sniff_pid 2>/dev/null || break; sleep 0.1; done
kill -0 $sniff_pid 2>/dev/null && { fail "sniff does not end at SIGTERM"; kill -KILL $sniff_pid; }
wait $sniff_pid 2>/dev/null
exec 9>&-
head -c 90 "$capture" >cut.pcap
expect "a cut capture" 65 'damaged at byte 24: found 66 bytes of a record' "$fettle" replay --rules "$rules" cut.pcap o
same "a cut capture is passed on" cut.pcap o

# Threads change nothing: neither bytes nor order, counts, log or messages.
for threads in 0 65 -1 many; do
  expect "--threads $threads" 64 "threads.*$threads" "$fettle" replay --threads $threads --rules "$rules" "$capture" o
done
cat >busy.toml <<'EOF'
[[rule]]
name = "logged"
match = { ttl = 3 }
steps = ["log", { set = { ttl = 9, dscp = 5 } }, { write = "ff", at = 65000 }]
[[rule]]
name = "dropped"
match = { src = "10.9.0.0/16", bytes = { at = 3, hex = "00", mask = "07" } }
steps = ["drop"]
[[rule]]
name = "written"
match = { protocol = "udp" }
steps = [{ write = "0a0b0c", at = 5 }, { set = { dst = "192.0.2.77" } }]
EOF
python3 - >busy.pcap <<'EOF'
import struct, sys
write = sys.stdout.buffer.write
write(struct.pack("<IHHIIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101))
for i in range(20000):
    payload = struct.pack("!I", i) + b"fettle" * (i % 200)
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), i & 0xffff, 0, 3 if i % 50 == 0 else 64, 17, 0,
                     bytes([10, 9, i % 3, i * 7 % 251]), bytes([192, 0, 2, 1]))
    write(struct.pack("<IIII", i, 0, 28 + len(payload), 28 + len(payload)) + ip)
    write(struct.pack("!HHHH", 4000 + i % 5, 53, 8 + len(payload), 0) + payload)
    if i % 1000 == 999:
        write(struct.pack("<IIII", i, 0, 4, 4) + b"\0not")
EOF
head -c 9000001 busy.pcap >busy-cut.pcap
for input in busy busy-cut; do
  for threads in 1 2 7 64; do
    "$fettle" replay --json --threads $threads --rules busy.toml $input.pcap $input.$threads 2>$input.said.$threads >$input.json
    echo "exit status $?" >>$input.said.$threads
    grep -v second $input.json >$input.json.$threads
    for what in "" .said .json; do
      same "--threads $threads" $input$what.1 $input$what.$threads
    done
  done
done
[ "$(grep -c 'rule "logged"' busy.said.1)" = 400 ] || fail "a log line for each packet that is to be logged"
grep -q '"dropped": 2500,' busy.json.1 || fail "what is to be dropped is dropped"
grep -q "damaged at byte" busy-cut.said.1 && grep -q "^exit status 65" busy-cut.said.1 || fail "a cut capture is an error"
for threads in 1 2 7; do
  expect "a full disk, --threads $threads" 74 'cannot write /dev/full: No space left' \
    "$fettle" replay --quiet --threads $threads --rules "$rules" busy.pcap /dev/full
done

# Memory does not grow with the capture. Sanitizers keep freed memory for a while: what is asked is half of what
# the larger capture has more.
{ head -c 24 busy.pcap; for _ in $(seq 6); do tail -c +25 busy.pcap; done; } >large.pcap
peak() {  # KiB
  python3 -c 'import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)' "$fettle" replay --quiet --rules "$rules" "$@" o
}
for threads in 1 2 7; do
  small=$(peak --threads $threads busy.pcap) large=$(peak --threads $threads large.pcap)
  [ "$large" -lt $((small + 32768)) ] ||
    fail "memory, --threads $threads: $small KiB for $(stat -c %s busy.pcap) bytes, $large KiB for six times as many"
done

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
