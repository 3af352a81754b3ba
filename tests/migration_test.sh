#!/bin/bash
# deploy/migration.md: its rule files are right and their tests pass, its programs compile, its links lead somewhere. What
# the programs do is compared with the rules by live/migration_test.sh.
#
#   migration_test.sh FETTLE
set -euo pipefail
export LC_ALL=C.UTF-8
fettle=$(realpath "$1")
tests=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d /tmp/fettle-migration.XXXXXX)
trap 'rm -rf "$work"' EXIT
failures=0
counted=0
try() {  # what command...
  counted=$((counted + 1))
  if "${@:2}" >"$work/said" 2>&1; then
    printf '  ok    %s: %s\n' "$1" "$(tail -n 1 "$work/said")"
  else
    failures=$((failures + 1))
    printf '  FAIL  %s:\n' "$1"
    cat "$work/said"
  fi
}
has_tests() { "$fettle" check "$1" && "$fettle" check "$1" 2>&1 | grep -Eq '^[1-9][0-9]* tests? passed'; }

mkdir "$work/page"
"$tests/migration_blocks.py" "$work/page" >"$work/blocks"
cd "$work/page"
while read -r language file; do
  case $language in
    toml) try "$file" has_tests "$file" ;;
    c) try "$file" gcc -std=gnu17 -Wall -Wextra -Werror -fsyntax-only "$file" ;;
    python) try "$file" /usr/bin/python3 -m py_compile "$file" ;;
    sh) try "$file" bash -n "$file" ;;
  esac
done <"$work/blocks"
while read -r link; do
  try "link $link" test -e "$tests/../deploy/$link"
done < <(grep -oE '\]\([^)#]+' "$tests/../deploy/migration.md" | sed 's/^](//')
[ $counted -ge 14 ] || { printf '  FAIL  the page has but %d blocks and links\n' $counted; exit 1; }
[ $failures = 0 ] || { printf 'FAILED: %d\n' $failures; exit 1; }
