"""The packets of a rule file's own [[test]]s, and as many that have nothing to do with it, as Ethernet frames in a
capture; and what came of them.

  recipe_packets.py write RULES OUT.pcap                  packets, to 02:00:00:00:00:01
  recipe_packets.py same ONE.pcap OTHER.pcap              whether both hold the same packets, in whatever order, with
                                                          those of ONE.pcap.client and OTHER.pcap.client
"""
import collections
import random
import sys
import tomllib

from scapy.all import ICMP, IP, TCP, UDP, Ether, IPv6, Raw, raw, rdpcap, wrpcap

FLAGS = {"fin": "F", "syn": "S", "rst": "R", "psh": "P", "ack": "A", "urg": "U"}


def dscp_of(test):
    """A class's name, or a number."""
    found = str(test.get("dscp", 0))
    if found.startswith("cs"):
        return 8 * int(found[2:])
    if found.startswith("af"):
        return 8 * int(found[2]) + 2 * int(found[3])
    return 46 if found == "ef" else int(found)


def payload_of(test):
    if "payload-text" in test:
        return test["payload-text"].encode()
    return bytes.fromhex(test.get("payload", ""))


def packet_of(test, number):
    """None: one that only says bytes."""
    if "src" not in test or "dst" not in test:
        return None
    ends = {"src": test["src"], "dst": test["dst"]}
    hops, traffic_class = test.get("ttl", 64), dscp_of(test) << 2
    ip = IPv6(**ends, hlim=hops, tc=traffic_class) if ":" in test["src"] else IP(**ends, ttl=hops, tos=traffic_class,
                                                                                 id=number)
    ports = {"sport": test.get("src-port", 1024 + number), "dport": test.get("dst-port", 2048 + number)}
    protocol = test.get("protocol", "udp")
    if protocol == "tcp":
        flags = "".join(FLAGS[f] for f in test.get("tcp-flags", "psh,ack").split(","))
        options = [("MSS", test["mss"])] if "mss" in test else []
        return ip / TCP(**ports, flags=flags, seq=1000, ack=2000, options=options) / Raw(payload_of(test))
    if protocol == "udp":
        return ip / UDP(**ports) / Raw(payload_of(test))
    if protocol == "icmp":
        kind, _, code = str(test.get("icmp-type", "8")).partition("/")
        return ip / ICMP(type=int(kind), code=int(code or 0)) / Raw(payload_of(test))
    return None


def strangers(count):
    chance = random.Random(1)
    for number in range(count):
        port = chance.choice((22, 80, 443, 8443, 5353, 60000 + number % 100))
        four, six = f"172.16.{chance.randrange(200)}.{chance.randrange(1, 250)}", f"2001:db8:ffff::{number + 1:x}"
        ip = chance.choice((IP(src=four, dst="192.0.2.77", id=number), IPv6(src=six, dst="2001:db8:fffe::77")))
        layer = chance.choice((UDP(sport=40000 + number % 1000, dport=port),
                               TCP(sport=40000 + number % 1000, dport=port, flags="PA", seq=7, ack=9)))
        yield ip / layer / Raw(b"nothing that a rule would look for, number %d" % number)


def write(rules, out):
    with open(rules, "rb") as f:
        tests = tomllib.load(f).get("test", [])
    packets = [p for number, test in enumerate(tests) if (p := packet_of(test.get("packet", {}), number))]
    if not packets:
        sys.exit(f"{rules}: found no test with a packet that can be built, expected one")
    mixed = packets + list(strangers(40))
    wrpcap(out, [Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01") / p for p in mixed])
    print(f"mine={len(packets)} all={len(mixed)}")


def ip_of(frame):
    if TCP in frame and frame[TCP].chksum == 0xffff:  # the other zero, which nft writes
        frame[TCP].chksum = 0
    layer = frame[IPv6] if IPv6 in frame else frame[IP]
    return raw(layer)[:layer.plen + 40 if IPv6 in frame else layer.len]


def is_reply(frame):
    """What the client's or the router's own stack says to a packet: it numbers them."""
    if IPv6 in frame:
        return frame[IPv6].nh == 58 or frame[IPv6].src.startswith("fe80:")
    return IP not in frame or (ICMP in frame and frame[IP].src.startswith("10.1.0.")) or (
        TCP in frame and "R" in str(frame[TCP].flags))


def same(one, other):
    counts = [collections.Counter(ip_of(f) for side in ("", ".client") for f in rdpcap(name + side) if not is_reply(f))
              for name in (one, other)]
    missing, more = counts[0] - counts[1], counts[1] - counts[0]
    print(f"packets={sum(counts[0].values())} missing={sum(missing.values())} more={sum(more.values())}")
    for packet in list(missing)[:3] + list(more)[:3]:
        print(packet.hex(), file=sys.stderr)


if __name__ == "__main__":
    {"write": write, "same": same}[sys.argv[1]](*sys.argv[2:])
