#!/usr/bin/python3
"""pcap-filter expressions over random packets: fettle, which filters from the IP header on, finds each in as many
packets as tcpdump, which filters the frames.

  filters_test.py FETTLE [SEED]
"""
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

EXPRESSIONS = [
    "ip", "ip6", "udp", "tcp port 53", "udp src port 53 or udp dst port 1000", "icmp or icmp6", "host 10.0.0.3",
    "src net 10.0.0.0/30", "ip6 net 2001:db8::/127", "dst host 2001:db8::2 and not tcp", "less 60", "greater 90",
    "tcp[tcpflags] & tcp-syn != 0", "udp[8] = 1", "udp[8:2] & 0x0f00 = 0x0100", "ip[8] < 64", "ip6[7] > 64",
    "ip[0] & 0xf != 5", "ip[6:2] & 0x1fff != 0", "not port 53", "portrange 50-60", "udp[udp[8] + 8] = 2", "len > 70",
    "(udp or tcp) and (port 53 or port domain) and not src host 10.0.0.1", "ip proto 47", "ip6 proto 44", "sctp",
    "ip protochain 17", "ip[len - 1] = 3", "ip multicast", "tcp[20:4] = 0x01020301"]


def make_packet(dice):
    payload = bytes(dice.choice([0, 1, 2, 3]) for _ in range(dice.randint(0, 30)))
    ports = struct.pack(">HH", *(dice.choice([53, 1000, 55, 4000]) for _ in range(2)))
    kind = dice.choice([17, 17, 6, 6, 1, 47, 132])
    six = dice.random() < 0.4
    if kind == 17:
        body = ports + struct.pack(">HH", 8 + len(payload), 0) + payload
    elif kind == 6:
        body = ports + struct.pack(">IIBBHHH", 1, 1, 0x50, dice.choice([2, 16, 18]), 100, 0, 0) + payload
    elif kind == 1:
        kind = 58 if six else 1
        body = struct.pack(">BBHI", 128 if six else 8, 0, 0, 7) + payload
    else:
        body = ports + bytes(8) + payload
    last = dice.randint(1, 6), dice.randint(1, 6)
    if six:
        if dice.random() < 0.2:
            body = struct.pack(">BBHI", kind, 0, dice.choice([1, 16, 17]), 5) + body
            kind = 44
        source, target = (bytes.fromhex("20010db8") + bytes(11) + bytes([n]) for n in last)
        header = struct.pack(">IHBB", 0x60000000, len(body), kind, dice.choice([9, 64, 65])) + source + target
    else:
        options = dice.choice([b"", b"", b"\1\1\1\0", b"\1" * 8])
        fragment = dice.choice([0, 0, 0, 0x2000, 0x2002, 0x4000])
        target = dice.choice([b"\x0a\0\0" + bytes([last[1]]), b"\xe0\0\0\1"])
        header = struct.pack(">BBHHHBBH", 0x45 + len(options) // 4, 0, 20 + len(options) + len(body), 1, fragment,
                             dice.choice([9, 64, 65]), kind, 0) + b"\x0a\0\0" + bytes([last[0]]) + target + options
    return bytes.fromhex("020000000001020000000002") + (b"\x86\xdd" if six else b"\x08\0") + header + body


def write_capture(path, frames):
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for frame in frames:
            f.write(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)


# tcpdump's length is the frame's, here it is the packet's.
def for_frames(expression):
    for mine, frames in (("less 60", "less 74"), ("greater 90", "greater 104"), ("len > 70", "len > 84"),
                         ("len - 1", "len - 15")):
        expression = expression.replace(mine, frames)
    return expression


def main():
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    wrong = found = 0
    with tempfile.TemporaryDirectory() as scratch:
        rules, capture = os.path.join(scratch, "rules.toml"), os.path.join(scratch, "in.pcap")
        with open(rules, "w") as f:
            for expression in EXPRESSIONS:
                f.write(f"[[rule]]\nmatch = {{ filter = '{expression}' }}\nsteps = []\n")
        write_capture(capture, [make_packet(dice) for _ in range(2000)])
        done = subprocess.run([sys.argv[1], "replay", "--json", "--quiet", "--rules", rules, capture,
                               os.path.join(scratch, "out.pcap")], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"fettle replay exits {done.returncode}: {done.stderr}")
        summary = json.loads(done.stdout)
        if summary["malformed"]:
            sys.exit(f"{summary['malformed']} packets are malformed, expected 0")
        for expression, rule in zip(EXPRESSIONS, summary["rules"], strict=True):
            shown = subprocess.run(["tcpdump", "-nn", "-t", "-r", capture, "--count", for_frames(expression)],
                                   capture_output=True, text=True, check=True).stdout
            expected = int(shown.split()[0])
            found += expected > 0
            if rule["hits"] != expected:
                wrong += 1
                print(f"{expression}: passed by {rule['hits']} packets, by tcpdump's word {expected}")
    if wrong or found < len(EXPRESSIONS) * 3 // 4:
        sys.exit(f"{wrong} of {len(EXPRESSIONS)} expressions pass other packets than tcpdump's, or {found} alone pass any")
    print(f"{len(EXPRESSIONS)} expressions pass what they do in tcpdump, {found} of them some")


if __name__ == "__main__":
    main()
