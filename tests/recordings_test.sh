#!/bin/bash
# Every recorded capture through fettle replay without rules: the same bytes come out, from file to file and
# through pipes; a damaged one is named (exit status 65) and passed on whole.
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
failures=0 files=0 damaged=0

fail() { printf 'FAIL  %s\n' "$*"; failures=$((failures + 1)); }
judge() {  # capture exit-status output
  case $2 in
    0) ;;
    65) grep -q 'damaged at byte [0-9]' "$work/said" || fail "$1: does not say where: $(cat "$work/said")" ;;
    *) fail "$1: exit status $2: $(cat "$work/said")" ;;
  esac
  cmp "$1" "$3" || fail "$1: other bytes came out"
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
done < <(for folder; do [ ! -d "$folder" ] || find "$folder" -name '*.pcap*' -type f -print0; done | sort -z)

if [ $files = 0 ]; then
  printf 'skipped: no captures in %s (FETTLE_PCAPS)\n' "${*:-no folder}"
  exit 77
fi
printf '%d captures, %d of them damaged; %d failures\n' $files $damaged $failures
exit $((failures > 0))
