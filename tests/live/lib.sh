# Sourced by the live tests. Namespaces client - router - server of the test's own, ended with all that
# runs in them on every way out. Traffic stays inside.
#
#   client 10.1.0.2..9, fd00:1::2..9   router   server 10.2.0.2, fd00:2::2
#
# FETTLE and TRAFFIC name the binaries (default: build/). SLOWNESS: how many times longer to wait for what is to
# happen, and how many times slower to send (tests/vm/run, where the processor is emulated). Exit status 77: cannot run
# here, and why.
# shellcheck shell=bash disable=SC2034  # variables for the tests
set -euo pipefail

live_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root_dir=$(cd "$live_dir/../.." && pwd)
fettle=${FETTLE:-$root_dir/build/workers/fettle}
traffic=${TRAFFIC:-$root_dir/build/tests/live/traffic}
python=/usr/bin/python3
export PATH=/usr/sbin:/sbin:/usr/bin:/bin

client=fettle$$-client
router=fettle$$-router
server=fettle$$-server
spaces=("$client" "$router" "$server") # a test that makes more of them adds their names
client_address4=10.1.0.2
client_address6=fd00:1::2
server_address4=10.2.0.2
server_address6=fd00:2::2
client_addresses4=10.1.0.2,10.1.0.3,10.1.0.4,10.1.0.5,10.1.0.6,10.1.0.7,10.1.0.8,10.1.0.9
client_addresses6=fd00:1::2,fd00:1::3,fd00:1::4,fd00:1::5,fd00:1::6,fd00:1::7,fd00:1::8,fd00:1::9
work=""
pids=()
fettle_pid=""
checks=0
failures=0

skip() {
  printf 'SKIPPED: %s\n' "$*"
  exit 77
}

fail() {
  failures=$((failures + 1))
  printf '  FAIL  %s\n' "$*"
}

pass() {
  checks=$((checks + 1))
  printf '  ok    %s\n' "$*"
}

# Ends the test: a precondition does not hold.
die() {
  printf '  FAIL  %s\n' "$*"
  show_logs
  exit 1
}

expect_equal() {  # what found wanted
  if [ "$2" = "$3" ]; then pass "$1: $2"; else fail "$1: found $2, expected $3"; fi
}

expect_between() {  # what found least most
  if [[ $2 =~ ^[0-9]+$ ]] && [ "$2" -ge "$3" ] && [ "$2" -le "$4" ]; then
    pass "$1: $2 ($3..$4)"
  else
    fail "$1: found $2, expected $3..$4"
  fi
}

expect_match() {  # what text pattern (extended regular expression)
  if grep -Eq -- "$3" <<<"$2"; then pass "$1"; else fail "$1: no \"$3\" in: $2"; fi
}

show_logs() {
  local log
  for log in "$work"/*.log; do
    [ -s "$log" ] || continue
    printf -- '--- %s\n' "${log##*/}"
    tail -n 40 "$log"
  done
}

end_process() {  # pid
  kill -TERM "$1" 2>/dev/null || return 0
  kill -CONT "$1" 2>/dev/null || true
  local tries=0
  while kill -0 "$1" 2>/dev/null && [ $((tries += 1)) -le 30 ]; do sleep 0.1; done
  kill -KILL "$1" 2>/dev/null || true
}

cleanup() {
  local status=$? ns pid
  trap - EXIT
  trap '' INT TERM
  set +e
  for pid in "${pids[@]}"; do end_process "$pid"; done 2>/dev/null
  for ns in "${spaces[@]}"; do
    [ -e "/run/netns/$ns" ] || continue
    for pid in $(ip netns pids "$ns"); do kill -KILL "$pid"; done 2>/dev/null
    ip netns del "$ns"
  done
  wait 2>/dev/null
  [ -z "$work" ] || rm -rf "$work"
  exit "$status"
}

in_client() { ip netns exec "$client" "$@"; }
in_router() { ip netns exec "$router" "$@"; }
in_server() { ip netns exec "$server" "$@"; }

add_link() {  # namespace device last-of-mac, and the same of the peer
  ip link add "$2" netns "$1" address "02:00:00:00:00:$3" type veth \
    peer name "$5" netns "$4" address "02:00:00:00:00:$6"
  ip -n "$1" link set "$2" up
  ip -n "$4" link set "$5" up
}

add_addresses() {  # namespace device address...
  local ns=$1 device=$2 address
  shift 2
  for address in "$@"; do
    case $address in
      *:*) ip -n "$ns" addr add "$address" dev "$device" nodad ;;
      *) ip -n "$ns" addr add "$address" dev "$device" ;;
    esac
  done
}

# Neighbours are permanent, so that no packet waits, or is lost, for want of an address.
add_neighbours() {  # namespace device last-of-mac address...
  local ns=$1 device=$2 mac=$3 address
  shift 3
  for address in "$@"; do
    ip -n "$ns" neigh replace "$address" lladdr "02:00:00:00:00:$mac" dev "$device" nud permanent
  done
}

build_network() {
  local ns last
  for ns in "$client" "$router" "$server"; do
    ip netns add "$ns"
    ip -n "$ns" link set lo up
    ip netns exec "$ns" sysctl -qw net.ipv6.conf.all.accept_dad=0 \
      net.ipv6.conf.default.accept_dad=0 net.ipv4.conf.all.rp_filter=0
  done
  add_link "$client" eth0 02 "$router" lan 01
  add_link "$server" eth0 12 "$router" wan 11
  add_addresses "$router" lan 10.1.0.1/24 fd00:1::1/64
  add_addresses "$router" wan 10.2.0.1/24 fd00:2::1/64
  add_addresses "$server" eth0 $server_address4/24 $server_address6/64
  for last in 2 3 4 5 6 7 8 9; do
    add_addresses "$client" eth0 "10.1.0.$last/24" "fd00:1::$last/64"
    add_neighbours "$router" lan 02 "10.1.0.$last" "fd00:1::$last"
  done
  add_neighbours "$client" eth0 01 10.1.0.1 fd00:1::1
  add_neighbours "$server" eth0 11 10.2.0.1 fd00:2::1
  add_neighbours "$router" wan 12 $server_address4 $server_address6
  ip -n "$client" route add default via 10.1.0.1
  ip -n "$client" route add default via fd00:1::1
  ip -n "$server" route add default via 10.2.0.1
  ip -n "$server" route add default via fd00:2::1
  in_router sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
}

# Every test begins with this.
live_begin() {  # title
  local tool
  [ "$(id -u)" = 0 ] || skip "needs root: it makes network namespaces"
  for tool in ip iptables ip6tables sysctl "$python" "$fettle" "$traffic"; do
    command -v "$tool" >/dev/null ||
      die "$tool is not there; build it, or run deploy/install-dependencies --tests"
  done
  work=$(mktemp -d /tmp/fettle-live.XXXXXX)
  trap cleanup EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  ip netns add "$client" 2>/dev/null || skip "this machine allows no network namespaces"
  ip netns del "$client"
  printf '%s\n' "$1"
  build_network
  if ! in_router iptables -t mangle -A FORWARD -p udp --dport 9 -j NFQUEUE --queue-num 9 \
    2>"$work/nfqueue"; then
    skip "the kernel has no NFQUEUE target (xt_NFQUEUE): $(head -n 1 "$work/nfqueue")"
  fi
  in_router iptables -t mangle -D FORWARD -p udp --dport 9 -j NFQUEUE --queue-num 9
  [ -e /proc/net/netfilter/nfnetlink_queue ] || modprobe nfnetlink_queue 2>/dev/null ||
    skip "the kernel has no nfnetlink_queue"
}

# And ends with this.
live_end() {
  if [ "$failures" -gt 0 ]; then
    show_logs
    printf 'FAILED: %d of %d checks\n' "$failures" $((checks + failures))
    exit 1
  fi
  printf 'PASSED: %d checks\n' "$checks"
}

# Runs a command in the background in a namespace; its output is in $work/NAME.log. Sets `started`.
start() {  # name namespace command...
  local name=$1 ns=$2
  shift 2
  : >"$work/$name.log" # at once: what one before said there must not be taken for this one's
  ip netns exec "$ns" "$@" >>"$work/$name.log" 2>&1 &
  started=$!
  pids+=("$started")
}

wait_for() {  # seconds command...: until it succeeds
  local end=$((SECONDS + $1 * ${SLOWNESS:-1} + 1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || return 1
    # Where to look costs as much as a tenth of a second, what is waited for is to get on meanwhile.
    if [ "${SLOWNESS:-1}" = 1 ]; then sleep 0.05; else sleep 0.3; fi
  done
}

log_has() {  # name pattern
  grep -Eqs -- "$2" "$work/$1.log"
}

log_count() {  # name pattern
  grep -Ec -- "$2" "$work/$1.log" || true
}

# ---- fettle -----------------------------------------------------------------------------------

fettle_start() {  # namespace argument...
  local ns=$1 patience=()
  shift
  # A worker that starts slowly is not to be taken for one that stands still.
  if [ "${SLOWNESS:-1}" != 1 ] && [[ " $* " != *" --watchdog "* ]]; then patience=(--watchdog $((2000 * SLOWNESS))); fi
  start fettle "$ns" "$fettle" run --control "$work/control" "${patience[@]}" "$@"
  fettle_pid=$started
  wait_for 10 fettle_is_ready || die "fettle run $* did not get ready"
}

fettle_is_ready() {
  kill -0 "$fettle_pid" 2>/dev/null || die "fettle ended before it was ready"
  log_has fettle 'ready'
}

# Sets fettle_status.
fettle_stop() {
  kill -TERM "$fettle_pid"
  fettle_wait
}

fettle_wait() {
  fettle_status=0
  wait_for 10 fettle_gone || fail "fettle did not end within 10 s"
  wait "$fettle_pid" || fettle_status=$?
}

fettle_gone() { ! kill -0 "$fettle_pid" 2>/dev/null; }

# From the summary that fettle prints at its end.
queue_summary() {  # heading: its column, summed over the queues
  awk -v heading="$1" '
    $1 == "queue" && $2 == "packets" { for (i = 1; i <= NF; ++i) if ($i == heading) column = i; next }
    column && NF == 0 { exit }
    column && $1 ~ /^[0-9]+$/ { sum += $column }
    END { print sum + 0 }' "$work/fettle.log"
}

rule_summary() {  # hits|misses name
  awk -v column="$([ "$1" = hits ] && echo 1 || echo 2)" -v name="$2" '
    $1 == "hits" && $2 == "misses" { rules = 1; next }
    rules { count = $column; sub(/^ *[0-9]+ +[0-9]+ +/, ""); if ($0 == name) print count }' \
    "$work/fettle.log"
}

worker_pid() {  # queue
  local pid
  tr ' ' '\n' <"/proc/$fettle_pid/task/$fettle_pid/children" | while read -r pid; do
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != "fettle-q$1" ] || printf '%s\n' "$pid"
  done
}

# /proc/net/netfilter/nfnetlink_queue: queue, port id, waiting, copy mode, copy range, dropped by the
# queue, dropped by the socket, id sequence, 1.
queue_column() {  # namespace queue column
  ip netns exec "$1" cat /proc/net/netfilter/nfnetlink_queue |
    awk -v queue="$2" -v column="$3" '$1 == queue { print $column }'
}

queue_waiting() { queue_column "$1" "$2" 3; }

queues_empty() {  # namespace
  ip netns exec "$1" cat /proc/net/netfilter/nfnetlink_queue |
    awk '$3 != 0 { busy = 1 } END { exit busy }'
}

# ---- firewall ---------------------------------------------------------------------------------

firewall() {  # namespace rule...: the same in IPv4 and IPv6
  local ns=$1
  shift
  ip netns exec "$ns" iptables -w "$@"
  ip netns exec "$ns" ip6tables -w "$@"
}

# Packets that a rule with this comment has counted, IPv4 or IPv6.
counted() {  # namespace iptables|ip6tables table comment
  ip netns exec "$1" "$2" -w -t "$3" -nvxL | awk -v comment="/* $4 */" \
    'index($0, comment) { sum += $1 } END { print sum + 0 }'
}

# Packets that an endpoint threw away for their checksums.
checksum_errors() {  # namespace
  # snmp has a line of names before each line of values, snmp6 a name and a value a line.
  ip netns exec "$1" cat /proc/net/snmp /proc/net/snmp6 | awk '
    $1 ~ /:$/ && $1 != last { for (i = 2; i <= NF; ++i) name[i] = $i; last = $1; next }
    $1 ~ /:$/ { for (i = 2; i <= NF; ++i) if (name[i] == "InCsumErrors") sum += $i; next }
    $1 ~ /InCsumErrors$/ { sum += $2 }
    END { print sum + 0 }'
}

# ---- traffic ----------------------------------------------------------------------------------

# The value of key= in the last line of a program's report.
report() {  # name key
  tail -n 1 "$work/$1.log" | tr ' ' '\n' | sed -n "s/^$2=//p"
}

receiver_start() {  # address [key=value...]: see traffic.cc
  start receiver "$server" "$traffic" receive "at=$1" port=5000 "${@:2}"
  receiver_pid=$started
  wait_for 5 log_has receiver listening || die "the receiver does not listen"
}

receiver_wait() {
  wait "$receiver_pid" || die "the receiver failed"
}

sender_start() {  # address [key=value...]; a slow machine sends as much, at a lower rate
  local argument arguments=()
  for argument in "${@:2}"; do
    case $argument in
      rate=*) arguments+=("rate=$((${argument#rate=} / ${SLOWNESS:-1}))") ;;
      *) arguments+=("$argument") ;;
    esac
  done
  start sender "$client" "$traffic" send "to=$1" port=5000 "${arguments[@]}"
  sender_pid=$started
}

# Ends sender and receiver, and sets sent and lost.
traffic_stop() {
  kill -TERM "$sender_pid" 2>/dev/null || true
  wait "$sender_pid" || die "the sender failed"
  sleep 0.3
  kill -TERM "$receiver_pid" 2>/dev/null || true
  receiver_wait
  sent=$(report sender sent)
  lost=$((sent - $(report receiver distinct)))
  printf '        sender:   %s\n        receiver: %s\n' "$(tail -n 1 "$work/sender.log")" \
    "$(tail -n 1 "$work/receiver.log")"
}
