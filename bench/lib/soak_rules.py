"""The two rule files of a soak, and what they make of its packets."""
import ipaddress

from .soak_network import HEADERS, MARK

# Datagrams a second to each port: address as text (its length changes), dropped, lost by chance, delayed.
RATES = {1331: 300, 1332: 50, 1333: 100, 1334: 100}
LOSS = 0.1
_PREFIXES = {"one": ("203.0.113.", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:"), "two": ("192.0.2.", "2001:db8:2::")}
WRITES = {"one": ("46544c31", 0), "two": ("46544c32", 4)}


def _outside(name):
    def of(address):
        return str(ipaddress.ip_address(_PREFIXES[name][":" in address] + address.rpartition(":" if ":" in address
                                                                                            else ".")[2]))
    return of


OUTSIDE = {name: _outside(name) for name in _PREFIXES}

RULES = """
[table.devices]
"10.1.0.0/24" = "{four}0/24"
"fd00:1::/112" = "{six}0/112"

# Behind the queue the firewall counts who bears it.
[[rule]]
name = "answered"
match = {{ hook = "forward" }}
steps = [{{ mark = "{mark}" }}]

[[rule]]
name = "numbered"
match = {{ hook = "forward", protocol = "udp", dst-port = 5000 }}
steps = [{{ write = "{bytes}", at = {at} }}, {{ set = {{ dscp = {dscp}, ttl = {ttl} }} }}]

[[rule]]
name = "keep-alive"
match = {{ hook = "forward", protocol = "udp", dst-port = 1331 }}
steps = [{{ translate = "devices", at = "anywhere", as = "text" }}]

[[rule]]
name = "refused"
match = {{ hook = "forward", protocol = "udp", dst-port = 1332 }}
steps = ["drop"]

[[rule]]
name = "lossy"
match = {{ hook = "forward", protocol = "udp", dst-port = 1333 }}
steps = [{{ lose = "{loss:.0%}" }}]

[[rule]]
name = "delayed"
match = {{ hook = "forward", protocol = "udp", dst-port = 1334 }}
steps = [{{ delay = "4ms", jitter = "2ms" }}, {{ reorder = "10%", by = "5ms" }}]

[[rule]]
name = "echo"
match = {{ hook = "forward", protocol = ["icmp", "icmpv6"] }}
steps = [{{ set = {{ ttl = 50 }} }}]

[[rule]]
name = "mss"
match = {{ hook = "forward", protocol = "tcp", port = "5001-5002", tcp-flags = "syn" }}
steps = [{{ clamp-mss = 1200 }}]

[[rule]]
name = "streams"
match = {{ hook = "forward", protocol = "tcp", port = "5001-5002" }}
steps = [{{ replace = '<(g+)>', with = '<$1$1$1>' }}, {{ replace = '\\[s+\\]', with = '' }}]

[[rule]]
name = "hostile datagrams"
match = {{ hook = "prerouting", protocol = "udp" }}
steps = [{{ translate = "devices", at = "anywhere", as = "text" }}, {{ dns = "devices" }}, {{ insert = "00", at = 1 }}]

[[rule]]
name = "hostile SYNs"
match = {{ hook = "prerouting", protocol = "tcp", tcp-flags = "syn" }}
steps = [{{ clamp-mss = 536 }}, {{ strip = "tcp-timestamps" }}]

[[rule]]
name = "hostile streams"
match = {{ hook = "prerouting", protocol = "tcp" }}
steps = [{{ replace = '[0-9]', with = '00' }}]

[[rule]]
name = "hostile rest"
match = {{ hook = "prerouting", not = {{ protocol = ["udp", "tcp"] }} }}
steps = [{{ strip = "ip-options" }}, {{ set = {{ ttl = 9, dscp = "ef" }} }}]
"""


def text(name):
    four, six = _PREFIXES[name]
    (written, at), (dscp, ttl) = WRITES[name], HEADERS[name]
    return RULES.format(four=four, six=six, mark=MARK, bytes=written, at=at, dscp=dscp, ttl=ttl, loss=LOSS)
