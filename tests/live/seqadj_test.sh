#!/bin/bash
# Streams whose sequence numbers connection tracking changes as well, behind fettle: by the kernel's FTP helper, which
# edits other commands of the same connection, and by SYNPROXY, which answers for the server with numbers of its own.
# Needs a kernel that tells queues of its connections (NETFILTER_NETLINK_GLUE_CT): see tests/vm/run.
. "$(dirname "$0")/lib.sh"

live_begin "streams that connection tracking shifts, too"
sed 's/"5001-5100"/[21, "5001-5100"]/' "$live_dir/edited_stream.toml" >"$work/rules.toml"
add_addresses "$client" eth0 10.1.0.112/24
add_neighbours "$router" lan 02 10.1.0.112
add_addresses "$router" wan 10.2.0.113/24
add_neighbours "$server" eth0 11 10.2.0.113
in_router sysctl -qw net.netfilter.nf_conntrack_tcp_be_liberal=0 2>/dev/null || true

fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:0 --fail-closed --stream-wait 200
told=yes
! log_has fettle NETFILTER_NETLINK_GLUE_CT || told=no

# Connection tracking, which checks windows, is to see one side's streams alone.
queue() {  # device port: what comes from there, before it, and what is forwarded there, behind it
  in_router iptables -t raw -A PREROUTING -i "$1" -p tcp -m multiport --ports "$2" -j NFQUEUE --queue-num 0
  in_router iptables -t mangle -A FORWARD -o "$1" -p tcp -m multiport --ports "$2" -j NFQUEUE --queue-num 0
}

helper() {  # inside outside
  printf 'FTP helper, %s to %s\n' "$1" "$2"
  in_router iptables -t nat -A POSTROUTING -o wan -s "$1" -j SNAT --to-source "$2"
  start server "$server" "$python" "$live_dir/ftp_dialogue.py" serve $server_address4 21 7 "$1" "$2"
  server_pid=$started
  wait_for 10 log_has server listening || die "the server does not listen"
  start client "$client" "$python" "$live_dir/ftp_dialogue.py" send $server_address4 21 7 "$1" "$2"
  wait "$started" || die "the client failed"
  wait "$server_pid" || die "the server failed"
  printf '        client: %s\n        server: %s\n' "$(tail -n 1 "$work/client.log")" "$(tail -n 1 "$work/server.log")"
  grep -hE '^(command|answer) [0-9]+: ' "$work/client.log" "$work/server.log" || true
  expect_equal "commands that arrive" "$(report server lines)" 400
  expect_equal "first wrong one" "$(report server wrong_at)" -1
  expect_equal "answers that come back" "$(report client lines)" 400
  expect_equal "first wrong one" "$(report client wrong_at)" -1
}

synproxy() {
  printf 'SYNPROXY\n'
  in_router iptables -t nat -F POSTROUTING
  in_router iptables -I FORWARD -p tcp --dport 5001 -m conntrack --ctstate INVALID -j DROP
  in_router iptables -I FORWARD -p tcp --dport 5001 -m conntrack --ctstate INVALID,UNTRACKED -j SYNPROXY \
    --sack-perm --timestamp --wscale 7 --mss 1460
  in_router sysctl -qw net.netfilter.nf_conntrack_tcp_loose=0
  start server "$server" "$python" "$live_dir/edited_stream.py" serve $server_address4 5001 1 edited
  server_pid=$started
  wait_for 10 log_has server listening || die "the server does not listen"
  start client "$client" "$python" "$live_dir/edited_stream.py" send $server_address4 5001 1 edited 3000000
  wait "$started" || die "the client failed"
  wait "$server_pid" || die "the server failed"
  printf '        client: %s\n        server: %s\n' "$(tail -n 1 "$work/client.log")" "$(tail -n 1 "$work/server.log")"
  expect_between "bytes sent" "$(report client sent)" 3000000 3080000
  expect_equal "bytes that arrive" "$(report server bytes)" "$(report client bytes)"
  expect_equal "first wrong one" "$(report server wrong_at)" -1
  expect_equal "acknowledgements that come back" "$(report client lines)" "$(report server lines)"
  expect_equal "first wrong one" "$(report client lines_wrong_at)" -1
}

has_helper=no has_synproxy=no
! in_router iptables -t raw -A PREROUTING -p tcp --dport 21 -j CT --helper ftp 2>/dev/null || has_helper=yes
! in_router iptables -t raw -A PREROUTING -p tcp --dport 5001 --syn -j CT --notrack 2>/dev/null ||
  ! in_router iptables -A FORWARD -p tcp --dport 9 -j SYNPROXY 2>/dev/null || has_synproxy=yes
case $told$has_helper$has_synproxy in
  no*) skip "this kernel tells queues nothing of its connections (NETFILTER_NETLINK_GLUE_CT)" ;;
  yesnono) skip "this kernel has neither the FTP helper nor SYNPROXY" ;;
esac
if [ $has_helper = yes ]; then
  queue lan 21
  helper 10.1.0.2 10.2.0.113
  helper 10.1.0.112 10.2.0.1
else
  printf '  (no FTP helper in this kernel: not tried)\n'
fi
if [ $has_synproxy = yes ]; then
  queue wan 5001
  synproxy
else
  printf '  (no SYNPROXY in this kernel: not tried)\n'
fi
fettle_stop
expect_equal "exit status" "$fettle_status" 0
grep 'TCP segments' "$work/fettle.log" || true
live_end
