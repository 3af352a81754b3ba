#!/usr/bin/python3
"""Judges fettle replay by outsiders over recorded captures: tshark counts checksums, tcprewrite rewrites
the same addresses, cmp compares bytes.

  differential_test.py FETTLE [CAPTURES]

CAPTURES: a folder of pcap and pcapng files (default: $FETTLE_PCAPS). Exits 77 where there is none.
"""
import collections
import glob
import json
import os
import struct
import subprocess
import sys
import tempfile

SKIPPED = 77
SOURCE, DESTINATION = "203.0.113.7", "198.51.100.9"

REWRITE = """
[[rule]]
name = "IPv4"
match = { family = "ipv4" }
steps = [{ set = { src = "%s", dst = "%s", ttl = 61 } }]

[[rule]]
name = "IPv6"
match = { family = "ipv6" }
steps = [{ set = { src = "2001:db8:1::7", dst = "2001:db8:2::9", hop-limit = 61 } }]

[[rule]]
name = "ports"
match = { protocol = ["tcp", "udp", "udplite", "sctp"] }
steps = [{ set = { src-port = 40961, dst-port = 40963 } }]
""" % (SOURCE, DESTINATION)

ADDRESSES = """
[[rule]]
match = { family = "ipv4" }
steps = [{ set = { src = "%s", dst = "%s" } }]
""" % (SOURCE, DESTINATION)

# Rules that run and cannot change a byte: what they would write is not there, or is there already.
WITHOUT_EFFECT = """
[table.nobody]
"192.0.2.254" = "192.0.2.253"

[[rule]]
match = {}
steps = [{ translate = "nobody", at = 0 }, { write = "00", at = 65535 }]
"""

FIELDS = ["ip.checksum.status", "tcp.checksum.status", "udp.checksum.status", "icmp.checksum.status",
          "icmpv6.checksum.status", "sctp.checksum.status"]
# Tunnels that tshark knows by their port: another port hides the packet inside.
TUNNELS = ["vxlan", "teredo", "gtp", "ayiya", "geneve", "lisp-data", "l2tp", "capwap.data", "udpencap", "openvpn",
           "wg", "vxlan-gpe", "gue", "mpls", "cflow", "ipsec", "zep", "hcrt", "tzsp", "erspan3", "nvgre", "bat", "batadv"]


def run(*words, **more):
    return subprocess.run(words, capture_output=True, **more)


def known_tunnels():
    listed = {line.split("\t")[2] for line in run("tshark", "-G", "protocols", text=True).stdout.splitlines()}
    return [word for name in TUNNELS if name in listed for word in ("--disable-protocol", name)]


def statuses(path, tunnels):
    """For each packet, each field's values as tshark gives them: 0 bad, 1 good, 2 unverified, 3 not present."""
    options = ["ip.check_checksum:TRUE", "tcp.check_checksum:TRUE", "udp.check_checksum:TRUE",
               "sctp.checksum:CRC-32C", "ip.defragment:FALSE", "ipv6.defragment:FALSE",
               "tcp.desegment_tcp_streams:FALSE"]
    command = ["tshark", "-n", "-r", path, "-T", "fields", *tunnels]
    for option in options:
        command += ["-o", option]
    for field in FIELDS:
        command += ["-e", field]
    out = run(*command, text=True).stdout
    return [line.split("\t") for line in out.splitlines()]


def ip_lengths(path):
    out = run("tshark", "-n", "-r", path, "-T", "fields", "-E", "occurrence=f", "-e", "ip.len", text=True).stdout
    return out.splitlines()


def bad(rows):
    count = collections.Counter()
    for row in rows:
        for field, values in zip(FIELDS, row):
            count[field] += values.split(",").count("0")
    return count


def is_good(row):
    return all(value in ("", "1") for values in row for value in values.split(","))


class Judge:
    def __init__(self, fettle, folder):
        self.fettle, self.folder, self.tunnels = fettle, folder, known_tunnels()
        self.failures, self.compared, self.excused, self.left, self.refused = [], 0, 0, 0, []
        self.packets = self.changed = 0
        self.bad_before = collections.Counter()
        for name, text in (("rewrite", REWRITE), ("addresses", ADDRESSES), ("none", WITHOUT_EFFECT), ("empty", "")):
            with open(f"{folder}/{name}.toml", "w") as f:
                f.write(text)

    def expect(self, holds, message):
        if not holds:
            self.failures.append(message)
            print(f"FAIL {message}", flush=True)

    def replay(self, rules, capture):
        out = f"{self.folder}/out"
        done = run(self.fettle, "replay", "--quiet", "--json", "--rules", f"{self.folder}/{rules}.toml", capture, out)
        # 65: the capture itself is damaged; what could be read has been, the rest is passed on.
        self.expect(done.returncode in (0, 65), f"{capture}: replay exits {done.returncode}: {done.stderr.decode()}")
        return out, json.loads(done.stdout) if done.stdout else {}

    def identity(self, capture):
        for rules in ("empty", "none"):
            out, _ = self.replay(rules, capture)
            same = run("cmp", capture, out).returncode == 0
            self.expect(same, f"{capture}: a replay with {rules} rules is not the same bytes")

    def checksums(self, capture):
        before = statuses(capture, self.tunnels)
        out, summary = self.replay("rewrite", capture)
        after = statuses(out, self.tunnels)
        self.expect(len(before) == len(after), f"{capture}: {len(before)} packets became {len(after)}")
        counts = bad(before), bad(after)
        self.expect(counts[0] == counts[1], f"{capture}: bad checksums {dict(counts[0])} became {dict(counts[1])}")
        self.bad_before += counts[0]
        self.packets += summary.get("packets", 0)
        self.changed += summary.get("changed", 0)

    def tcprewrite(self, capture):
        with open(capture, "rb") as f:
            magic, link = f.read(4), struct.unpack("<I", f.read(20)[16:20])[0]
        if magic != b"\xd4\xc3\xb2\xa1" or link not in (1, 12, 101):
            return
        theirs = f"{self.folder}/theirs"
        done = run("tcprewrite", f"--srcipmap=0.0.0.0/0:{SOURCE}/32", f"--dstipmap=0.0.0.0/0:{DESTINATION}/32",
                   f"--infile={capture}", f"--outfile={theirs}")
        if done.returncode != 0:
            self.refused.append(os.path.basename(capture))
            return
        ours, _ = self.replay("addresses", capture)
        verdicts, theirs_judged = statuses(capture, []), statuses(theirs, [])
        lengths = [ip_lengths(path) for path in (capture, theirs)]
        packets = [list(frames(path)) for path in (capture, ours, theirs)]
        for number, (given, mine, other) in enumerate(zip(*packets)):
            if given == mine:  # no IPv4 packet: tcprewrite also rewrites ARP
                continue
            # Some fragments and PPPoE sessions it passes as they are; where a frame is padded or cut it
            # makes the IP length that of the frame.
            if given == other or lengths[0][number] != lengths[1][number]:
                self.left += 1
                continue
            # tcprewrite computes checksums anew; fettle keeps what was not good as it was.
            # Now and then tcprewrite makes a good UDP checksum 0.
            if is_good(verdicts[number]) and is_good(theirs_judged[number]):
                self.compared += 1
                self.expect(mine == other, f"{capture}: packet {number + 1} differs from tcprewrite's")
            else:
                self.excused += 1


def frames(path):
    with open(path, "rb") as f:
        data = f.read()
    at = 24
    while at + 16 <= len(data):
        size = struct.unpack_from("<I", data, at + 8)[0]
        yield data[at + 16:at + 16 + size]
        at += 16 + size


def main():
    fettle = os.path.abspath(sys.argv[1])
    folder = sys.argv[2] if len(sys.argv) > 2 else os.environ.get("FETTLE_PCAPS", "")
    captures = sorted(p for p in glob.glob(f"{folder}/**/*.pcap*", recursive=True) if folder)
    if not captures:
        print(f"skipped: no captures in \"{folder}\" (FETTLE_PCAPS)")
        return SKIPPED
    for tool in ("tshark", "tcprewrite"):
        if run("which", tool).returncode != 0:
            print(f"skipped: {tool} is not installed")
            return SKIPPED
    with tempfile.TemporaryDirectory() as scratch:
        judge = Judge(fettle, scratch)
        for capture in captures:
            judge.identity(capture)
            judge.checksums(capture)
            judge.tcprewrite(capture)
    print(f"{len(captures)} captures, {judge.packets} packets, {judge.changed} changed; bad checksums before and after: "
          f"{dict(judge.bad_before)}")
    print(f"against tcprewrite: {judge.compared} packets compared; {judge.excused} whose checksums were not good before and "
          f"{judge.left} that it does not rewrite, or changes in length, left out; files it refuses: {judge.refused or 'none'}")
    judge.expect(judge.changed > 0 and judge.compared > 0, "nothing was changed or compared")
    return 1 if judge.failures else 0


if __name__ == "__main__":
    sys.exit(main())
