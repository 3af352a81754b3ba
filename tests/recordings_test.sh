#!/bin/bash
# Every recorded capture through fettle replay without rules: the same bytes come out, from file to file and
# through pipes; a damaged one is named (exit status 65) and passed on whole. With rules that change, drop and
# log, the number of threads makes no difference.
#
#   recordings_test.sh FETTLE [FOLDER...]
#
# FOLDERs: $FETTLE_PCAPS goes before them. Exit status 77: no capture in any.
set -u -o pipefail
fettle=$1
shift
[ -z "${FETTLE_PCAPS:-}" ] || set -- "$FETTLE_PCAPS"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: >"$work/none.toml"
cat >"$work/rules.toml" <<'EOF'
[table.hosts]
"10.0.0.0/8" = "100.0.0.0/8"
"192.168.0.0/16" = "198.18.0.0/16"
[[rule]]
name = "names"
match = { port = 53, length = "0-90" }
steps = ["log", "drop"]
[[rule]]
name = "begins"
match = { tcp-flags = "syn/syn" }
steps = ["log", { clamp-mss = 1000 }]
[[rule]]
name = "addresses"
match = { family = "ipv4" }
steps = [{ translate = "hosts", at = 12, from = "network" }, { translate = "hosts", at = 16, from = "network" },
  { set = { ttl = 7 } }]
[[rule]]
name = "payload"
match = { protocol = "udp" }
steps = [{ write = "c0ffee", at = 9 }]
[[rule]]
name = "every other"
match = { bytes = { at = 5, from = "network", hex = "00", mask = "01" }, not = { protocol = "tcp" } }
steps = ["drop"]
EOF
failures=0 files=0 damaged=0 changed=0 logged=0

fail() { printf 'FAIL  %s\n' "$*"; failures=$((failures + 1)); }
judge() {  # capture exit-status output
  case $2 in
    0) ;;
    65) grep -q 'damaged at byte [0-9]' "$work/said" || fail "$1: does not say where: $(cat "$work/said")" ;;
    *) fail "$1: exit status $2: $(cat "$work/said")" ;;
  esac
  cmp "$1" "$3" || fail "$1: other bytes came out"
}

replay_by() {  # threads capture
  "$fettle" replay --json --threads "$1" --rules "$work/rules.toml" "$2" "$work/out.$1" 2>"$work/log.$1" >"$work/said"
  echo "exit status $?" >>"$work/log.$1"
  grep -v second "$work/said" >"$work/summary.$1"
}

while IFS= read -r -d '' capture; do
  files=$((files + 1))
  "$fettle" replay --quiet --rules "$work/none.toml" "$capture" "$work/out" 2>"$work/said"
  status=$?
  judge "$capture" $status "$work/out"
  [ $status = 0 ] || damaged=$((damaged + 1))
  # shellcheck disable=SC2002  # a pipe is what is tested
  cat "$capture" | "$fettle" replay --quiet --rules "$work/none.toml" - - 2>"$work/said" | cat >"$work/out"
  judge "$capture" "${PIPESTATUS[1]}" "$work/out"
  replay_by 1 "$capture"
  for threads in 2 7; do
    replay_by $threads "$capture"
    for what in out log summary; do
      cmp "$work/$what.1" "$work/$what.$threads" || fail "$capture: --threads $threads: another $what"
    done
  done
  cmp -s "$capture" "$work/out.1" || changed=$((changed + 1))
  logged=$((logged + $(grep -c '^packet ' "$work/log.1")))
done < <(for folder; do [ ! -d "$folder" ] || find "$folder/" -name '*.pcap*' -type f -print0; done | sort -z)

if [ $files = 0 ]; then
  printf 'skipped: no captures in %s (FETTLE_PCAPS)\n' "${*:-no folder}"
  exit 77
fi
printf '%d captures, %d of them damaged, %d changed by rules, %d packets logged; %d failures\n' \
  $files $damaged $changed $logged $failures
exit $((failures > 0))
