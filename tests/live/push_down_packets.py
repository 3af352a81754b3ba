"""Packets for push_down.toml, some of each rule's and some beside it, as Ethernet frames in a capture.

  push_down_packets.py SEED COUNT OUT.pcap
"""
import random
import sys

from scapy.all import (ICMP, IP, TCP, UDP, Ether, ICMPv6DestUnreach, ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt,
                       IPv6ExtHdrFragment, Raw, raw, wrpcap)

CHANCE = random.Random(int(sys.argv[1]))
ADDRESSES = {4: ("10.9.1.2", "10.9.1.3", "10.9.1.4", "10.9.4.7", "10.9.4.200", "10.66.1.1", "198.51.100.1",
                 "198.51.101.7", "172.16.3.4"),
             6: ("fd00:9::2", "fd00:9::3", "fd00:9:1::7", "fd00:9:1:1fff::8", "fd00:66::1", "2001:db8::2:2")}
BYTES = {4: bytes([10, 9, 1, 2]) + bytes([198, 51, 101, 9]), 6: bytes.fromhex("fd0000090001") + bytes(10)}


def chosen(*values):
    return CHANCE.choice(values)


def payload():
    start = chosen(b"KA", b"JA", b"\x00\x4f", b"\x02\x0a\x01\x01", b"")
    if chosen(True, False):
        start = start.ljust(4, b"\0")[:4] + bytes([10, 9, chosen(1, 4), chosen(2, 3, 200)]) + BYTES[4][4:]
    elif chosen(True, False):
        start = start.ljust(2, b"\0")[:2] + BYTES[6]
    return start + CHANCE.randbytes(chosen(0, 1, 3, 7, 20, 21, 40, 41, 300))


def transport(wide):
    ports = {"sport": chosen(4000, 4003, 5003, 5006, 40000), "dport": chosen(*range(5001, 5012), 53)}
    kind = CHANCE.randrange(10)
    if kind < 4:
        flags = chosen("S", "SA", "A", "PA", "R", "SR", "F")
        options = chosen([], [("MSS", 1460)], [("NOP", None), ("MSS", 536)], [("MSS", 1221), ("WScale", 3)])
        return TCP(**ports, flags=flags, seq=1, ack=2, options=options) / Raw(payload())
    if kind < 8:
        layer = UDP(**ports) / Raw(payload())
        if not wide and chosen(True, False, False):
            layer[UDP].chksum = 0
        return layer
    if wide:
        return chosen(ICMPv6EchoRequest(id=1, seq=2), ICMPv6DestUnreach(code=1) / Raw(bytes(48)))
    return ICMP(type=chosen(0, 3, 8, 11), code=chosen(0, 1)) / Raw(payload())


def packet(number):
    wide = chosen(True, False, False)
    family = 6 if wide else 4
    hops, traffic_class = chosen(10, 60, 64, 65, 128), chosen(0, 0xb8, 0xb9, 0x22, 2, 3)
    if wide:
        ip = IPv6(src=chosen(*ADDRESSES[6]), dst="2001:db8:51::1", hlim=hops, tc=traffic_class, fl=number)
        if chosen(*[False] * 5, True):
            ip = ip / IPv6ExtHdrDestOpt()
        if chosen(*[False] * 9, True):
            ip = ip / IPv6ExtHdrFragment(id=number, m=chosen(0, 1), offset=0)
    else:
        ip = IP(src=chosen(*ADDRESSES[family]), dst=chosen("192.0.2.77", "10.200.0.1"), ttl=hops, tos=traffic_class,
                id=number)
        if chosen(*[False] * 9, True):
            ip.flags, ip.frag = chosen(("MF", 0), (0, 5), ("MF", 5))
    built = bytearray(raw(ip / transport(wide)))
    if chosen(*[False] * 9, True):  # a checksum that was wrong stays so
        built[-1] ^= 1
    return bytes(built)


frames = [Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01", type=0x86dd if p[0] >> 4 == 6 else 0x0800) / Raw(p)
          for p in (packet(number) for number in range(1, 1 + int(sys.argv[2])))]
wrpcap(sys.argv[3], frames)
