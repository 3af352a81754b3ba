#!/bin/bash
# tests/run has to notice a test that fails, do what its options say, and count as skipped what cannot be had.
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

# What is to be done, by tests/run's own reading of its options.
plan_of() {  # option...
  (
    # shellcheck disable=SC1090  # its loop over the options
    source <(sed -n '/^release=yes/p; /^while/,/^done/p' tests/run)
    # shellcheck disable=SC2154  # set there
    printf 'release=%s sanitize=%s live=%s vm=%s fuzz=%s' "$release" "$sanitize" "$live" "$vm" "$fuzz"
  )
}
while IFS='|' read -r options expected; do
  read -ra words <<<"$options"
  found=$(plan_of "${words[@]}")
  if [ "$found" != "$expected" ]; then
    printf 'FAIL  tests/run %s: found "%s", expected "%s"\n' "$options" "$found" "$expected"
    exit 1
  fi
done <<'PLANS'
|release=yes sanitize=yes live=yes vm=yes fuzz=60
--quick|release=yes sanitize=no live=yes vm=no fuzz=0
--no-vm|release=yes sanitize=yes live=yes vm=no fuzz=60
--no-live|release=yes sanitize=yes live=no vm=no fuzz=60
--vm|release=no sanitize=no live=yes vm=yes fuzz=0
--sanitize|release=no sanitize=yes live=yes vm=no fuzz=0
--fuzz 5|release=no sanitize=no live=yes vm=no fuzz=5
PLANS
printf 'ok    options say what is to be done\n'

# The second kernel, where tests/vm/run and the packages come out as they may.
mkdir -p "$work/tree/tests/vm" "$work/tree/deploy"
outcome_of_second_kernel() {  # exit status of the packages' installation, and of tests/vm/run
  printf '#!/bin/sh\nexit %d\n' "$1" >"$work/tree/deploy/install-dependencies"
  printf '#!/bin/sh\nexit %d\n' "$2" >"$work/tree/tests/vm/run"
  chmod 755 "$work/tree/deploy/install-dependencies" "$work/tree/tests/vm/run"
  (
    # shellcheck disable=SC1090  # its function
    source <(sed -n '/^run_second_kernel() {/,/^}/p' tests/run)
    # shellcheck disable=SC2317  # it calls this
    heading() { :; }
    cd "$work/tree" || exit
    failed=() skipped=()
    set -e
    run_second_kernel
    printf 'failed %d, skipped %d' ${#failed[@]} ${#skipped[@]}
  )
}
while read -r packages machine expected; do
  found=$(outcome_of_second_kernel "$packages" "$machine")
  if [ "$found" != "$expected" ]; then
    printf 'FAIL  packages %d, tests/vm/run %d: found "%s", expected "%s"\n' "$packages" "$machine" "$found" "$expected"
    exit 1
  fi
done <<'OUTCOMES'
0 0 failed 0, skipped 0
0 1 failed 1, skipped 0
0 77 failed 0, skipped 1
69 0 failed 0, skipped 1
OUTCOMES
printf 'ok    a second kernel that cannot be had is skipped, and one that fails is noticed\n'
