#!/bin/bash
# TFTP behind a NAT that has no helper: a real server (tftpd-hpa) and real clients (tftp-hpa, and curl for options)
# that fail without deploy/recipes/tftp.toml and work with it. Files to and fro, IPv4 and IPv6, an error, and what
# a server with one port for transfers does with two clients.
. "$(dirname "$0")/lib.sh"

live_begin "TFTP through NAT, mended in its ports"
for tool in in.tftpd tftp curl; do
  command -v "$tool" >/dev/null || skip "$tool is not there: deploy/install-dependencies --tests"
done

# Who writes and reads there is not root, and does not see the rest.
mkdir "$work/files"
head -c 1000000 /dev/urandom >"$work/files/file"
truncate -s 50M "$work/files/large"
chmod 755 "$work"
chmod 644 "$work/files/"*
chmod 777 "$work/files"

# The server has no route to the inside.
for last in 3 4 5 6 7 8 9; do ip -n "$client" addr del "fd00:1::$last/64" dev eth0; done
ip -n "$server" route del default
ip -n "$server" -6 route del default
addresses=$server_address4
in_router iptables -t nat -A POSTROUTING -o wan -j MASQUERADE
if in_router ip6tables -t nat -A POSTROUTING -o wan -j MASQUERADE 2>/dev/null; then
  addresses="$addresses $server_address6"
else
  printf '  (no IPv6 NAT in this kernel: not tried)\n'
fi
# As the recipe has it, but that the port is sooner free after a file was written.
start tftpd "$server" in.tftpd --foreground --secure --create --port-range 1069:1069 \
  --refuse timeout --refuse utimeout --retransmit 300000 "$work/files"
sockets() { in_server ss -Huln "sport = :$1" | grep -q .; }
wait_for 5 sockets 69 || die "the server does not listen"
port_free() { ! in_server ss -Huan "sport = :1069" | grep -q .; }

sed -e "s/^\(match = .*\)\"203\.0\.113\.9\", \"2001:db8::9\"/\1\"$server_address4\", \"$server_address6\"/" \
  "$root_dir/deploy/recipes/tftp.toml" >"$work/rules.toml"

# As the recipe has it. The rules' counters know what came to them.
queue() {  # iptables|ip6tables address icmp-protocol
  set -- "$@" -j NFQUEUE --queue-balance 0:1
  in_router "$1" -t raw -A PREROUTING -i wan -s "$2" -p udp --sport 1069 -m comment --comment from "${@:4}"
  in_router "$1" -t mangle -A POSTROUTING -o wan -d "$2" -p udp --dport 69 -m comment --comment to "${@:4}"
  in_router "$1" -t mangle -A POSTROUTING -o wan -d "$2" -p "$3" "--${3}-type" destination-unreachable \
    -m comment --comment errors "${@:4}"
}
queued() {  # table comment
  echo $(($(counted "$router" iptables "$1" "$2") + $(counted "$router" ip6tables "$1" "$2")))
}

# transfer NAME WANTED? SENT ARRIVED COMMAND...: the file arrives whole, or does not. It waits until the server is
# free, unless `second` is set.
transfer() {
  local name=$1 wanted=$2 from=$3 to=$4
  shift 4
  rm -f "$to"
  [ -n "${second:-}" ] || wait_for 5 port_free || fail "the server still has a transfer"
  requests=$((requests + 1))
  in_client timeout "$limit" "$@" >"$work/client.log" 2>&1 || true
  local got=no
  cmp -s "$from" "$to" && got=yes
  expect_equal "$name" "$got" "$wanted"
}
get() {  # name wanted? address
  transfer "$1, get" "$2" "$work/files/file" "$work/got" tftp -m octet "$3" -c get file "$work/got"
}
put() {  # name wanted? address
  transfer "$1, put" "$2" "$work/files/file" "$work/files/put" tftp -m octet "$3" -c put "$work/files/file" put
}

printf 'without fettle\n'
limit=2
requests=0
in_router iptables -t raw -A PREROUTING -i wan -p udp --sport 1069 -m comment --comment answers
get IPv4 no $server_address4
put IPv4 no $server_address4
expect_between "answers that came to the router" "$(counted "$router" iptables raw answers)" 2 9
in_router iptables -t raw -F PREROUTING

printf 'with fettle\n'
limit=10
requests=0
fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1 --fail-closed
queue iptables $server_address4 icmp
queue ip6tables $server_address6 icmpv6
for address in $addresses; do
  family=IPv4 host=$address
  [[ $address != *:* ]] || family=IPv6 host="[$address]"
  get $family yes "$address"
  put $family yes "$address"
  transfer "$family, get with options" yes "$work/files/file" "$work/got" \
    curl -sS --tftp-blksize 1428 -o "$work/got" "tftp://$host/file"
  transfer "$family, put with options" yes "$work/files/file" "$work/files/put" \
    curl -sS --tftp-blksize 1428 -T "$work/files/file" "tftp://$host/put"
  transfer "$family, a file that is not there" no "$work/files/file" "$work/got" \
    tftp -m octet "$address" -c get none "$work/got"
  expect_match "and the client hears it" "$(cat "$work/client.log")" 'File not found'

  # A second client has to wait for the first, and not longer than that, even where the first goes without a word.
  rm -f "$work/first" # of the other family
  start first "$client" tftp -m octet "$address" -c get large "$work/first"
  requests=$((requests + 1))
  wait_for 5 test -s "$work/first" || fail "the first of two clients gets nothing"
  limit=1 second=yes get "$family, while the server has another client" no "$address"
  kill -KILL "$started"
  wait "$started" 2>/dev/null || true
  get "$family, after that client was killed" yes "$address"
done

from=$(queued raw from)
to=$(queued mangle to)
errors=$(queued mangle errors)
fettle_stop
expect_equal "exit status" "$fettle_status" 0
packets=$(queue_summary packets)
unchanged=$((packets - $(queue_summary changed)))
expect_equal "packets" "$packets" $((from + to + errors))
expect_equal "accepted" "$(queue_summary accepted)" "$packets"
expect_equal "from the transfer port" "$(rule_summary hits "from the transfer port")" "$from"
expect_equal "to the transfer port" "$(rule_summary hits "to the transfer port")" $((to - unchanged))
expect_between "requests, unchanged" "$unchanged" "$requests" $((requests + 5))
expect_equal "errors about the transfer port" "$(rule_summary hits "errors about the transfer port")" "$errors"
expect_equal "checksum errors" $(($(checksum_errors "$server") + $(checksum_errors "$client"))) 0
live_end
