#!/usr/bin/python3
"""Makes tests/fuzz/corpus anew: inputs for each fuzz target from the scenarios' captures and rule files, from the
recipes and their tests, and from TCP dialogues made of these tests' payloads. Of all of them, and of what the corpus
has, a smallest set that covers as much is kept (libFuzzer's -set_cover_merge), and those with names of their own.

  make_corpus.py [--also FOLDER] [TARGET...]

Takes fuzz targets from build-asan/ (tests/run --fuzz 1 builds them). --also: more inputs, in FOLDER/TARGET/, such as
what a long run has found.
"""
import argparse
import glob
import hashlib
import os
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
import tomllib

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
CORPUS = os.path.join(ROOT, "tests/fuzz/corpus")
LONGEST = 4096  # bytes of an input
MENDED, NEXT, ROOM, GSO, NOT_READY, RECORDED, TRACED = 1, 2, 4, 8, 16, 64, 128  # fuzz_program.cc
EDITS = 0x1fff  # the bits of the mark that switch edits on in every_word.toml


# ---- What the scenarios and recipes have ----

def network_layer(link, frame):
    """The IP packet in a frame, or None."""
    if link == 101:
        return frame
    at, kind = (14, frame[12:14]) if link == 1 else (16, frame[14:16])
    while kind in (b"\x81\x00", b"\x88\xa8"):
        kind, at = frame[at + 2:at + 4], at + 4
    if kind == b"\x88\x64":
        at += 8
    return frame[at:] if kind in (b"\x08\x00", b"\x86\xdd", b"\x88\x64") else None


def packets_of(pcap):
    with open(pcap, "rb") as f:
        data = f.read()
    order = "<" if data[0] in (0xd4, 0x4d) else ">"
    link = struct.unpack(order + "I", data[20:24])[0] & 0xffff
    at = 24
    while at + 16 <= len(data):
        size = struct.unpack(order + "I", data[at + 8:at + 12])[0]
        packet = network_layer(link, data[at + 16:at + 16 + size])
        if packet:
            yield packet
        at += 16 + size


def rule_files():
    return sorted(glob.glob(f"{ROOT}/tests/scenarios/*/rules.toml") + glob.glob(f"{ROOT}/deploy/recipes/*.toml") +
                  [f"{ROOT}/tests/fuzz/every_word.toml"])


def values(node, name):
    """All values of keys with this name, however deep."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == name:
                yield from value if isinstance(value, list) else [value]
            yield from values(value, name)
    elif isinstance(node, list):
        for value in node:
            yield from values(value, name)


PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58, "sctp": 132}


def ip_packet(src, dst, protocol, transport, ttl=64):
    """Checksums are left to the fuzz target, which mends them where the seed says so."""
    if ":" in src:
        addresses = socket.inet_pton(socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst)
        return struct.pack("!IHBB", 0x60000000, len(transport), protocol, ttl) + addresses + transport
    return (struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(transport), 7, 0, ttl, protocol, 0) + socket.inet_aton(src) +
            socket.inet_aton(dst) + transport)


def tcp_segment(sport, dport, seq, ack, flags, payload=b"", options=b""):
    options += b"\x01" * (-len(options) % 4)
    return struct.pack("!HHIIBBHHH", sport, dport, seq & 0xffffffff, ack & 0xffffffff, (20 + len(options)) // 4 << 4,
                       flags, 8192, 0, 0) + options + payload


def test_packet(fields):
    """The packet that a [[test]] of a rule file describes."""
    if "hex" in fields:
        return bytes.fromhex(fields["hex"])
    payload = fields.get("payload-text", "").encode() or bytes.fromhex(fields.get("payload", ""))
    protocol = PROTOCOLS.get(fields["protocol"], fields["protocol"])
    sport, dport = fields.get("src-port", 40000), fields.get("dst-port", 40000)
    if protocol == 6:
        flags = 2 if "syn" in fields.get("tcp-flags", "") else 0x18
        transport = tcp_segment(sport, dport, 1000, 1, flags, payload, b"\x02\x04\x05\xb4" if flags == 2 else b"")
    elif protocol == 17:
        transport = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload
    else:
        transport = bytes([3, 4, 0, 0, 0, 0, 0, 0]) + payload
    return ip_packet(fields["src"], fields["dst"], protocol if isinstance(protocol, int) else 47, transport)


def tests_of(path):
    with open(path, "rb") as f:
        return [test["packet"] for test in tomllib.load(f).get("test", [])]


def texts():
    """Payloads that protocols know, with the port they go to."""
    for path in rule_files():
        for fields in tests_of(path):
            payload = fields.get("payload-text", "").encode() or bytes.fromhex(fields.get("payload", ""))
            port = min(fields.get("src-port", 65535), fields.get("dst-port", 65535))
            if payload:
                yield port, payload
    yield 21, b"PORT 10,9,1,2,4,1\r\n227 Entering (10,9,1,2,4,1)\r\nEPRT |1|10.9.1.2|5|\r\n"


def dialogue(port, payload, source, family=4):
    """A connection over which the payload goes, in segments: some late, some twice, cut otherwise the second time."""
    client, server = ("10.9.1.2", "203.0.113.9") if family == 4 else ("fd00:9::2", "2001:db8::9")
    seq, ack, offer = 0xffffff80, 5000, b"\x02\x04\x05\xb4\x04\x02"

    def there(offset, flags, data=b"", options=b""):
        return ip_packet(client, server, 6, tcp_segment(40000, port, seq + offset, ack + 1, flags, data, options))

    def back(acked, options=b"", flags=0x10, offset=1):
        return ip_packet(server, client, 6, tcp_segment(port, 40000, ack + offset, seq + acked, flags, b"", options))
    yield there(0, 2, options=offer)
    yield back(1, offer, 0x12, 0)
    cuts = sorted({0, len(payload), *(source.randrange(len(payload) + 1) for _ in range(3))})
    pieces = [(a, payload[a:b]) for a, b in zip(cuts, cuts[1:])]
    order = pieces[:]
    if len(order) > 1 and source.random() < 0.5:
        order[0], order[1] = order[1], order[0]
        sack = struct.pack("!BBBBII", 1, 1, 5, 10, seq + 1 + order[0][0] & 0xffffffff, seq + 1 + cuts[2] & 0xffffffff)
        yield there(1 + order[0][0], 0x10, order[0][1])
        yield back(1, sack)
    for at, data in order:
        yield there(1 + at, 0x18 if source.random() < 0.5 else 0x10, data)
    half = len(payload) // 2
    yield there(1 + half, 0x18, payload[half:])
    yield back(1 + half)
    yield there(1 + len(payload), 0x11)
    yield back(2 + len(payload), flags=0x11)


# ---- Inputs ----

def program_input(packets, how, limits=0, mark=EDITS, where=2):
    out = bytes([limits])
    for packet in packets:
        packet = packet[:1500]
        out += struct.pack("!BBIBBH", how, where, mark, 5, 40, len(packet)) + packet
    return out


def program(captures):
    source = random.Random(1)
    lists = [(packets, 0) for packets in captures] + \
        [([test_packet(fields)], MENDED) for path in rule_files() for fields in tests_of(path)]
    for packets, base in lists:
        yield program_input(packets, base | ROOM)
        yield program_input(packets, base | RECORDED | TRACED, mark=0xffff)
        yield program_input(packets, MENDED | NOT_READY | GSO, mark=EDITS & ~0x43, where=source.randrange(256))
    for port, payload in texts():
        for family in (4, 6):
            packets = list(dialogue(port, payload, source, family))
            mark = {21: 0x100, 53: 0x400, 80: 0x200, 5060: 0x1800}.get(port, 0x180)
            yield program_input(packets, MENDED | ROOM, source.randrange(256), mark)
            yield program_input(packets, MENDED | NEXT | RECORDED | TRACED, source.randrange(256), mark | 0x80)
    for bit in (16, 17, 18, 19, 20, 21):
        yield program_input(captures[0] * 4, 0, mark=1 << bit)


def packet(captures):
    edit = bytes([1, 0, 40, 2, 9, 8, 7, 6, 6, 0, 1, 1, 10, 1, 2, 3, 8, 0, 0, 0, 1, 2, 0, 0])
    for packets in captures:
        for one in packets:
            yield b"\x00" + edit + b"\x00" + one
            yield b"\x01" + edit[8:] + b"\x00" + one


def stream(captures):
    source = random.Random(2)
    for _ in range(60):
        sequence = [0, 0]
        out = b""
        for _ in range(source.randrange(3, 25)):
            direction, size = source.randrange(2), source.choice((0, 0, 30, 100, 300))
            at = max(0, sequence[direction] - source.choice((0, 0, 0, 40)))
            flags = source.choice((0x10, 0x18, 0x11))
            out += struct.pack("!BBHHH", flags, direction, at, sequence[not direction], size)
            out += bytes(source.randrange(most) for most in (3, 8, 256, 8, 32, 256, 256, 8))
            sequence[direction] = max(sequence[direction], at + size)
        yield out


def nfqueue_codec(captures):
    def attribute(kind, value):
        return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
    for number, packets in enumerate(captures):
        out = b""
        for one in packets[:3]:
            shift = attribute(15, b"".join(attribute(i, struct.pack("!I", i)) for i in (1, 2, 3)))
            body = struct.pack("!BBH", 2, 0, number) + attribute(1, struct.pack("!IHBx", number, 0x800, number % 5)) + \
                attribute(3, struct.pack("!I", 5)) + attribute(5, struct.pack("!I", 2)) + attribute(10, one[:200]) + \
                attribute(13, struct.pack("!I", len(one))) + attribute(14, struct.pack("!I", number % 8)) + \
                attribute(0x8000 | 11, shift) + attribute(12, struct.pack("!I", number % 5))
            out += struct.pack("=IHHII", 16 + len(body), 0x300, 0, 0, 0) + body
        error = struct.pack("=i", -2 * (number % 2)) + struct.pack("=IHHII", 16, 0x301, 5, number, 0)
        yield out + struct.pack("=IHHII", 16 + len(error), 2, 0, number, 0) + error


def words(name):
    for path in rule_files():
        with open(path, "rb") as f:
            yield from (value for value in values(tomllib.load(f), name))


def pattern(captures):
    found = {value if isinstance(value, str) else value.get("pattern", "") for name in ("replace", "payload", "pattern")
             for value in words(name)}
    for one in sorted(found):
        text = one.encode()[:47]
        for payload in (b"INVITE x SIP/2.0\r\nUser-Agent: curl\r\n", b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n", b"12,34"):
            yield bytes([len(payload) & 1, len(text) - 1 & 255]) + text + payload


def filters(captures):
    found = [value for value in words("filter") if isinstance(value, str)] + [
        "udp port 53", "tcp[tcpflags] & tcp-syn != 0", "ip6 and not icmp6", "net 10.0.0.0/8 and greater 100",
        "ip[2:2] - ((ip[0] & 0xf) << 2) > 8", "src host fd00::2 or portrange 21-80", "ip6 protochain 17", "icmp[0] = 3"]
    for expression in found:
        text = expression.encode()[:95]
        for packets in captures[:6]:
            yield bytes([len(text) - 1]) + text + packets[0][:120]


def classifier(captures):
    source = random.Random(3)
    for _ in range(30):
        size = source.randrange(100, 600)
        yield bytes(source.choice((source.randrange(256), source.randrange(8))) for _ in range(size))


def messages(captures):
    kinds = {80: 0, 5060: 1, 53: 3}
    for port, payload in texts():
        for kind in {kinds.get(port, 4), 2 if port == 5060 else 4}:
            data = struct.pack("!H", len(payload)) + payload if port == 53 else payload
            out = bytes([kind])
            for at in range(0, len(data), 120):
                piece = data[at:at + 120]
                out += bytes([(len(piece) + 7) // 8 << 3 | (4 if at + 120 >= len(data) else 1)]) + piece
            yield out


def files(captures):
    for path in rule_files():
        with open(path, "rb") as f:
            data = f.read()
        yield b"".join(line for line in data.splitlines(True) if not line.startswith(b"#"))
        for rule in data.split(b"[[rule]]")[1:]:
            yield b"[[rule]]" + rule.split(b"[[test]]")[0]
        for test in data.split(b"[[test]]")[1:]:
            yield b"[[test]]" + test


def capture_files(captures):
    for path in sorted(glob.glob(f"{ROOT}/tests/scenarios/*/in.pcap")):
        with open(path, "rb") as f:
            yield f.read()


TARGETS = {
    "program": program, "packet": packet, "stream": stream, "nfqueue_codec": nfqueue_codec, "pattern": pattern,
    "libipq": nfqueue_codec, "filter": filters, "classifier": classifier, "messages": messages, "rules": files,
    "capture": capture_files,
    "dns_message": lambda captures: (payload for port, payload in texts() if port == 53),
    "sip_message": lambda captures: (payload for port, payload in texts() if port == 5060),
    "text_message": lambda captures: (payload for port, payload in texts() if port in (80, 5060)),
    "edit_text": lambda captures: (bytes([kind, 0, 20]) + payload for _, payload in texts() for kind in range(7)),
}


def merge(name, inputs, also):
    program_path = f"{ROOT}/build-asan/tests/fuzz/fuzz_{name}"
    if not os.path.exists(program_path):
        sys.exit(f"{program_path} is not there; tests/run --fuzz 1 builds it")
    kept = f"{CORPUS}/{name}"
    os.makedirs(kept, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        made, out = f"{scratch}/made", f"{scratch}/out"
        os.mkdir(made)
        os.mkdir(out)
        for data in inputs:
            if 0 < len(data) <= LONGEST:
                with open(f"{made}/{hashlib.sha1(data).hexdigest()}", "wb") as f:
                    f.write(data)
        done = subprocess.run([program_path, "-set_cover_merge=1", f"-max_len={LONGEST}", out, made, kept, *also],
                              capture_output=True, text=True, errors="replace")
        if done.returncode != 0:
            sys.exit(f"{program_path} -set_cover_merge=1 exits {done.returncode}:\n{done.stderr[-2000:]}")
        count = len(os.listdir(made))
        fresh = {open(f"{out}/{name}", "rb").read() for name in os.listdir(out)}
    named = set()
    for old in os.listdir(kept):
        if re.fullmatch("[0-9a-f]{16}", old):
            os.remove(f"{kept}/{old}")
        else:
            named.add(open(f"{kept}/{old}", "rb").read())
    fresh -= named
    for data in fresh:
        with open(f"{kept}/{hashlib.sha1(data).hexdigest()[:16]}", "wb") as f:
            f.write(data)
    print(f"{name:14} {count:5} made, {len(fresh):4} kept, {sum(map(len, fresh)):7} bytes", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--also", metavar="FOLDER", help="more inputs, in FOLDER/TARGET/")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; default: all")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.targets if name not in TARGETS]
    if unknown:
        sys.exit(f"make_corpus.py: found {', '.join(unknown)}, expected some of {', '.join(TARGETS)}")
    captures = [list(packets_of(path)) for path in sorted(glob.glob(f"{ROOT}/tests/scenarios/*/in.pcap"))]
    captures = [packets for packets in captures if packets]
    for name in arguments.targets or TARGETS:
        more = f"{arguments.also}/{name}" if arguments.also else ""
        merge(name, TARGETS[name](captures), [more] if os.path.isdir(more) else [])


if __name__ == "__main__":
    main()
