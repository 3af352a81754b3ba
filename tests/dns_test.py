#!/usr/bin/python3
"""DNS messages before and after the step `dns`, as tshark reads them: each address and each reverse name that the
table has is another, and everything else says what it said.

  dns_test.py FETTLE [FOLDER OF CAPTURES] [SEED]

Over messages made here, with every kind of compression, and over recorded ones where there are some.
"""
import ipaddress
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

RECORDED = ["29-dns-vlan-caa.pcap", "30-dns-packets.pcap", "03-mix-many-protocols.pcap"]
NAMES = ["dns.qry.name", "dns.resp.name", "dns.cname", "dns.ptr.domain_name", "dns.ns", "dns.mx.mail_exchange",
         "dns.soa.mname", "dns.soa.rname", "dns.srv.target", "dns.naptr.replacement", "dns.svcb.targetname"]
ADDRESSES = ["dns.a", "dns.aaaa", "dns.svcb.svcparam.ipv4hint.ip", "dns.svcb.svcparam.ipv6hint.ip"]
OTHERS = ["dns.id", "dns.flags", "dns.count.queries", "dns.count.answers", "dns.count.auth_rr", "dns.count.add_rr",
          "dns.qry.type", "dns.resp.type", "dns.resp.ttl", "dns.soa.serial_number", "dns.txt", "udp.checksum.status",
          "ip.checksum.status", "_ws.malformed", "dns.rr.udp_payload_size"]


def read(path):
    command = ["tshark", "-n", "-r", path, "-Y", "udp.port == 53 || udp.port == 5353", "-T", "fields", "-E",
               "separator=/t", "-E", "aggregator=\x01", "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    for field in NAMES + ADDRESSES + OTHERS:
        command += ["-e", field]
    out = subprocess.run(command, capture_output=True, check=True).stdout.decode("utf-8", "replace").splitlines()
    return [[cell.split("\x01") if cell else [] for cell in line.split("\t")] for line in out]


def reverse_name(address):
    return address.reverse_pointer


def address_of(name):
    """The address that a name under the reverse tree stands for, or None."""
    labels = name.lower().split(".")
    try:
        if labels[-2:] == ["in-addr", "arpa"] and len(labels) == 6:
            return ipaddress.IPv4Address(".".join(labels[3::-1]))
        if labels[-2:] == ["ip6", "arpa"] and len(labels) == 34 and all(len(label) == 1 for label in labels[:32]):
            return ipaddress.IPv6Address(int("".join(labels[31::-1]), 16))
    except ValueError:
        pass
    return None


def mapped(row, table):
    out = []
    for i, cell in enumerate(row):
        if i < len(NAMES):
            new = []
            for name in cell:
                address = address_of(name)
                if address in table:
                    suffix = ".".join(name.split(".")[-2:])
                    name = ".".join(reverse_name(table[address]).split(".")[:-2] + [suffix])
                new.append(name)
            cell = new
        elif i < len(NAMES) + len(ADDRESSES):
            # tshark writes the hints of a parameter with commas between.
            cell = [",".join(str(table.get(a, a)) for a in map(ipaddress.ip_address, part.split(","))) for part in cell]
        out.append(cell)
    return out


def make_table(rows, dice):
    found = set()
    for row in rows:
        for name in sum(row[:len(NAMES)], []):
            found.add(address_of(name))
        for part in sum(row[len(NAMES):len(NAMES) + len(ADDRESSES)], []):
            found.update(map(ipaddress.ip_address, part.split(",")))
    found.discard(None)
    table = {}
    for address in sorted(found, key=lambda a: (a.version, int(a))):
        if dice.random() < 0.7:
            table[address] = (ipaddress.IPv4Address(dice.choice([dice.getrandbits(32), 0x01020304, 0xc8c8c8c8]))
                              if address.version == 4 else ipaddress.IPv6Address(dice.getrandbits(128)))
    return table


def judge(fettle, capture, scratch, dice, least):
    rows = read(capture)
    table = make_table(rows, dice)
    rules, out = os.path.join(scratch, "rules.toml"), os.path.join(scratch, "out.pcap")
    with open(rules, "w") as f:
        f.write("[table.t]\n" + "".join(f'"{a}" = "{b}"\n' for a, b in table.items()))
        f.write('[[rule]]\nmatch = { protocol = "udp", port = [53, 5353] }\nsteps = [{ dns = "t" }]\n')
    done = subprocess.run([fettle, "replay", "--json", "--quiet", "--rules", rules, capture, out],
                          capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"fettle replay exits {done.returncode}: {done.stderr}")
    summary = json.loads(done.stdout)
    hits, misses = summary["rules"][0]["hits"], summary["rules"][0]["misses"]
    after = read(out)
    if len(after) != len(rows):
        sys.exit(f"{capture}: {len(rows)} messages went in, {len(after)} came out")
    changed = kept = wrong = 0
    malformed = len(NAMES + ADDRESSES) + OTHERS.index("_ws.malformed")
    for number, (row, now) in enumerate(zip(rows, after)):
        wanted = mapped(row, table)
        changed += row != wanted and now == wanted
        if now == wanted:
            continue
        if now == row:
            kept += not row[malformed]
            continue
        wrong += 1
        if wrong <= 3:
            print(f"message {number}:\n  came     {row}\n  expected {wanted}\n  found    {now}")
    print(f"{os.path.basename(capture)}: {len(rows)} messages, {changed} changed as expected, {kept} kept though "
          f"the table has something in them; {hits} hits, {misses} misses")
    # What is longer than 512 bytes and has no EDNS, or what fettle reads more strictly than tshark.
    if wrong or changed < least or kept > len(rows) // 100 or kept > misses:
        sys.exit(f"{capture}: {wrong} messages are not as expected")


# ---- Messages made here ---------------------------------------------------------------------------

class Maker:
    def __init__(self, dice):
        self.dice, self.bytes, self.known = dice, b"", {}

    def name(self, text, compress):
        labels = text.split(".") if text else []
        out = b""
        while labels:
            rest = ".".join(labels)
            if compress and rest in self.known and self.dice.random() < 0.9:
                return out + struct.pack(">H", 0xc000 | self.known[rest])
            at = self.base + len(out)
            if at < 0x4000:
                self.known.setdefault(rest, at)
            out += bytes([len(labels[0])]) + labels[0].encode()
            labels.pop(0)
        return out + b"\0"

    def put(self, text, compress=True):
        self.base = len(self.bytes)
        self.bytes += self.name(text, compress)

    def some_name(self):
        dice = self.dice
        four = ".".join(str(dice.choice([1, 9, 10, 51, 100, 198, 255])) for _ in range(4))
        six = ".".join(dice.choice("01ab8") for _ in range(32))
        zone = four.split(".", dice.randint(1, 3))[-1]
        return dice.choice([f"{four}.in-addr.arpa"] * 4 + [f"{six}.ip6.arpa", f"{zone}.in-addr.arpa", "www.example.com",
                           "example.com", "in-addr.arpa", f"1.0-25.{zone}.in-addr.arpa", "a.b.c.d.example.com", "X.CoM"])

    def record(self):
        dice = self.dice
        self.put(self.some_name())
        kind = dice.choice([1, 28, 12, 12, 5, 2, 15, 6, 33, 16, 35, 65])
        self.bytes += struct.pack(">HHIH", kind, 1, dice.randint(0, 9999), 0)
        begin = len(self.bytes)
        if kind == 1:
            self.bytes += bytes(dice.choice([1, 9, 10, 51, 100, 198]) for _ in range(4))
        elif kind == 28:
            self.bytes += bytes(dice.choice([0, 1, 0xab]) for _ in range(16))
        elif kind == 16:
            self.bytes += b"\4text"
        else:
            before = {15: b"\0\5", 33: b"\0\1\0\2\0\3", 35: b"\0\1\0\2\1s\0\0", 65: b"\0\1"}.get(kind, b"")
            self.bytes += before
            self.put(self.some_name(), kind not in (35, 65) and (kind != 33 or dice.random() < 0.5))
            if kind == 6:
                self.put(self.some_name())
                self.bytes += struct.pack(">IIIII", *(dice.getrandbits(31) for _ in range(5)))
            if kind == 65:
                self.bytes += struct.pack(">HH", 4, 8) + bytes(dice.choice([1, 10, 198]) for _ in range(8))
        self.bytes = self.bytes[:begin - 2] + struct.pack(">H", len(self.bytes) - begin) + self.bytes[begin:]

    def message(self):
        dice = self.dice
        counts = [1, dice.randint(0, 5), dice.randint(0, 2), dice.randint(0, 2)]
        self.bytes = struct.pack(">HHHHHH", dice.getrandbits(16), 0x8180, *counts[:3], counts[3] + 1)
        self.put(self.some_name())
        self.bytes += struct.pack(">HH", 12, 1)
        for _ in range(sum(counts[1:])):
            self.record()
        self.bytes += b"\0" + struct.pack(">HHIH", 41, 1232, 0, 0)
        return self.bytes


def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def packet_of(message):
    addresses = b"\x0a\0\0\1\x0a\0\0\2"
    udp = struct.pack(">HHHH", 53, 4000, 8 + len(message), 0) + message
    sum_of_udp = checksum(addresses + struct.pack(">HH", 17, len(udp)) + udp) or 0xffff
    udp = udp[:6] + struct.pack(">H", sum_of_udp) + udp[8:]
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + addresses
    return header[:10] + struct.pack(">H", checksum(header)) + header[12:] + udp


def main():
    folder = sys.argv[2] if len(sys.argv) > 2 else ""
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        made = os.path.join(scratch, "made.pcap")
        with open(made, "wb") as f:
            f.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101))
            for _ in range(1000):
                packet = packet_of(Maker(dice).message())
                f.write(struct.pack("<IIII", 0, 0, len(packet), len(packet)) + packet)
        judge(sys.argv[1], made, scratch, dice, 500)
        for name in RECORDED:
            if os.path.exists(os.path.join(folder, name)):
                judge(sys.argv[1], os.path.join(folder, name), scratch, dice, 1)


if __name__ == "__main__":
    main()
