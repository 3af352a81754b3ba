#!/bin/bash
# FTP behind a NAT that has no helper: real clients and a real server that fail without the recipe and work
# with it. Active and passive mode, IPv4 and IPv6, commands that become longer and shorter, and the kernel's
# own helper as the witness of what a PORT command has to become.
. "$(dirname "$0")/lib.sh"

live_begin "FTP through NAT, mended in its TCP streams"
for tool in vsftpd tnftp lftp; do
  command -v "$tool" >/dev/null || skip "$tool is not there: deploy/install-dependencies --tests"
done

mkdir -p "$work/ftp" /var/run/vsftpd/empty
head -c 300000 /dev/urandom >"$work/ftp/small.bin"
head -c 100M /dev/zero | openssl enc -aes-128-ctr -K 00 -iv 00 2>/dev/null >"$work/ftp/large.bin"
chmod 755 "$work" "$work/ftp"
chmod 644 "$work/ftp/"*

for last in 3 4 5 6 7 8 9; do ip -n "$client" addr del "fd00:1::$last/64" dev eth0; done
ip -n "$server" route del default
ip -n "$server" -6 route del default
in_router iptables -t nat -A POSTROUTING -o wan -j MASQUERADE
in_router ip6tables -t nat -A POSTROUTING -o wan -j MASQUERADE 2>/dev/null || no_nat6=yes
in_router sysctl -qw net.netfilter.nf_conntrack_tcp_be_liberal=0
# The data connections have their way, so that only the payload is wrong.
in_client sysctl -qw net.ipv4.ip_local_port_range="40000 40040"
in_router iptables -t nat -A PREROUTING -i wan -p tcp --dport 40000:40040 -j DNAT --to-destination $client_address4
in_router ip6tables -t nat -A PREROUTING -i wan -p tcp --dport 40000:40040 -j DNAT \
  --to-destination "[$client_address6]" 2>/dev/null || true
in_router iptables -t nat -A PREROUTING -i wan -p tcp -m multiport --dports 21,30000:30010 -j DNAT \
  --to-destination $client_address4

write_vsftpd() {  # file line...
  local file=$1
  shift
  printf '%s\n' background=NO anonymous_enable=YES local_enable=NO no_anon_password=YES \
    connect_from_port_20=NO seccomp_sandbox=NO secure_chroot_dir=/var/run/vsftpd/empty \
    "anon_root=$work/ftp" pasv_min_port=30000 pasv_max_port=30010 xferlog_enable=YES xferlog_std_format=NO \
    log_ftp_protocol=YES "$@" >"$work/$file"
}
write_vsftpd vsftpd.conf listen=NO listen_ipv6=YES "vsftpd_log_file=$work/vsftpd.log"
write_vsftpd inside.conf listen=YES "vsftpd_log_file=$work/inside.log"
start vsftpd_out "$server" vsftpd "$work/vsftpd.conf"
start vsftpd_in "$client" vsftpd "$work/inside.conf"
listens() { ip netns exec "$1" ss -ltn | grep -q ':21 '; }
wait_for 5 listens "$server" || die "the server does not listen"
wait_for 5 listens "$client" || die "the inside server does not listen"

sed -e 's/^"10.9.1.2" = .*/"10.1.0.2" = "10.2.0.1"/' -e 's/^"fd00:9:1::.*/"fd00:1::2" = "fd00:2::1"/' \
  -e 's/^match = .*src = .*/match = { protocol = "tcp", port = 21, src = ["10.1.0.0\/16", "fd00:1::\/32"] }/' \
  "$root_dir/deploy/recipes/ftp.toml" >"$work/rules.toml"

# fetch NAMESPACE NAME WANTED? FILE COMMAND...: the file arrives whole, or does not.
fetch() {
  local ns=$1 name=$2 wanted=$3 file=$4
  shift 4
  rm -f "$work/got.bin"
  ip netns exec "$ns" timeout 40 "$@" >"$work/client.log" 2>&1 || true
  local got=no
  cmp -s "$work/ftp/$file" "$work/got.bin" && got=yes
  expect_equal "$name" "$got" "$wanted"
}
tnftp_active() {  # server first-command file
  printf '%s\n' "$2" "user anonymous x" binary "get $3 $work/got.bin" bye >"$work/session"
  printf 'exec tnftp -n -A -v %s <%s' "$1" "$work/session"
}
lftp_active() {
  printf 'set ftp:passive-mode no; set net:timeout 5; set net:max-retries 1; set ftp:use-feat no;'
  printf 'open -u anonymous,x %s; get %s -o %s' "$1" "$2" "$work/got.bin"
}

printf 'without fettle\n'
fetch "$client" "active, EPRT" no small.bin timeout 6 sh -c "$(tnftp_active $server_address4 "verbose" small.bin)"
fetch "$client" "active, PORT" no small.bin timeout 6 sh -c "$(tnftp_active $server_address4 epsv4 small.bin)"

printf 'with fettle\n'
fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1 --fail-closed
firewall "$router" -t raw -A PREROUTING -i lan -p tcp -m multiport --ports 21 -j NFQUEUE --queue-balance 0:1
firewall "$router" -t mangle -A POSTROUTING -o lan -p tcp -m multiport --ports 21 -j NFQUEUE --queue-balance 0:1
in_router conntrack -F 2>/dev/null || true
fetch "$client" "active, EPRT" yes small.bin sh -c "$(tnftp_active $server_address4 "verbose" small.bin)"
fetch "$client" "active, PORT" yes small.bin sh -c "$(tnftp_active $server_address4 epsv4 small.bin)"
fetch "$client" "active, lftp" yes small.bin lftp -c "$(lftp_active $server_address4 small.bin)"
fetch "$client" "active, 100 MiB" yes large.bin sh -c "$(tnftp_active $server_address4 epsv4 large.bin)"
fetch "$server" "passive, the server inside" yes small.bin sh -c "$(
  printf '%s\n' epsv4 "user anonymous x" binary "get small.bin $work/got.bin" bye >"$work/session"
  printf 'exec tnftp -n -p -v 10.2.0.1 <%s' "$work/session")"
if [ -n "${no_nat6:-}" ]; then
  printf '  (no IPv6 NAT in this kernel: not tried)\n'
else
  fetch "$client" "active, IPv6, EPRT" yes small.bin lftp -c "$(lftp_active "[$server_address6]" small.bin)"
fi

# The same commands, by fettle and by the kernel's helper, as the server's log has them.
session() {  # from-port
  in_client timeout 10 "$python" - $server_address4 "$1" <<'PYTHON'
import socket, sys
s = socket.create_connection((sys.argv[1], 21), timeout=5, source_address=("", int(sys.argv[2])))
f = s.makefile("rw", newline="\r\n")
f.readline()
for line in ("USER anonymous", "PASS x", "PORT 10,1,0,2,156,77", "NOOP", "PORT 10,1,0,2,156,78", "QUIT"):
    f.write(line + "\n")
    f.flush()
    print(f.readline().strip())
PYTHON
}
port_lines() { sed -n 's/.*FTP command: .*"\(PORT [0-9,]*\)".*/\1/p' "$work/vsftpd.log"; }
: >"$work/vsftpd.log"
session 41001 >"$work/session.log" || fail "the session broke: $(cat "$work/session.log")"
by_fettle=$(port_lines)
fettle_stop
expect_equal "exit status" "$fettle_status" 0
firewall "$router" -t raw -F PREROUTING
firewall "$router" -t mangle -F POSTROUTING
if in_router iptables -t raw -A PREROUTING -i lan -p tcp --dport 21 -j CT --helper ftp 2>/dev/null; then
  : >"$work/vsftpd.log"
  session 41002 >"$work/session.log" || fail "the session broke: $(cat "$work/session.log")"
  expect_equal "PORT lines, to the kernel's helper's" "$(echo $by_fettle)" "$(echo $(port_lines))"
else
  printf '  (no FTP helper in this kernel: not compared)\n'
fi
expect_equal "PORT lines" "$(echo $by_fettle)" "PORT 10,2,0,1,156,77 PORT 10,2,0,1,156,78"
live_end
