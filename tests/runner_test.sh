#!/bin/bash
# tests/run has to notice a test that fails.
set -uo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shellcheck disable=SC1090  # its one function that runs tests
source <(sed -n '/^run_ctest() {/,/^}/p' tests/run)

outcome_of() {  # command that is the only test
  mkdir -p "$work/$1"
  printf 'add_test(only "/bin/%s")\n' "$1" >"$work/$1/CTestTestfile.cmake"
  failed=()
  # shellcheck disable=SC2034  # run_ctest reads it
  jobs=1
  set -e
  run_ctest "$1" "$work/$1" >"$work/said" 2>&1
  set +e
  printf '%s' "${failed[*]}"
}

for case in "true:" "false:false"; do
  found=$(outcome_of "${case%%:*}")
  if [ "$found" != "${case#*:}" ]; then
    printf 'FAIL  a test that is %s: found "%s" among what failed, expected "%s"\n' "${case%%:*}" "$found" "${case#*:}"
    cat "$work/said"
    exit 1
  fi
done
printf 'ok    a test that fails is noticed, and one that passes is not\n'
