#!/bin/bash
# A device behind NAT that writes its own address into its keep-alives, and a central system that answers to
# what is written there, with deploy/recipes/keep-alive-text.toml between them.
. "$(dirname "$0")/lib.sh"

outside=198.51.100.1
count=500

live_begin "keep-alives with the address as text"

# The NAT keeps ports, and answers to the port that the device names have their way.
add_addresses "$router" wan $outside/32
ip -n "$server" route del default
ip -n "$server" route add $outside via 10.2.0.1
in_router iptables -t nat -A POSTROUTING -o wan -p udp -j SNAT --to-source $outside
in_router iptables -t nat -A PREROUTING -i wan -p udp --dport 7777 -j DNAT --to-destination $client_address4

cat >"$work/central.py" <<'PYTHON'
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 9999))
print("listening", flush=True)
while True:
    _, named, nonce = s.recvfrom(2000)[0].decode().split()
    try:
        host, port = named.split(":")
        s.sendto(f"OK {named} {nonce}".encode(), (host, int(port)))
    except OSError as error:
        print("no answer to", named, error, flush=True)
PYTHON
cat >"$work/device.py" <<'PYTHON'
import socket, sys
own, central, count, patience = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((own, 7777))
s.settimeout(patience)
good = 0
for n in range(count):
    s.sendto(f"KA {own}:7777 n{n}".encode(), (central, 9999))
    try:
        good += s.recv(2000) == f"OK {own}:7777 n{n}".encode()
    except TimeoutError:
        pass
print(good)
PYTHON
start central "$server" "$python" "$work/central.py" $server_address4
wait_for 5 log_has central listening || die "the central system does not listen"
announce() {  # count patience
  in_client timeout 12 "$python" "$work/device.py" $client_address4 $server_address4 "$1" "$2" 2>&1 | tail -n 1
}

expect_equal "without the rules: answers" "$(announce 1 1)" 0
expect_match "the central system cannot reach the device" "$(cat "$work/central.log")" "no answer to $client_address4"

sed -e "s/^\"10.9.1.2\" = .*/\"$client_address4\" = \"$outside\"/" -e '/^match/s/10.9.0.0/10.1.0.0/' \
  "$root_dir/deploy/recipes/keep-alive-text.toml" >"$work/rules.toml"
fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1
in_router iptables -t mangle -A FORWARD -s 10.1.0.0/16 -p udp --dport 9999 -j NFQUEUE --queue-balance 0:1
in_router iptables -t mangle -A FORWARD -d 10.1.0.0/16 -p udp --sport 9999 -j NFQUEUE --queue-balance 0:1
expect_equal "with the rules: answers that name the device's own address" "$(announce $count 5)" $count
fettle_stop
expect_equal "exit status" "$fettle_status" 0
expect_equal "keep-alives" "$(rule_summary hits "keep-alive to the central system")" $count
expect_equal "misses" $(($(rule_summary misses "keep-alive to the central system") + \
  $(rule_summary misses "answer to the device"))) 0
expect_equal "checksum errors" $(($(checksum_errors "$server") + $(checksum_errors "$client"))) 0
live_end
