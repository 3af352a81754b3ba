#!/bin/bash
# deploy/libipq as it is installed: what it exports and needs, and that the manual page's program compiles against it,
# unchanged, by each standard of C.
#
#   libipq_test.sh BUILD   the build folder, in which all is built
set -euo pipefail
export LC_ALL=C.UTF-8
build=$1
tests=$(cd "$(dirname "$0")" && pwd)
for tool in gcc g++ pkg-config readelf nm; do
  command -v $tool >/dev/null || { printf 'SKIPPED: %s is not there\n' $tool; exit 77; }
done
work=$(mktemp -d /tmp/fettle-libipq.XXXXXX)
trap 'rm -rf "$work"' EXIT
failures=0
expect() {  # what found wanted
  if [ "$2" = "$3" ]; then
    printf '  ok    %s\n' "$1"
  else
    failures=$((failures + 1))
    printf '  FAIL  %s: found "%s", expected "%s"\n' "$1" "$2" "$3"
  fi
}

cmake --install "$build" --prefix "$work/tree" --component libipq >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
library=$(find "$work/tree" -name libipq.so.0)
[ -n "$library" ] || { printf '  FAIL  no libipq.so.0 is installed\n'; find "$work/tree"; exit 1; }
folder=$(dirname "$library")
expect "what is installed" "$(cd "$work/tree" && find . -type f -o -type l | sed 's|.*/||' | sort | tr '\n' ' ')" \
  "libipq.h libipq.pc libipq.so libipq.so.0 libipq.so.0.1.0 "
expect "the name that programs ask for" "$(readelf -d "$library" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')" libipq.so.0
expect "the functions of the manual page, and no more" "$(nm -D --defined-only "$library" | awk '{ print $3 }' | sort | tr '\n' ' ')" \
  "ipq_create_handle ipq_destroy_handle ipq_errstr ipq_get_msgerr ipq_get_packet ipq_message_type ipq_perror ipq_read ipq_set_mode ipq_set_verdict "
expect "the libraries that it needs" \
  "$(readelf -d "$library" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | grep -v '^ld-linux' | sort | tr '\n' ' ')" \
  "libc.so.6 libmnl.so.0 "

compile() {  # what compiler flags...
  if ! "$2" "${@:3}" -I "$work/tree/include" -o "$work/program" -L "$folder" -lipq >"$work/log" 2>&1; then
    cat "$work/log"
    failures=$((failures + 1))
    printf '  FAIL  %s\n' "$1"
  else
    expect "$1" "$(readelf -d "$work/program" | grep -c 'libipq.so.0')" 1
  fi
}
for standard in gnu89 gnu99 gnu11 gnu17 c99 c17; do
  compile "the example, -std=$standard" gcc -std=$standard -Werror=implicit-function-declaration "$tests/libipq/passer.c"
done
compile "another, with every warning" gcc -Wall -Wextra -Wpedantic -Werror -std=gnu89 -Wno-declaration-after-statement \
  "$tests/libipq/mangler.c"
printf '#include <linux/netfilter.h>\n#include <libipq.h>\nint main() { return ipq_destroy_handle(nullptr); }\n' >"$work/program.cc"
compile "a program in C++" g++ -Wall -Wextra -Wpedantic -Werror -std=c++11 "$work/program.cc"
expect "pkg-config" "$(PKG_CONFIG_PATH=$folder/pkgconfig pkg-config --libs libipq | grep -c -- -lipq)" 1

# An old binary has the layout in it: of the kernel's header of 2.6.39, on the same machine.
printf '%s\n' '#include <libipq.h>' '#include <stddef.h>' '#include <stdio.h>' 'int main(void) {' \
  '  printf("%zu %zu %zu %zu %zu %zu %zu %zu\n", sizeof(ipq_packet_msg_t), offsetof(ipq_packet_msg_t, hook),' \
  '         offsetof(ipq_packet_msg_t, indev_name), offsetof(ipq_packet_msg_t, hw_protocol),' \
  '         offsetof(ipq_packet_msg_t, hw_addrlen), offsetof(ipq_packet_msg_t, hw_addr),' \
  '         offsetof(ipq_packet_msg_t, data_len), offsetof(ipq_packet_msg_t, payload));' \
  '  return IPQM_PACKET != 0x13 || IPQ_COPY_META != 1 || IPQ_COPY_PACKET != 2;' '}' >"$work/layout.c"
gcc -std=gnu99 -I "$work/tree/include" -o "$work/layout" "$work/layout.c"
if [ "$(getconf LONG_BIT)" = 64 ]; then
  expect "the packet message" "$("$work/layout")" "96 32 36 68 72 73 88 96"
fi
[ $failures = 0 ] || { printf 'FAILED: %d\n' $failures; exit 1; }
