#!/bin/bash
# What is installed, and where; the Debian package as lintian judges it, scripts as shellcheck does. It is installed and
# upgraded by tests/live/package_test.sh.
#
#   package_test.sh BUILD   the build folder, in which all is built
set -euo pipefail
export LC_ALL=C.UTF-8 PATH=/usr/sbin:/sbin:$PATH
build=$1
deploy=$(cd "$(dirname "$0")/../deploy" && pwd)
[ -e "$build/CPackConfig.cmake" ] || { printf 'SKIPPED: %s makes no package\n' "$build"; exit 77; }
for tool in cpack dpkg-deb dpkg-shlibdeps lintian shellcheck; do
  command -v $tool >/dev/null && continue
  printf 'SKIPPED: %s is not there: deploy/install-dependencies --tests\n' $tool
  exit 77
done
work=$(mktemp -d /tmp/fettle-package.XXXXXX)
trap 'rm -rf "$work"' EXIT
failures=0

fail() {
  failures=$((failures + 1))
  printf '  FAIL  %s\n' "$*"
}
expect() {  # what found wanted
  if [ "$2" = "$3" ]; then printf '  ok    %s\n' "$1"; else fail "$1: found \"$2\", expected \"$3\""; fi
}
is_file() { if [ -s "$1/$2" ]; then printf '  ok    %s\n' "$2"; else fail "$2 is not there"; fi; }

# ---- cmake --install --------------------------------------------------------------------------
cmake --install "$build" --prefix "$work/tree" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
for file in sbin/fettle share/man/man1/fettle.1.gz share/man/man5/fettle-rules.5.gz lib/systemd/system/fettle.service \
  lib/sysusers.d/fettle.conf lib/tmpfiles.d/fettle.conf etc/default/fettle etc/fettle/rules.toml \
  share/doc/fettle/examples/print-server-keepalive.toml share/bash-completion/completions/fettle \
  share/zsh/vendor-completions/_fettle share/fish/vendor_completions.d/fettle.fish; do
  is_file "$work/tree" $file
done
unit=$work/tree/lib/systemd/system/fettle.service
expect "paths of the unit" "$(grep -oE '=(/[^ ]*)' "$unit" | sort -u | tr '\n' ' ')" \
  "=$work/tree/etc/default/fettle =$work/tree/sbin/fettle "
printf 'mine\n' >"$work/tree/etc/fettle/rules.toml"
cmake --install "$build" --prefix "$work/tree" >/dev/null
expect "a second installation leaves settings alone" "$(cat "$work/tree/etc/fettle/rules.toml")" mine

# ---- the package ------------------------------------------------------------------------------
(cd "$build" && cpack -G DEB -B "$work/package") >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
deb=$(echo "$work"/package/*.deb)
expect "version" "$(dpkg-deb -f "$deb" Version)" "$("$work/tree/sbin/fettle" --version | cut -d ' ' -f 2)-1"
dpkg-deb -x "$deb" "$work/root"
for file in usr/sbin/fettle usr/lib/systemd/system/fettle.service etc/fettle/rules.toml usr/share/doc/fettle/copyright \
  usr/share/doc/fettle/changelog.Debian.gz; do
  is_file "$work/root" $file
done
expect "libipq is not in it" "$(dpkg-deb -c "$deb" | grep libipq || true)" ""
expect "its unit is what the tests run" "$(diff "$deploy/systemd/fettle.service" \
  "$work/root/usr/lib/systemd/system/fettle.service" 2>&1 || true)" ""
user=()
[ "$(id -u)" != 0 ] || user=(--allow-root)
expect "lintian" "$(lintian "${user[@]}" --tag-display-limit 0 "$deb" 2>&1)" ""

# ---- what lies beside it ----------------------------------------------------------------------
"$work/tree/sbin/fettle" check "$deploy/etc/rules.toml" >/dev/null || fail "the rules of the package are refused"
# The example in it, without the marks of a comment.
sed -n '/^# \[table/,$s/^# \{0,1\}//p' "$deploy/etc/rules.toml" >"$work/example.toml"
expect "its example" "$("$work/tree/sbin/fettle" check "$work/example.toml" 2>&1 | tail -n 1)" "1 test passed"
for script in openrc/fettle procd/fettle.init package/postinst package/prerm package/postrm; do
  expect "shellcheck $script" "$(shellcheck "$deploy/$script" 2>&1)" ""
done
[ $failures = 0 ] || { printf 'FAILED: %d\n' $failures; exit 1; }
