#!/usr/bin/python3
"""Makes the scenarios' captures anew with scapy: what goes in, and what must come out, each written down here
by hand and judged by tshark. fettle has no part in it.

  make.py [FOLDER]     (default: the folder of this file)
"""
import json
import os
import subprocess
import sys

from scapy.all import (DNS, DNSQR, DNSRR, DNSRROPT, ICMP, IP, TCP, UDP, CookedLinux, Dot1AD, Dot1Q, Ether, IPerror,
                       IPv6, IPOption_LSRR, IPOption_NOP, IPOption_Router_Alert, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop,
                       Padding, PPP, PPPoE, Raw, fragment, wrpcap)

ETH = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")


def built(packet):
    """With lengths and checksums as bytes, so that later edits here are the only ones."""
    return packet.__class__(bytes(packet))


def keep_alive(inner, src="10.20.0.11", dst="203.0.113.9", **udp):
    payload = b"KA\x01\x00" + bytes(map(int, inner.split("."))) + bytes([203, 0, 113, 9]) + b"odd"
    return ETH / IP(src=src, dst=dst, ttl=63, id=7) / UDP(sport=1331, dport=1331, **udp) / Raw(payload)


def spoilt(packet, layer, change):
    """The packet with its checksum off by a constant: an edit must keep it off by as much."""
    packet = built(packet)
    packet[layer].chksum = (packet[layer].chksum + change) % 0xffff
    return packet


KEEP_ALIVE = """[table.print-servers]
"10.20.0.11"   = "203.0.113.11"
"10.20.4.0/24" = "203.0.114.0/24"

[[rule]]
name  = "keep-alive"
match = { protocol = "udp", dst-port = 1331 }
steps = [{ translate = "print-servers", at = 4 }]
"""


def scenarios():
    yield "keep-alive-is-translated", KEEP_ALIVE, [
        (keep_alive("10.20.0.11"), keep_alive("203.0.113.11")),
        (keep_alive("10.20.4.77"), keep_alive("203.0.114.77")),
        (keep_alive("10.20.5.1"), keep_alive("10.20.5.1"))], {"changed": 2, "rules": [[3, 1]]}

    yield "answer-is-translated-in-reverse", """[table.print-servers]
"10.20.0.11" = "203.0.113.11"

[[rule]]
name  = "answer"
match = { protocol = "udp", src-port = 1331 }
steps = [{ translate = "print-servers", at = 4, reverse = true }]
""", [(keep_alive("203.0.113.11"), keep_alive("10.20.0.11")), (keep_alive("10.20.0.11"), keep_alive("10.20.0.11"))], {
        "changed": 1, "rules": [[2, 1]]}

    yield "absent-udp-checksum-stays-absent", KEEP_ALIVE, [
        (keep_alive("10.20.0.11", chksum=0), keep_alive("203.0.113.11", chksum=0))], {"changed": 1, "rules": [[1, 0]]}

    yield "bad-checksum-stays-bad", KEEP_ALIVE, [
        (spoilt(keep_alive("10.20.0.11"), UDP, 5), spoilt(keep_alive("203.0.113.11"), UDP, 5))], {
        "changed": 1, "rules": [[1, 0]]}

    yield "tagged-and-tunnelled-frames", KEEP_ALIVE, [
        tuple(link / keep_alive(inner)[IP] for inner in ("10.20.0.11", "203.0.113.11")) for link in (
            ETH / Dot1Q(vlan=5), ETH / Dot1AD(vlan=6) / Dot1Q(vlan=5),
            ETH / Dot1Q(vlan=7) / PPPoE(sessionid=1) / PPP(proto=0x21))], {"changed": 3, "rules": [[3, 0]]}

    yield "cooked-capture", KEEP_ALIVE, [
        tuple(CookedLinux(proto=0x800) / keep_alive(inner)[IP] for inner in ("10.20.0.11", "203.0.113.11"))], {
        "changed": 1, "rules": [[1, 0]]}

    yield "ethernet-padding-is-no-payload", """[[rule]]
match = {}
steps = [{ write = "ffff", at = 4 }]
""", [(ETH / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2) / Raw(b"abcd") / Padding(bytes(14))
       for _ in range(2))], {"changed": 0, "rules": [[1, 1]]}

    six = IPv6(src="2001:db8::1", dst="2001:db8::2", hlim=9)
    chain = IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt()
    yield "ipv6-behind-extension-headers", """[[rule]]
name  = "web"
match = { family = "ipv6", protocol = "tcp", dst-port = 80 }
steps = [{ set = { hop-limit = 64, dst = "2001:db8::99", dst-port = 8080, dscp = "af11" } }]
""", [(ETH / six / chain / TCP(sport=5, dport=80, flags="S"),
       ETH / IPv6(src="2001:db8::1", dst="2001:db8::99", hlim=64, tc=0x28) / chain / TCP(sport=5, dport=8080, flags="S")),
      (ETH / six / chain / UDP(sport=5, dport=80), ETH / six / chain / UDP(sport=5, dport=80))], {
        "changed": 1, "rules": [[1, 0]]}

    def fragments(src):
        whole = IP(src=src, dst="10.0.0.9", id=77, ttl=5) / UDP(sport=1331, dport=1331, chksum=0) / Raw(bytes(100))
        return [ETH / part for part in fragment(whole, 56)]
    yield "fragments-take-addresses-but-no-ports", """[[rule]]
name  = "port"
match = { dst-port = 1331 }
steps = []

[[rule]]
name  = "source"
match = { src = "10.0.0.1" }
steps = [{ set = { src = "192.0.2.1" } }]
""", list(zip(fragments("10.0.0.1"), fragments("192.0.2.1"))), {"changed": 2, "rules": [[1, 0], [2, 0]]}

    def ping(mark):
        return ETH / IP(src="10.0.0.1", dst="10.0.0.2") / ICMP(id=mark) / Raw(b"x" * 9)
    yield "drop-leaves-out", """[[rule]]
name  = "keep two"
match = { icmp-type = "echo-request", not = { bytes = { at = 4, hex = "0003", from = "transport" } } }
steps = ["accept"]

[[rule]]
name  = "the rest"
match = { protocol = "icmp" }
steps = ["drop"]
""", [(ping(1), ping(1)), (ping(3), None), (ping(2), ping(2))], {"changed": 0, "dropped": 1, "rules": [[2, 0], [1, 0]]}

    def syn(mss, flags="S"):
        options = [("MSS", mss), ("NOP", None), ("WScale", 7)] if mss else [("NOP", None)] * 4
        return ETH / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1, dport=2, flags=flags, options=options)
    yield "mss-is-clamped", """[[rule]]
name  = "clamp"
match = { tcp-flags = "syn/syn,rst" }
steps = [{ clamp-mss = 1360 }]
""", [(syn(1460), syn(1360)), (syn(1460, "SA"), syn(1360, "SA")), (syn(1200), syn(1200)), (syn(0), syn(0)),
      (syn(1460, "A"), syn(1460, "A"))], {"changed": 2, "rules": [[4, 1]]}

    def stamped(kind, flags="S"):
        stamps = [("NOP", None), ("NOP", None), ("Timestamp", (7, 0))] if kind else [("NOP", None)] * 12
        return ETH / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1, dport=2, flags=flags,
                                                              options=[("MSS", 1460)] + stamps)

    def optioned(options, **udp):
        return ETH / IP(src="10.0.0.1", dst="10.0.0.2", id=5, options=options) / UDP(sport=1, dport=2, **udp) / Raw(b"odd")
    route = optioned(IPOption_LSRR(routers=["10.3.0.1", "10.4.0.1"], pointer=4))
    yield "options-are-stripped", """[[rule]]
name  = "no timestamps are offered"
match = { tcp-flags = "syn" }
steps = [{ strip = "tcp-timestamps" }]

[[rule]]
name  = "no options"
match = { protocol = "udp" }
steps = [{ strip = "ip-options" }]
""", [(stamped(True), stamped(False)), (stamped(True, "SA"), stamped(False, "SA")), (stamped(True, "A"), stamped(True, "A")),
      (stamped(False), stamped(False)),
      (optioned(IPOption_Router_Alert()), optioned([IPOption_NOP()] * 4)), (route, optioned([IPOption_NOP()] * 12)),
      (optioned([]), optioned([]))], {"changed": 4, "rules": [[3, 1], [3, 1]]}

    def answer(address, name, back=True):
        ports = {"sport": 53, "dport": 4000} if back else {"sport": 4000, "dport": 53}
        records = DNSRR(rrname="www.lab.example", rdata=address) / DNSRR(
            rrname=name, type="PTR", rdata="www.lab.example") if back else None
        return ETH / IP(src="10.0.0.1", dst="10.0.0.2", id=3) / UDP(**ports) / DNS(
            id=7, qr=back, qd=DNSQR(qname=name, qtype="PTR"), an=records, ar=DNSRROPT(rclass=1232))
    other = ETH / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=53, dport=9) / Raw(b"no message")
    outside, inside = "1.100.51.198.in-addr.arpa", "3.0.1.10.in-addr.arpa"
    yield "dns-names-and-addresses-are-translated", """[table.published]
"10.1.0.3" = "198.51.100.1"

[[rule]]
name  = "answer"
match = { protocol = "udp", src-port = 53 }
steps = [{ dns = "published", reverse = true }]

[[rule]]
name  = "question"
match = { protocol = "udp", dst-port = 53 }
steps = [{ dns = "published" }]
""", [(answer("198.51.100.1", outside), answer("10.1.0.3", inside)),
      (answer("198.51.100.2", "9.100.51.198.in-addr.arpa"), answer("198.51.100.2", "9.100.51.198.in-addr.arpa")),
      (answer("", inside, False), answer("", outside, False)),
      (other, other)], {"changed": 2, "rules": [[3, 1], [1, 0]]}

    def error(inner, port):
        quoted = IPerror(bytes(IP(src=inner, dst="203.0.113.9", ttl=3) / UDP(sport=port, dport=53) / Raw(b"question")))
        return ETH / IP(src="203.0.113.9", dst="10.9.1.2") / ICMP(type=3, code=3) / quoted
    yield "icmp-error-is-mended-inside", """[table.outside]
"198.51.100.10" = "10.9.1.2"

[[rule]]
name  = "error"
match = { icmp-type = "destination-unreachable" }
steps = [{ translate = "outside", at = 12, from = "quoted-network" }, { write = "1389", at = 0, from = "quoted-transport" }]
""", [(error("198.51.100.10", 5000), error("10.9.1.2", 5001))], {"changed": 1, "rules": [[1, 0]]}

    def window(size, ecn=0, src="10.0.0.1"):
        return ETH / IP(src=src, dst="10.0.0.2", tos=ecn) / TCP(sport=1, dport=2, flags="A", window=size) / Raw(b"abc")
    yield "fields-and-bytes", """[[rule]]
name  = "all at once"
match = { protocol = "tcp", length = "40-60", src = "10.0.0.0/8" }
steps = [{ set = { window = 1000, ecn = "ce", src = "172.16.0.1" } }, { write = "44", at = 1 }]

[[rule]]
name  = "now from elsewhere"
match = { src = "172.16.0.0/12", dscp = 0 }
steps = []
""", [(window(5), built(ETH / IP(src="172.16.0.1", dst="10.0.0.2", tos=3) / TCP(sport=1, dport=2, flags="A", window=1000) /
                        Raw(b"aDc")))], {"changed": 1, "rules": [[1, 0], [1, 0]]}

    def said(text, link=ETH, dst="10.0.0.2", **udp):
        return link / IP(src="10.0.0.1", dst=dst, id=9) / UDP(sport=7777, dport=7777, **udp) / Raw(text)
    tunnel = ETH / Dot1Q(vlan=7) / PPPoE(sessionid=1) / PPP(proto=0x21)
    six = IPv6(src="2001:db8::1", dst="2001:db8::2")
    stream = ETH / IP(src="10.0.0.1", dst="10.0.0.2") / TCP(sport=1, dport=7777) / Raw(b"name=a")
    piece = fragment(IP(src="10.0.0.1", dst="10.0.0.2", id=7) / UDP(sport=7777, dport=7777) / Raw(bytes(100)), 56)
    yield "datagrams-become-longer", """[[rule]]
name  = "insert"
match = { port = 7777 }
steps = [{ insert = "long-", at = 5, as = "text" }]
""", [(said(b"name=a"), said(b"name=long-a")), (said(b"name="), said(b"name=long-")), (said(b"name"), said(b"name")),
      (said(b"name=a", chksum=0), said(b"name=long-a", chksum=0)),
      (said(b"name=a", tunnel), said(b"name=long-a", tunnel)),
      (said(b"name=odd"), said(b"name=long-odd")),
      (ETH / six / UDP(sport=1, dport=7777) / Raw(b"name=b"), ETH / six / UDP(sport=1, dport=7777) / Raw(b"name=long-b")),
      (stream, stream)] + [(ETH / part, ETH / part) for part in piece], {"changed": 6, "rules": [[9, 3]]}

    yield "datagrams-become-shorter", """[[rule]]
name  = "delete"
match = { protocol = ["udp", "icmp"] }
steps = [{ delete = 5, at = 5 }, { insert = "21", at = 6 }]
on-miss = "drop"
""", [(said(b"name=long-a"), said(b"name=a!")), (said(b"name=long"), None),
      (ETH / IP(src="10.0.0.1", dst="10.0.0.2") / ICMP(id=5) / Raw(b"0123456789a"),
       ETH / IP(src="10.0.0.1", dst="10.0.0.2") / ICMP(id=5) / Raw(b"01234a!"))], {
        "changed": 2, "dropped": 1, "rules": [[3, 1]]}

    yield "a-delay-moves-time-stamps", """[[rule]]
name  = "far away"
match = { dst = "203.0.113.9" }
steps = [{ delay = "1.5s" }, { delay = "250us" }]
""", [(keep_alive("10.20.0.11"), keep_alive("10.20.0.11"))] * 2, {"changed": 0, "rules": [[2, 0]], "later": 1.50025}

    broken = built(keep_alive("10.20.0.11"))
    broken[IP].ihl = 15
    yield "malformed-is-dropped-where-told", "[defaults]\nmalformed = \"drop\"\n\n" + KEEP_ALIVE, [
        (broken, None), (keep_alive("10.20.0.11"), keep_alive("203.0.113.11"))], {
        "changed": 1, "dropped": 1, "malformed": 1, "rules": [[1, 0]]}


STATUS = ["ip.checksum.status", "tcp.checksum.status", "udp.checksum.status", "icmp.checksum.status"]


def judge(path):
    """tshark's word on each packet's checksums; nothing but the bad ones meant to be bad may be bad."""
    command = ["tshark", "-n", "-r", path, "-T", "fields", "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE",
               "-o", "udp.check_checksum:TRUE", "-o", "ip.defragment:FALSE"]
    for field in STATUS:
        command += ["-e", field]
    rows = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [row.split("\t") for row in rows]


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    for name, rules, pairs, summary in scenarios():
        place = os.path.join(folder, name)
        os.makedirs(place, exist_ok=True)
        pairs = [tuple(pair) for pair in pairs]
        given = [built(before) for before, _ in pairs]
        wanted = [built(after) for _, after in pairs if after is not None]
        for i, packet in enumerate(given + wanted):
            packet.time = 1700000000 + i % len(given)
        later = summary.pop("later", 0)  # seconds
        kept = [i for i, (_, after) in enumerate(pairs) if after is not None]
        for i, packet in zip(kept, wanted):
            packet.time = 1700000000 + i + later
        with open(f"{place}/rules.toml", "w") as f:
            f.write(rules)
        wrpcap(f"{place}/in.pcap", given)
        wrpcap(f"{place}/out.pcap", wanted)
        summary = {"packets": len(given), "dropped": 0, "malformed": 0, **summary}
        with open(f"{place}/summary.json", "w") as f:
            f.write(json.dumps(summary) + "\n")
        bad = sum(field.split(",").count("0") for row in judge(f"{place}/out.pcap") for field in row)
        if bad != (1 if name == "bad-checksum-stays-bad" else 0):
            sys.exit(f"{name}: tshark finds {bad} bad checksums in what is to come out")
        print(f"{name}: {len(given)} packets in, {len(wanted)} out")


if __name__ == "__main__":
    main()
