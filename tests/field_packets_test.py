#!/usr/bin/python3
"""Packets that a rule file's tests give by their fields, beside scapy's: byte for byte the same, lengths and
checksums included, and none that tshark finds fault with.

  field_packets_test.py FETTLE
"""
import os
import struct
import subprocess
import sys
import tempfile

try:
    from scapy.all import ICMP, IP, SCTP, TCP, UDP, ICMPv6EchoRequest, IPv6, Raw
    from scapy.layers.inet6 import ICMPv6DestUnreach
except ImportError:
    print("skipped: scapy is not installed")
    sys.exit(77)

V4 = IP(src="10.20.0.11", dst="198.51.100.9", id=0, flags="DF")
V6 = IPv6(src="2001:db8::1", dst="2001:db8::2")
A4 = 'src = "10.20.0.11", dst = "198.51.100.9"'
A6 = 'src = "2001:db8::1", dst = "2001:db8::2"'


def tcp(**fields):
    return TCP(**{"sport": 0, "dport": 0, "seq": 1, "ack": 1, "flags": "A", "window": 65535, **fields})


# The first byte of this payload makes the UDP checksum come out as 0, which is sent as 0xffff.
def zero_sum():
    whole = IP(bytes(V4 / UDP(sport=7, dport=9) / Raw(b"\0\0")))
    return whole[UDP].chksum.to_bytes(2, "big")


CASES = [
    (f'protocol = "udp", {A4}, src-port = 1331, dst-port = 53, payload = "4b41010203"',
     V4 / UDP(sport=1331, dport=53) / Raw(bytes.fromhex("4b41010203"))),
    (f'protocol = "udp", {A4}, src-port = 7, dst-port = 9, payload = "{zero_sum().hex()}"',
     V4 / UDP(sport=7, dport=9) / Raw(zero_sum())),
    (f'protocol = "udp", {A6}, ttl = 3, dscp = "ef", ecn = "ect0", dst-port = 53, payload-text = "h\\u00e9"',
     V6.__class__(src=V6.src, dst=V6.dst, hlim=3, tc=46 << 2 | 2) / UDP(sport=0, dport=53) / Raw("hé".encode())),
    (f'protocol = "tcp", {A4}, dscp = 10, tcp-flags = "syn", mss = 1460, src-port = 40000, dst-port = 80',
     IP(src=V4.src, dst=V4.dst, id=0, flags="DF", tos=40) /
     tcp(sport=40000, dport=80, flags="S", ack=0, options=[("MSS", 1460)])),
    (f'protocol = "tcp", {A6}, tcp-flags = "psh,ack", window = 5, dst-port = 21, payload-text = "PORT 1\\r\\n"',
     V6 / tcp(dport=21, flags="PA", window=5) / Raw(b"PORT 1\r\n")),
    (f'protocol = "icmp", {A4}, payload = "0102"', V4 / ICMP(type=8, code=0) / Raw(b"\1\2")),
    (f'protocol = "icmp", {A4}, icmp-type = "3/4"', V4 / ICMP(type=3, code=4)),
    (f'protocol = "icmpv6", {A6}, payload-text = "abc"', V6 / ICMPv6EchoRequest(data=b"abc")),
    (f'protocol = "icmpv6", {A6}, icmp-type = "destination-unreachable"', V6 / ICMPv6DestUnreach()),
    (f'protocol = "gre", {A4}, payload = "00000800"', IP(src=V4.src, dst=V4.dst, id=0, flags="DF", proto=47) /
     Raw(bytes.fromhex("00000800"))),
    (f'protocol = 200, {A6}, payload = "01"', IPv6(src=V6.src, dst=V6.dst, nh=200) / Raw(b"\1")),
    (f'protocol = "sctp", {A4}, src-port = 5, dst-port = 6, payload = "0b000004"',
     V4 / SCTP(sport=5, dport=6, tag=1) / Raw(bytes.fromhex("0b000004"))),
]


def faults(packets, folder):
    """What tshark says of checksums and lengths."""
    path = os.path.join(folder, "packets.pcap")
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHIIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101))
        for packet in packets:
            f.write(struct.pack("<IIII", 0, 0, len(packet), len(packet)) + packet)
    judged = subprocess.run(
        ["tshark", "-r", path, "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o",
         "tcp.check_checksum:TRUE", "-o", "sctp.checksum:CRC32C", "-Y",
         "ip.checksum.status == 0 || udp.checksum.status == 0 || tcp.checksum.status == 0 || "
         "sctp.checksum.status == 0 || icmp.checksum.status == 0 || icmpv6.checksum.status == 0 || "
         "ip.bogus_ip_length || ip.bogus_header_length || udp.length.bad"],
        capture_output=True, text=True, check=False)
    return judged.stdout + (judged.stderr if judged.returncode else "")


def main():
    fettle = sys.argv[1]
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        rules = os.path.join(folder, "f.toml")
        built = [bytes(packet) for _, packet in CASES]
        for (fields, _), whole in zip(CASES, built):
            for wrong in (False, True):
                expected = bytearray(whole)
                expected[-1] ^= wrong
                with open(rules, "w", encoding="utf-8") as f:
                    f.write(f'[[test]]\npacket = {{ {fields} }}\nexpect = {{ hex = "{expected.hex()}" }}\n')
                done = subprocess.run([fettle, "check", rules], capture_output=True, text=True, check=False)
                if done.returncode != (65 if wrong else 0):
                    print(f"FAIL  {fields}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
                    failures += 1
        found = faults(built, folder)
        broken = bytearray(built[0])
        broken[-1] ^= 1
        if not faults([bytes(broken)], folder):
            print("FAIL  tshark finds no fault with a checksum that is wrong")
            failures += 1
        if found:
            print(f"FAIL  tshark: {found}")
            failures += 1
    print(f"{len(CASES)} packets, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
