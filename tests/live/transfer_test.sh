#!/bin/bash
# A TCP transfer of 1 GiB whose every segment is changed in its header arrives whole.
. "$(dirname "$0")/lib.sh"

bytes=${BYTES:-$((1 << 30))}
live_begin "$bytes bytes over TCP, every segment changed"

cat >"$work/rules.toml" <<'RULES'
[[rule]]
name = "class of service"
match = { protocol = "tcp", dst-port = 5001 }
steps = [ { set = { dscp = 10, ttl = 33 } } ]
RULES

fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1
firewall "$router" -t mangle -A FORWARD -p tcp --dport 5001 -j NFQUEUE --queue-balance 0:1
in_server iptables -A INPUT -p tcp --dport 5001 -m dscp --dscp 10 -m ttl --ttl-eq 33 \
  -m comment --comment changed
in_server iptables -A INPUT -p tcp --dport 5001 -m comment --comment all

start server "$server" "$python" "$live_dir/stream.py" serve $server_address4 5001
server_pid=$started
wait_for 5 log_has server listening || die "the TCP server does not listen"
began=$(date +%s%N)
start client "$client" "$python" "$live_dir/stream.py" random $server_address4 5001 "$bytes"
wait "$started" || die "the transfer broke"
wait "$server_pid" || die "the transfer broke"
took=$((($(date +%s%N) - began) / 1000000))

expect_equal "bytes that arrive" "$(report server bytes)" "$bytes"
expect_equal "SHA-256 at both ends" "$(report server sha256)" "$(report client sha256)"
all=$(counted "$server" iptables filter all)
expect_between "segments at the server" "$all" $((bytes / 65536)) $((bytes / 100))
expect_equal "of these changed" "$(counted "$server" iptables filter changed)" "$all"
expect_equal "checksum errors at the server" "$(checksum_errors "$server")" 0
fettle_stop
expect_equal "exit status" "$fettle_status" 0
expect_equal "packets changed by fettle" "$(queue_summary changed)" "$(queue_summary packets)"
printf '        %d ms, %d super-packets\n' "$took" "$all"
live_end
