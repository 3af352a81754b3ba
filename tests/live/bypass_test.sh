#!/bin/bash
# Of a flow that is marked, only what comes before its first verdict reaches the queue; of one that is not,
# everything does. Both directions of a connection are one flow.
. "$(dirname "$0")/lib.sh"

count=200
SLOWNESS=${SLOWNESS:-1}
live_begin "flows that need no more looking pass the queue by"

cat >"$work/rules.toml" <<'RULES'
[defaults]
bypass-mark = "0x10/0x10"

[[rule]]
name = "seen enough"
match = { protocol = "udp", dst-port = 5000 }
steps = [ { write = "46544c31", at = 0 }, { bypass = true } ]

[[rule]]
name = "look at all"
match = { protocol = "udp", dst-port = 5001 }
steps = [ { write = "46544c31", at = 0 } ]

[[rule]]
name = "questions and answers"
match = { protocol = "udp", port = 5002 }
steps = [ { bypass = true } ]
RULES
cat >"$work/echo.py" <<'PYTHON'
import os, socket, sys
role, address = sys.argv[1:3]
end = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
end.settimeout(5 * int(os.environ.get("SLOWNESS", "1")))
if role == "answer":
    end.bind((address, 5002))
    print("listening", flush=True)
for _ in range(5):
    if role == "answer":
        end.sendto(*end.recvfrom(100))
    else:
        end.sendto(b"question", (address, 5002))
        assert end.recv(100) == b"question"
PYTHON

# send TITLE ADDRESS PORT: a flow, of which nothing is lost. Sets `least` and `most` that are queued of it: the first;
# and as many as come before its verdict on a machine that is busy elsewhere.
send() {
  start receiver "$server" "$traffic" receive "at=$2" port="$3"
  receiver_pid=$started
  wait_for 5 log_has receiver listening || die "the receiver does not listen"
  start sender "$client" "$traffic" send "to=$2" port="$3" count=$count rate=400
  sender_pid=$started
  wait "$sender_pid" || die "the sender failed"
  traffic_stop >/dev/null
  expect_equal "$1: lost" "$lost" 0
  most=$(($3 == 5000 ? count / (SLOWNESS > 1 ? 1 : 4) : count)) least=$(($3 == 5000 ? 1 : count))
}

fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1
firewall "$router" -t mangle -A FORWARD -m connmark --mark 0x10/0x10 -m comment --comment passes -j ACCEPT ||
  skip "the kernel has no connmark match"
firewall "$router" -t mangle -A FORWARD -m comment --comment queued -j NFQUEUE --queue-balance 0:1
firewall "$router" -t mangle -A POSTROUTING -m mark --mark 0x10/0x10 -j CONNMARK --save-mark --nfmask 0x10 --ctmask 0x10

for v in 4 6; do
  tables=iptables
  [ $v = 4 ] || tables=ip6tables
  address="server_address$v"
  for port in 5000 5001; do
    firewall "$router" -t mangle -Z FORWARD
    send "IPv$v, port $port" "${!address}" $port
    queued=$(counted "$router" $tables mangle queued)
    expect_equal "IPv$v, port $port: changed are those that were queued" "$(report receiver first)" "$queued"
    expect_between "IPv$v, port $port: queued of $count" "$queued" $least $most
    expect_equal "IPv$v, port $port: pass by the queue" "$(counted "$router" $tables mangle passes)" $((count - queued))
  done
  firewall "$router" -t mangle -Z FORWARD
  start answer "$server" "$python" "$work/echo.py" answer "${!address}"
  wait_for 5 log_has answer listening || die "nobody answers"
  in_client "$python" "$work/echo.py" ask "${!address}" || die "no answer"
  expect_equal "IPv$v: questions and answers that are queued, of 10" "$(counted "$router" $tables mangle queued)" 1
  expect_equal "IPv$v: that pass by the queue" "$(counted "$router" $tables mangle passes)" 9
done
fettle_stop
expect_equal "exit status" "$fettle_status" 0

# The same by rules that fettle enters, beside somebody else's bits of the connection's mark.
command -v conntrack >/dev/null || skip "conntrack is not there: deploy/install-dependencies --tests"
for table in FORWARD POSTROUTING; do firewall "$router" -t mangle -F $table; done
firewall "$router" -t mangle -A PREROUTING -i lan -j CONNMARK --set-xmark 0x300/0x300
tools=iptables
in_router nft add table inet probe \; add chain inet probe c \; add rule inet probe c queue to 9 2>"$work/nft.log" &&
  tools="iptables nft"
in_router nft delete table inet probe 2>/dev/null || true
for tool in $tools; do
  in_router conntrack -F >"$work/conntrack.log" 2>&1
  fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1 --steer "$tool"
  wait_for 10 log_has fettle 'steering: ' || die "run --steer does not say what it entered"
  for port in 5000 5001; do
    send "steered by $tool, port $port" $server_address4 $port
    expect_between "steered by $tool, port $port: queued of $count" "$(report receiver first)" $least $most
  done
  marks=$(in_router conntrack -L -p udp 2>/dev/null | sed -n 's/.*dport=\(500[01]\) .*mark=\([0-9]*\).*/\1 \2/p' | sort -u | xargs)
  expect_equal "steered by $tool: marks of connections" "$marks" "5000 $((0x310)) 5001 $((0x300))"
  fettle_stop
  expect_equal "exit status" "$fettle_status" 0
done
live_end
