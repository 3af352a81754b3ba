#!/bin/bash
# Packets as they are at a step go to pcap files that two workers share, whole and each once, through a reload
# to another file; a file that cannot be had refuses the reload, or the start.
. "$(dirname "$0")/lib.sh"

count=4000
live_begin "capture"

rule_set() {  # file text
  cat <<RULES
[[rule]]
name = "before and behind"
match = { protocol = "udp", dst-port = 5000 }
steps = [ { capture = "before.pcap" }, { write = "46544c31", at = 0 }, { capture = "$1" } ]
RULES
}
# Of a capture: packets, how many have FTL1, and how many sequence numbers stand twice in a flow.
cat >"$work/count.py" <<'PYTHON'
import struct, sys
data = open(sys.argv[1], "rb").read()
magic, link = struct.unpack("=I", data[:4])[0], struct.unpack("=I", data[20:24])[0]
at, packets, changed, seen = 24, 0, 0, set()
while at < len(data):
    seconds, part, size, length = struct.unpack("=IIII", data[at:at + 16])
    packet = data[at + 16:at + 16 + size]
    assert size == length == len(packet) == 28 + 64 and packet[0] == 0x45 and part < 10**9, (at, size, length)
    packets += 1
    changed += packet[28:32] == b"FTL1"
    seen.add(packet[36:48])
    at += 16 + size
print(f"magic={magic:x} link={link} packets={packets} changed={changed} distinct={len(seen)}")
PYTHON
read_capture() {  # name
  "$python" "$work/count.py" "$work/$1.pcap" >"$work/$1.log" 2>&1 || die "$1.pcap cannot be read"
  printf '        %s.pcap: %s\n' "$1" "$(cat "$work/$1.log")"
}

rule_set one.pcap >"$work/rules.toml"
fettle_start "$router" --rules "$work/rules.toml" --queue-balance 0:1
firewall "$router" -t mangle -A FORWARD -p udp --dport 5000 -j NFQUEUE --queue-balance 0:1
receiver_start $server_address4
sender_start $server_address4 from=$client_addresses4 rate=4000 size=64 count=$count
sleep 0.4

printf 'not a capture\n' >"$work/taken.pcap"
rule_set taken.pcap >"$work/rules.toml"
kill -HUP "$fettle_pid"
wait_for 5 log_has fettle 'reload refused' || die "the reload was not refused"
expect_match "the refusal names the file" "$(cat "$work/fettle.log")" 'taken.pcap begins with 6e6f7420, expected'
rule_set two.pcap >"$work/rules.toml"
kill -HUP "$fettle_pid"
wait_for 5 log_has fettle reloaded || die "no reload"
wait "$sender_pid" || die "the sender failed"
traffic_stop
expect_equal "lost" "$lost" 0
expect_equal "changed" "$(report receiver first)" $count
fettle_stop
expect_equal "exit status" "$fettle_status" 0
for name in before one two; do
  read_capture $name
  expect_equal "$name.pcap: nanoseconds" "$(report $name magic)" a1b23c4d
  expect_equal "$name.pcap: raw IP" "$(report $name link)" 101
  expect_equal "$name.pcap: none twice" "$(report $name distinct)" "$(report $name packets)"
done
expect_equal "before the change: all of them" "$(report before packets)" $count
expect_equal "before the change: changed" "$(report before changed)" 0
expect_between "under the first rules" "$(report one packets)" 400 $count
expect_equal "behind the change, in two files: all of them" "$(($(report one packets) + $(report two packets)))" $count
expect_equal "behind the change: changed" "$(($(report one changed) + $(report two changed)))" $count
expect_match "the summary has them" "$(cat "$work/fettle.log")" 'captured [0-9]+, not for want of room 0'

rule_set taken.pcap >"$work/rules.toml"
status=0
timeout 10 ip netns exec "$router" "$fettle" run --control "$work/second" --rules "$work/rules.toml" \
  --queue-balance 0 >"$work/refused.log" 2>&1 || status=$?
expect_equal "start with a file that is another: exit status" $status 73
expect_equal "it is left alone" "$(cat "$work/taken.pcap")" "not a capture"
live_end
