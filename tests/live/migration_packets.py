#!/usr/bin/python3
"""What deploy/migration.md's programs and rules are to be given, and what came of it.

  migration_packets.py keepalives|answers|texts|damaged COUNT   sends; datagrams that are in the tables, and others
  migration_packets.py compare ONE OTHER                        are two captures of Ethernet the same from the IP headers on?
"""
import socket
import struct
import sys

CENTRAL = "10.2.0.2"
INSIDE = {"10.20.0.11": "203.0.113.11", "10.20.0.12": "203.0.113.12", "10.20.0.13": "203.0.113.13"}


def folded(data):
    total = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def datagram(number, source, destination, port, payload):
    """With a number of its own in the IP header, where the kernel would write 0 or what it likes."""
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    udp = struct.pack(">HHHH", port, port, 8 + len(payload), 0) + payload
    checksum = ~folded(addresses + struct.pack(">HH", 17, len(udp)) + udp) & 0xffff or 0xffff
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), number + 1, 0, 60, 17, 0) + addresses
    return header + udp[:6] + struct.pack(">H", checksum) + udp[8:]


def keepalives(count):
    inside = list(INSIDE)
    for n in range(count):
        source = inside[n % len(inside)]
        payload = b"KA\1\0" + socket.inet_aton(source) + struct.pack(">I", n) + bytes(n % 9)
        yield datagram(n, source, CENTRAL, 1331, payload[:n % 12] if n % 10 == 9 else payload)


def answers(count):
    inside = list(INSIDE)
    for n in range(count):
        destination = inside[n % len(inside)]
        payload = b"KA\2\0" + socket.inet_aton(CENTRAL) + socket.inet_aton(INSIDE[destination]) + struct.pack(">I", n)
        yield datagram(n, CENTRAL, destination, 1331, payload + bytes(n % 5))


def texts(count):
    """Only what the program gets right: where the address stands by itself."""
    kinds = ("KA 10.9.1.2:7777 n{0}", "nothing {0}", "", "from=10.9.1.2 via=10.9.1.2 {0}", "KA 10.9.1.3:7777 n{0}")
    for n in range(count):
        yield datagram(n, "10.9.1.2", CENTRAL, 9999, kinds[n % len(kinds)].format(n).encode())


def damaged(count):
    """Keep-alives of a print server that is in the table, with checksums that are wrong."""
    for n in range(count):
        packet = bytearray(datagram(n, "10.20.0.11", CENTRAL, 1331, b"KA\1\0" + socket.inet_aton("10.20.0.11") + bytes(4)))
        packet[27] ^= 0x55
        yield bytes(packet)


def send(packets):
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    for packet in packets:
        raw.sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))


def packets_of(path):
    with open(path, "rb") as f:
        data = f.read()
    at, packets = 24, []
    while at + 16 <= len(data):
        size, = struct.unpack("<I", data[at + 8:at + 12])
        packets.append(data[at + 30:at + 16 + size])
        at += 16 + size
    return packets


def compare(one, other):
    first, second = packets_of(one), packets_of(other)
    for n, (a, b) in enumerate(zip(first, second)):
        if a != b:
            sys.exit(f"packet {n}:\n  {a.hex()}\n  {b.hex()}")
    if len(first) != len(second) or not first:
        sys.exit(f"{len(first)} and {len(second)} packets")
    print(f"{len(first)} packets are the same")


if sys.argv[1] == "compare":
    compare(*sys.argv[2:4])
else:
    send({"keepalives": keepalives, "answers": answers, "texts": texts, "damaged": damaged}[sys.argv[1]](int(sys.argv[2])))
