#!/bin/bash
# deploy/libipq: the manual page's own program passes packets, another of its kind mends the print servers' keep-alives,
# with tshark as the witness behind the router; what the library does at its edges, under sanitizers.
. "$(dirname "$0")/lib.sh"

count=300
outside4=203.0.113.11
outside6=2001:db8::11
programs=${LIBIPQ_PROGRAMS:-$(dirname "$traffic")/../libipq}
live_begin "programs on libipq"
for tool in tcpdump tshark setpriv "$programs/ipq_passer" "$programs/ipq_mangler" "$programs/ipq_behaviour"; do
  command -v "$tool" >/dev/null || die "$tool is not there; build it, or run deploy/install-dependencies --tests"
done

queue() { firewall "$router" -t mangle -A FORWARD -p udp "$@" -j NFQUEUE; }
no_queue() { firewall "$router" -t mangle -D FORWARD -p udp "$@" -j NFQUEUE; }
program_has_queue() {  # number
  kill -0 "$program_pid" 2>/dev/null || die "the program ended before it had its queue"
  [ -n "$(queue_column "$router" "$1" 1)" ]
}
program_start() {  # name queue command...
  start "$1" "$router" "${@:3}"
  program_pid=$started
  wait_for 10 program_has_queue "$2" || die "$1 does not read queue $2"
}
program_stop() {
  kill -TERM "$program_pid"
  program_status=0
  wait "$program_pid" || program_status=$?
}
udp() {  # version: sets sent, lost and received
  local address="server_address$1" from="client_addresses$1"
  receiver_start "${!address}"
  sender_start "${!address}" "from=${!from}" count=$count rate=5000 size=400
  wait "$sender_pid" || die "the sender failed"
  sleep 0.2
  traffic_stop >/dev/null
  received=$(report receiver distinct)
}

# ---- the manual page's example ----------------------------------------------------------------

cat >"$work/ping.py" <<'PYTHON'
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
s.connect((sys.argv[1], 0))
s.settimeout(1)
answers = 0
for n in range(int(sys.argv[2])):
    s.send(struct.pack(">BBHHH", 8, 0, 0xffff - 0x0800 - 1 - n, 1, n))
    try:
        answers += s.recv(100)[20:21] == b"\0"
    except TimeoutError:
        pass
print(answers)
PYTHON

queue --dport 5000
udp 4
expect_equal "no program: arrive" "$received" 0
program_start passer 0 "$programs/ipq_passer"
expect_equal "passer: copy mode and range" "$(queue_column "$router" 0 4) $(queue_column "$router" 0 5)" "2 2048"
udp 4
expect_equal "passer: arrive" "$received" $count
expect_equal "passer: unchanged" "$(report receiver none)" $count
expect_equal "passer: damaged" "$(report receiver corrupt)" 0
udp 6
expect_equal "passer: IPv6, which it did not ask for" "$received" 0
expect_equal "nothing waits" "$(queue_waiting "$router" 0)" 0
in_router iptables -t mangle -I FORWARD -p icmp -j NFQUEUE
expect_equal "passer: echoes" "$(in_client "$python" "$work/ping.py" $server_address4 5)" 5
in_router iptables -t mangle -D FORWARD -p icmp -j NFQUEUE

start second "$router" "$programs/ipq_passer"
status=0
wait "$started" || status=$?
expect_equal "a second one: status" $status 1
expect_equal "its words" "$(cat "$work/second.log")" \
  "passer: Received error from netlink: Device or resource busy"
start nobody "$router" setpriv --reuid 65534 --clear-groups --inh-caps=-all "$programs/ipq_passer"
status=0
wait "$started" || status=$?
expect_equal "not root: status" $status 1
expect_equal "its words" "$(cat "$work/nobody.log")" "passer: Unable to bind netlink socket: Operation not permitted"
program_stop
expect_equal "passer has complained" "$(cat "$work/passer.log")" ""

# ---- the environment --------------------------------------------------------------------------

stopped() {  # what wanted NAME=VALUE...: a program that does not read, with a queue of 50 places
  program_start slow 7 env LIBIPQ_QUEUE=7 LIBIPQ_QUEUE_LENGTH=50 "${@:3}" "$programs/ipq_passer"
  kill -STOP "$program_pid"
  receiver_start $server_address4
  sender_start $server_address4 count=200 rate=2000 size=400
  wait "$sender_pid" || die "the sender failed"
  expect_equal "$1: waiting" "$(queue_waiting "$router" 7)" 50
  kill -CONT "$program_pid"
  wait_for 5 queues_empty "$router" || fail "$1: the queue does not empty"
  sleep 0.2
  traffic_stop >/dev/null
  expect_equal "$1: arrive" "$(report receiver distinct)" "$2"
  program_stop
}
no_queue --dport 5000
in_router iptables -t mangle -A FORWARD -p udp --dport 5000 -j NFQUEUE --queue-num 7
stopped "a full queue drops" 50
stopped "LIBIPQ_FAIL_OPEN=1" 200 LIBIPQ_FAIL_OPEN=1
in_router iptables -t mangle -F FORWARD

# ---- keep-alives ------------------------------------------------------------------------------

cat >"$work/keepalives.py" <<'PYTHON'
import socket, struct, sys
own, central, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in own else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM)
s.bind((own, 1331))
for n in range(count):
    s.sendto(b"KA\1\0" + socket.inet_pton(family, own) + struct.pack(">I", n) + bytes(n % 7), (central, 1331))
PYTHON
captured() { [ "$(tshark -r "$work/wire.pcap" 2>/dev/null | wc -l)" -ge $count ]; }
keepalives() {  # version: what comes to the server is in wire.pcap
  local own="client_address$1" central="server_address$1"
  rm -f "$work/wire.pcap"
  start tcpdump "$server" tcpdump -i eth0 -U -w "$work/wire.pcap" "udp port 1331"
  local tcpdump_pid=$started
  wait_for 5 log_has tcpdump listening || die "tcpdump does not listen"
  in_client "$python" "$work/keepalives.py" "${!own}" "${!central}" $count
  wait_for 5 captured || true
  kill -TERM "$tcpdump_pid"
  wait "$tcpdump_pid" || true
}
witness() {  # field...: of each keep-alive, as tshark reads it
  local fields=() field
  for field in "$@"; do fields+=(-e "$field"); done
  tshark -r "$work/wire.pcap" -o udp.check_checksum:TRUE -T fields "${fields[@]}" udp.dstport==1331 2>/dev/null
}
hex_of() {  # address
  "$python" -c 'import socket, sys
a = sys.argv[1]
print(socket.inet_pton(socket.AF_INET6 if ":" in a else socket.AF_INET, a).hex())' "$1"
}
judge() {  # version bytes-of-an-address
  local inside="client_address$1" outside="outside$1"
  expect_equal "IPv$1: keep-alives at the server" "$(witness udp.dstport | wc -l)" $count
  expect_equal "IPv$1: with the outside address" "$(witness data | grep -c "^4b410100$(hex_of "${!outside}")")" $count
  expect_equal "IPv$1: with the inside one" "$(witness data | grep -c "$(hex_of "${!inside}")" || true)" 0
  expect_equal "IPv$1: numbers in order" "$(witness data | cut -c $((9 + 2 * $2))- | cut -c -8 | md5sum)" \
    "$(for ((n = 0; n < count; ++n)); do printf '%08x\n' $n; done | md5sum)"
  expect_equal "IPv$1: good checksums" "$(witness udp.checksum.status | grep -c '^1$')" $count
}

in_router iptables -t raw -A PREROUTING -p udp --dport 1331 -j MARK --set-mark 0x2a
queue --dport 1331
program_start mangler4 0 "$programs/ipq_mangler" 4 $client_address4 $outside4
keepalives 4
program_stop
judge 4 4
expect_match "IPv4: what the program is told" "$(cat "$work/mangler4.log")" \
  "^hook=2 in=lan out=wan mark=42 protocol=0800 type=1 hw=6/020000000002 bytes=40 time=[0-9]{10,}$"
expect_equal "IPv4: its count" "$(tail -n 1 "$work/mangler4.log")" "packets=$count changed=$count"
expect_equal "IPv4: its end" "$program_status" 0

# A packet's time is that of its arrival, not that of its reading.
program_start late 0 "$programs/ipq_mangler" 4 $client_address4 $outside4
kill -STOP "$program_pid"
in_client "$python" "$work/keepalives.py" $client_address4 $server_address4 1
came=$(date +%s)
sleep 2.5
kill -CONT "$program_pid"
wait_for 5 log_has late time= || fail "the program reads no packet"
program_stop
expect_between "seconds from a packet's time to when it has come" \
  $((came - $(sed -n 's/.* time=//p' "$work/late.log"))) 0 20

# One program for each family, as it was; both queues by their variables.
no_queue --dport 1331
in_router iptables -t mangle -A FORWARD -p udp --dport 1331 -j NFQUEUE --queue-num 4
in_router ip6tables -t mangle -A FORWARD -p udp --dport 1331 -j NFQUEUE --queue-num 6
export LIBIPQ_QUEUE=4 LIBIPQ_QUEUE6=6
program_start mangler4 4 "$programs/ipq_mangler" 4 $client_address4 $outside4
first_pid=$program_pid
program_start mangler6 6 "$programs/ipq_mangler" 6 $client_address6 $outside6
keepalives 6
judge 6 16
keepalives 4
judge 4 4
program_stop
expect_match "IPv6: what the program is told" "$(cat "$work/mangler6.log")" \
  "^hook=2 in=lan out=wan mark=0 protocol=86dd type=1 hw=6/020000000002 bytes=72 time=[0-9]{10,}$"
expect_equal "IPv6: its count" "$(tail -n 1 "$work/mangler6.log")" "packets=$count changed=$count"
program_pid=$first_pid
program_stop
expect_equal "IPv4: its count" "$(tail -n 1 "$work/mangler4.log")" "packets=$count changed=$count"
expect_equal "checksum errors at the server" "$(checksum_errors "$server")" 0
unset LIBIPQ_QUEUE LIBIPQ_QUEUE6
in_router iptables -t mangle -F FORWARD
in_router ip6tables -t mangle -F FORWARD

# ---- edges ------------------------------------------------------------------------------------

firewall "$router" -t mangle -A OUTPUT -o lo -p udp --dport 5000 -j NFQUEUE --queue-num 3
for v in 4 6; do
  status=0
  in_router timeout 60 "$programs/ipq_behaviour" $v >"$work/behaviour$v.log" 2>&1 || status=$?
  expect_equal "IPv$v, $(grep -c '^  ok' "$work/behaviour$v.log") checks under sanitizers: status" $status 0
  expect_equal "IPv$v: to its end" "$(tail -n 1 "$work/behaviour$v.log")" "0 failures"
done
live_end
