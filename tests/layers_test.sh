#!/bin/bash
# The shape of the source: core <- rules <- workers, no sockets in rules/, files and lines that fit.
#
#   layers_test.sh [root of the source]
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

status=0
# Fails with a title and what was found, if anything was.
none() {  # title found
  [ -n "$2" ] || return 0
  printf '%s:\n%s\n\n' "$1" "$2"
  status=1
}

sources() {  # folder...
  find "$@" -name '*.h' -o -name '*.cc' -o -name '*.def' | sort
}

includes() {  # folder pattern
  local files
  mapfile -t files < <(sources "$1")
  [ ${#files[@]} -gt 0 ] || { printf '%s/ has no source\n' "$1"; return; }
  grep -nE "^[[:space:]]*#[[:space:]]*include[[:space:]]*$2" "${files[@]}" || true
}

none 'core/ includes what stands above it' "$(includes core '"(rules|workers|tests|bench)/')"
none 'rules/ includes what stands above it' "$(includes rules '"(workers|tests|bench)/')"
none 'workers/ includes tests' "$(includes workers '"(tests|bench)/')"
for folder in core rules workers; do
  none "$folder/ includes not from the root" \
    "$(includes $folder '"' | grep -vE '"(core|rules|workers)/' || true)"
done
none 'deploy/libipq/ includes what is fettle'"'s" "$(includes deploy/libipq '"' | grep -v '"deploy/libipq/' || true)"
none 'rules/ knows no sockets' \
  "$(includes rules '<(sys/socket|sys/un|netinet/|arpa/|net/|netdb|linux/netfilter|linux/netlink|libmnl|libnetfilter)')"
none 'rules/ starts no process and asks no clock' "$(includes rules '<(unistd|sys/wait|spawn|signal|chrono|ctime)[.>]')"
none 'workers/ parses no packet' "$(includes workers '<(netinet/(ip|ip6|tcp|udp)|linux/(ip|ipv6|tcp|udp))\.h>')"

mapfile -t files < <(sources core rules workers deploy/libipq)
none 'files of more than 400 lines' "$(wc -l "${files[@]}" | awk '$2 != "total" && $1 > 400')"
mapfile -t files < <(sources core rules workers deploy/libipq tests bench)
none 'lines of more than 120 columns' "$(grep -nE '^.{121,}$' "${files[@]}" || true)"
wide=$(grep -cE '^.{101,}$' "${files[@]}" | grep -v ':0$' || true)
[ -z "$wide" ] || printf 'warning: files with lines of more than 100 columns, and how many:\n%s\n' "$wide"
exit $status
