"""Many random rules of a few shapes, whose addresses and ports overlap at times, and packets at their edges.

  steer_many.py SEED RULES PACKETS FOLDER     all.toml, one-N.toml with a rule each, in.pcap
"""
import ipaddress
import os
import random
import sys

from scapy.all import (GRE, ICMP, IP, TCP, UDP, Ether, ICMPv6EchoRequest, IPv6, IPv6ExtHdrFragment, Raw, raw, wrpcap)

CHANCE = random.Random(int(sys.argv[1]))
# Protocols, keys and families: what steering can put together is of one shape.
SHAPES = [("udp", ("src", "dst-port"), 4), ("tcp", ("src", "dst", "dst-port"), 4), ("udp", ("src", "src-port"), 6),
          ("tcp udp", ("dst", "port"), 4), ("udp", ("src-port", "dst-port"), 0), ("udp", ("src", "dst", "ttl"), 4),
          ("icmp gre", ("src", "dst"), 4), ("", ("src", "dst"), 6), ("tcp", ("src", "dst", "src-port", "tcp-flags"), 4),
          ("tcp", ("src", "dst-port", "replace"), 4), ("tcp udp", ("src", "dst-port", "dscp"), 46)]


def prefix(family):
    if family == 6:
        length = CHANCE.choice((32, 48, 64, 128))
        host = ipaddress.IPv6Address(f"fd00:{CHANCE.randrange(9)}:{CHANCE.randrange(5):x}::{CHANCE.randrange(4)}")
    else:
        length = CHANCE.choice((10, 12, 16, 16, 24, 24, 32))
        host = ipaddress.IPv4Address(f"10.{CHANCE.randrange(120)}.{CHANCE.randrange(4)}.{CHANCE.randrange(3)}")
    return ipaddress.ip_network(f"{host}/{length}", strict=False)


def ports():
    low = CHANCE.randrange(1, 65000) if CHANCE.randrange(5) else CHANCE.choice((0, 1, 5060, 65535))
    return low, min(65535, low + CHANCE.choice((0, 0, 0, 1, 20, 3000)))


class Rule:
    def __init__(self, number, shapes):
        self.number = number
        self.protocols, self.keys, self.family = CHANCE.choice(shapes)
        self.must = CHANCE.randrange(4) == 0
        families = {46: (4, 6), 0: ()}.get(self.family, (self.family,))
        self.prefixes = {key: [prefix(f) for f in families] for key in ("src", "dst") if key in self.keys}
        self.ports = {key: [ports() for _ in range(CHANCE.choice((1, 1, 2)))]
                      for key in ("src-port", "dst-port", "port") if key in self.keys}

    def text(self):
        match = []
        if self.protocols:
            match.append(f"protocol = {self.protocols.split()}")
        match += [f"{key} = {[str(p) for p in found]}" for key, found in self.prefixes.items()]
        match += [f"{key} = {[f'{a}-{b}' for a, b in found]}" for key, found in self.ports.items()]
        if "ttl" in self.keys:
            match.append(f'ttl = "{CHANCE.choice(("0-63", "60-255"))}"')
        if "tcp-flags" in self.keys:
            match.append('tcp-flags = "syn/syn"')
        if "dscp" in self.keys:
            match.append("dscp = 8")
        step = 'replace = "a", with = "bb"' if "replace" in self.keys else "set = { ecn = 1 }"
        must = "must-change = true\n" if self.must else ""
        return f'[[rule]]\nname = "r{self.number}"\n{must}match = {{ {", ".join(match)} }}\nsteps = [ {{ {step} }} ]\n'


def address(found, family):
    fitting = [p for p in found if p.version == family]
    if not fitting or CHANCE.randrange(8) == 0:
        fitting = [prefix(family)]
    within = CHANCE.choice(fitting)
    return str(within[CHANCE.choice((0, -1, CHANCE.randrange(min(within.num_addresses, 1 << 24))))])


def port(found):
    if not found or CHANCE.randrange(8) == 0:
        return CHANCE.randrange(65536)
    low, high = CHANCE.choice(found)
    return max(0, min(65535, CHANCE.choice((low, high, low, high, (low + high) // 2, low - 1, high + 1))))


def packet(rules, number):
    rule = CHANCE.choice(rules)
    family = {4: 4, 6: 6}.get(rule.family, CHANCE.choice((4, 6)))
    ends = {key: address(rule.prefixes.get(key, []), family) for key in ("src", "dst")}
    either = rule.ports.get("port", [])
    of = {"sport": port(rule.ports.get("src-port", either)), "dport": port(rule.ports.get("dst-port", either))}
    if either and CHANCE.randrange(2):
        of[CHANCE.choice(("sport", "dport"))] = CHANCE.randrange(65536)
    if "replace" in rule.keys and CHANCE.randrange(2):
        ends, of = {"src": ends["dst"], "dst": ends["src"]}, {"sport": of["dport"], "dport": of["sport"]}
    kind = CHANCE.choice(rule.protocols.split() or ["udp", "icmp"]) if CHANCE.randrange(10) else "tcp"
    layer = {"udp": lambda: UDP(**of), "tcp": lambda: TCP(**of, flags=CHANCE.choice(("S", "A", "SA"))),
             "icmp": lambda: ICMP() if family == 4 else ICMPv6EchoRequest(), "gre": GRE}[kind]()
    hops, traffic = CHANCE.choice((40, 61, 62, 64, 65, 200)), CHANCE.choice((0, 32))
    if family == 6:
        ip = IPv6(**ends, hlim=hops, tc=traffic)
        if CHANCE.randrange(12) == 0:
            ip /= IPv6ExtHdrFragment(id=number, m=1, offset=CHANCE.choice((0, 0, 3)))
    else:
        ip = IP(**ends, ttl=hops, tos=traffic, id=number)
        if CHANCE.randrange(12) == 0:
            ip.flags, ip.frag = CHANCE.choice((("MF", 0), (0, 5)))
    return raw(ip / layer / Raw(bytes(32)))


def main():
    count, packets, folder = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    shapes = CHANCE.sample(SHAPES, 4)
    rules = [Rule(number, shapes) for number in range(1, count + 1)]
    texts = [rule.text() for rule in rules]
    with open(os.path.join(folder, "all.toml"), "w") as f:
        f.writelines(texts)
    for number, text in enumerate(texts, 1):
        with open(os.path.join(folder, f"one-{number}.toml"), "w") as f:
            f.write(text)
    built = [packet(rules, number % 65536) for number in range(packets)]
    wrpcap(os.path.join(folder, "in.pcap"),
           [Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01", type=0x86dd if p[0] >> 4 == 6 else 0x0800) / Raw(p)
            for p in built])


main()
