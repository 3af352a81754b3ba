#!/bin/bash
# A pair of routers by deploy/scale's keepalived.conf, conntrackd.conf and firewall.rules, with NAT: the plugs of the
# one that works are pulled under TCP and UDP. The other one takes over; what is not edited in its length goes on, and
# what is gets reset at both ends, with nothing wrong delivered.
#
#   RESET=no tests/live/pair_test.sh   without the rule that resets: what becomes of edited streams then
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/pair_lib.sh"

reset=${RESET:-yes}
scale=$root_dir/deploy/scale
for tool in keepalived conntrackd; do
  command -v $tool >/dev/null || skip "$tool is not there: deploy/install-dependencies --tests"
done
live_begin "a pair of routers, one of which fails"
places_begin

{
  cat "$live_dir/edited_stream.toml"
  printf '[[rule]]\nmatch = { protocol = "tcp", port = 5201 }\nsteps = [ { replace = "<gg>", with = "<hh>" } ]\n'
  printf '[[rule]]\nmatch = { protocol = "udp", dst-port = 5000 }\nsteps = [ { write = "46544c31", at = 0 } ]\n'
} >"$work/rules.toml"
sed "s|/usr/sbin/fettle status|/run/fettle-program status|" "$scale/keepalived.conf" >"$work/keepalived.conf"
fettles=()
is_answering() { on "$1" /run/fettle-program status >/dev/null 2>&1; }
for i in 0 1; do
  # The other's own mark and addresses, as the files say; and the test's ports beside FTP's.
  sed "s/0x1/0x$((i + 1))/; s/ports 21 /ports 21,5001,5201 /" "$scale/firewall.rules" >"$work/firewall$i"
  sed -i "/REJECT/s/21,5001,5201/21,5001/; $([ "$reset" = yes ] || echo /REJECT/d)" "$work/firewall$i"
  [ $i = 0 ] && swap="" || swap="/UDP {/,/}/{s/192.0.2.1/MINE/; s/192.0.2.2/192.0.2.1/; s/MINE/192.0.2.2/}"
  sed "$swap" "$scale/conntrackd.conf" >"$work/conntrackd$i.conf"
  on $i mkdir /run/fettle
  start_on "fettle$i" $i /run/fettle-program run --rules "$work/rules.toml" --queue-balance 0:1 --quarantine "$work" \
    --stream-wait 500
  fettles[i]=$started
  wait_for 10 is_answering $i || die "fettle $i does not answer"
  on $i iptables-restore --noflush "$work/firewall$i" 2>"$work/firewall.log" || skip "$(cat "$work/firewall.log")"
  on $i iptables -t mangle -A FORWARD -p udp --dport 5000 -j NFQUEUE --queue-balance 0:1 --queue-bypass
  start_on "conntrackd$i" $i conntrackd -C "$work/conntrackd$i.conf"
done
wait_for 5 on 1 test -S /run/conntrackd.ctl || die "conntrackd does not come up"
for i in 0 1; do
  start_on "keepalived$i" $i keepalived --dont-fork --log-console --vrrp --use-file "$work/keepalived.conf"
  [ $i = 0 ] && { wait_for 10 is_master 0 || die "the first one does not become master"; }
done
sleep 1
! is_master 1 || fail "both are master"

# ---- traffic, and the failure -----------------------------------------------------------------
transfer_start() {  # name port kind
  start "$1-server" "$server" "$python" "$live_dir/edited_stream.py" serve $server_address4 "$2" 1 "$3"
  transfers+=("$started")
  wait_for 10 log_has "$1-server" listening || die "the server does not listen"
  start "$1" "$client" "$python" "$live_dir/edited_stream.py" send $server_address4 "$2" 1 "$3"
  transfers+=("$started")
  wait_for 10 log_has "$1" connected || die "the client does not connect"
}
# A server that sends nothing learns of the reset with its next keep-alive.
in_server sysctl -qw net.ipv4.tcp_keepalive_time=1 net.ipv4.tcp_keepalive_intvl=1
transfers=()
transfer_start edited 5001 edited
transfer_start same 5201 same
receiver_start $server_address4
sender_start $server_address4 from=10.1.0.2 rate=1000
sleep 2
cut_off 0
cut=$(milliseconds)
wait_for 5 is_master 1 || die "the other one does not take over"
taken=$(($(milliseconds) - cut))
printf '        the other one has the addresses after %d ms\n' $taken
expect_between "milliseconds to it" $taken 1 3000
ends=()
is_over() { ! kill -0 "$1" 2>/dev/null; }
for i in 0 1; do
  wait_for 15 is_over "${transfers[i]}" || printf '        an end of the edited stream hangs\n'
  ends[i]=$(($(milliseconds) - cut))
done
sleep 2
kill -TERM "${transfers[3]}"
for i in 2 3; do wait "${transfers[i]}" || fail "the plain transfer broke"; done
traffic_stop
for name in edited edited-server same same-server; do
  printf '        %s: %s\n' $name "$(tail -n 1 "$work/$name.log")"
done
printf '        longest silence of a flow: %s ms\n' "$(report receiver longest_gap_ms)"

# ---- what is to come of it --------------------------------------------------------------------
expect_equal "same length: first wrong byte" "$(report same-server wrong_at)" -1
expect_equal "same length: SHA-256" "$(report same-server sha256)" "$(report same sha256)"
expect_equal "same length: first wrong acknowledgement" "$(report same lines_wrong_at)" -1
expect_equal "edited: first wrong byte" "$(report edited-server wrong_at)" -1
expect_between "edited: bytes before the failure" "$(report edited-server bytes)" 10000 1000000000000
expect_between "edited: the server's end after milliseconds" "${ends[0]}" 1 8000
expect_between "edited: the client's end after milliseconds" "${ends[1]}" 1 8000
expect_match "edited: the client is told" "$(report edited broken)" '^(ConnectionResetError|BrokenPipeError)$'
expect_equal "edited: the server's end" "$(report edited-server broken)" ConnectionResetError
expect_equal "UDP: unchanged" "$(report receiver none)" 0
expect_between "UDP: longest silence, ms" "$(report receiver longest_gap_ms | cut -d . -f 1)" 100 4000
expect_between "UDP: lost at 1,000 a second" "$lost" 100 4000

# ---- a new connection, and the one that comes back --------------------------------------------
transfers=()
transfer_start again 5001 edited
sleep 0.5
plugged_in 0
sleep 3
if is_master 1 && ! is_master 0; then pass "who comes back waits"; else fail "who comes back takes over"; fi
kill -TERM "${transfers[1]}"
for i in 0 1; do wait "${transfers[i]}" || fail "the transfer after it broke"; done
expect_equal "a new connection: first wrong byte" "$(report again-server wrong_at)" -1
expect_equal "a new connection: SHA-256" "$(report again-server sha256)" "$(report again sha256)"

# ---- a fettle that does not answer ------------------------------------------------------------
kill -TERM "${fettles[1]}"
ended=$(milliseconds)
if wait_for 10 is_master 0; then
  pass "its router gives way to the other one, after $(($(milliseconds) - ended)) ms"
else
  fail "its router goes on being master"
fi
live_end
