"""What a capture at the receiver's link says of traffic.cc's datagrams: nothing of fettle's own has a part in it.

    witness.py FILE.pcap PORT

Prints one line: how many datagrams, how many distinct ones, how many of them changed ("FTL1" in the first slot),
how many with a wrong checksum in the IPv4 or UDP header or a length that is not true, and each VLAN with its
priority ("7.5", "-" without a tag), by a comma.
"""
import struct
import sys


def packets(path):
    with open(path, "rb") as file:
        data = file.read()
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    at = 24
    while at + 16 <= len(data):
        size = struct.unpack(order + "I", data[at + 8:at + 12])[0]
        yield data[at + 16:at + 16 + size]
        at += 16 + size


def total(data):
    """The ones' complement sum, 0xffff where the checksum inside is right."""
    data += bytes(len(data) % 2)
    out = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while out > 0xffff:
        out = (out & 0xffff) + (out >> 16)
    return out


def transport(data, kind):
    """The addresses, UDP's header and payload, and whether all checksums and lengths are right."""
    if kind == 0x0800 and data[9] == 17:
        header, size = (data[0] & 15) * 4, struct.unpack("!H", data[2:4])[0]
        right, ends = total(data[:header]) == 0xffff, data[12:20]
    elif kind == 0x86dd and data[6] == 17:
        header, size = 40, 40 + struct.unpack("!H", data[4:6])[0]
        right, ends = True, data[8:40]
    else:
        return b"", b"", True
    udp = data[header:size]
    pseudo = ends + struct.pack("!HH", 17, len(udp))
    right = right and len(data) >= size and struct.unpack("!H", udp[4:6])[0] == len(udp)
    checked = udp[6:8] == b"\0\0" and kind == 0x0800 or total(pseudo + udp) == 0xffff
    return ends, udp, right and checked


def main():
    path, port = sys.argv[1], int(sys.argv[2])
    count = changed = wrong = 0
    seen, tags = set(), set()
    for frame in packets(path):
        kind, data, tag = struct.unpack("!H", frame[12:14])[0], frame[14:], "-"
        while kind == 0x8100:
            control, kind = struct.unpack("!HH", data[:4])
            data, tag = data[4:], f"{control & 0xfff}.{control >> 13}"
        ends, udp, right = transport(data, kind)
        if len(udp) < 28 or struct.unpack("!H", udp[2:4])[0] != port:
            continue
        count += 1
        changed += udp[8:12] == b"FTL1"
        wrong += not right
        seen.add(ends + udp[16:28])  # flow and sequence
        tags.add(tag)
    print(f"datagrams={count} distinct={len(seen)} changed={changed} wrong={wrong} tags={','.join(sorted(tags))}")


main()
