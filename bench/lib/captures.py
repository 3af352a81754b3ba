"""Captures: one made on the spot, and what programs do to them without a network."""
import json
import os
import resource
import shutil
import struct
import subprocess
import time

IMIX = (40, 576, 40, 40, 1500, 40, 576, 40, 576, 40, 576, 40)
RULES = """
[table.everybody]
"0.0.0.0/1" = "128.0.0.0/1"
"128.0.0.0/1" = "0.0.0.0/1"

[[rule]]
name = "both addresses"
match = { family = "ipv4" }
steps = [{ translate = "everybody", from = "network", at = 12 }, { translate = "everybody", from = "network", at = 16 }]
"""


def _sum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def _packet(size, flow):
    payload = bytes((flow + i) % 251 for i in range(size - 28))
    source, destination = bytes((10, 77, 1, 2 + flow % 200)), bytes((10, 77, 2, 2))
    udp = struct.pack("!HHHH", 20000 + flow, 1331, size - 20, 0)
    checksum = ~_sum(source + destination + struct.pack("!HH", 17, size - 20) + udp + payload) & 0xffff or 0xffff
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, size, flow, 0, 64, 17, 0, source, destination)
    ip = ip[:10] + struct.pack("!H", ~_sum(ip) & 0xffff) + ip[12:]
    ethernet = bytes.fromhex("02fe0000010102fe000001020800")
    return ethernet + ip + udp[:6] + struct.pack("!H", checksum) + payload


def make_imix(path, packets, flows=1024):
    """A pcap file of IMIX, a microsecond from packet to packet."""
    ready = [_packet(size, flow) for flow in range(flows) for size in IMIX]
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for begin in range(0, packets, 50000):
            out.write(b"".join(
                struct.pack("<IIII", 1_600_000_000 + n // 1_000_000, n % 1_000_000, len(p), len(p)) + p
                for n in range(begin, min(begin + 50000, packets)) for p in (ready[n % len(ready)],)))


def programs(fettle, rules):
    """Name, and the command line from one file to another; those that are installed."""
    found = [("fettle replay", [fettle, "replay", "--quiet", "--rules", rules, "{in}", "{out}"]),
             ("cp", ["cp", "{in}", "{out}"]),
             ("tcprewrite", ["tcprewrite", "--pnat=0.0.0.0/1:128.0.0.0/1,128.0.0.0/1:0.0.0.0/1", "--fixcsum",
                             "--infile={in}", "--outfile={out}"]),
             ("editcap, a copy", ["editcap", "-F", "pcap", "{in}", "{out}"])]
    return [(name, command) for name, command in found if shutil.which(command[0])]


def count(fettle, rules, path):
    """Packets of a capture, or nothing where it cannot be read to its end."""
    done = subprocess.run((fettle, "replay", "--json", "--quiet", "--rules", rules, path, "/dev/null"),
                          capture_output=True, text=True)
    return json.loads(done.stdout)["packets"] if done.returncode == 0 else None


def timed(command, source, folder, cpu):
    """Wall and CPU seconds, or nothing where the program failed."""
    out = os.path.join(folder, "out")
    words = [w.replace("{in}", source).replace("{out}", out) for w in command]
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(("taskset", "-c", str(cpu), *words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    if os.path.exists(out):
        os.unlink(out)
    if done.returncode:
        return None
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
