"""Three network namespaces of a soak's own, with the firewall's rules that queue, mark and count:

    client 10.1.0.2..9, fd00:1::2..9 --- router --- server 10.2.0.2, fd00:2::2
    client's second device, hostile packets --- router, where they end

fettle marks each packet that it has answered by its rules (MARK), and filter FORWARD behind the queues counts by class
who bears the mark ("done") and who does not ("undone": passed by bypass, or in hand when a worker died). So what
fettle counts can be held against what the kernel does.
"""
import os
import re
import subprocess

from . import network

SERVER4, SERVER6 = "10.2.0.2", "fd00:2::2"
CLIENTS4 = [f"10.1.0.{n}" for n in range(2, 10)]
CLIENTS6 = [f"fd00:1::{n}" for n in range(2, 10)]
MARK = "0x10/0x10"
# What is queued in mangle FORWARD: comment, and iptables' and ip6tables' words for it.
CLASSES = {"numbered": ("-p", "udp", "--dport", "5000"), "keep-alive": ("-p", "udp", "--dport", "1331"),
           "refused": ("-p", "udp", "--dport", "1332"), "lossy": ("-p", "udp", "--dport", "1333"),
           "delayed": ("-p", "udp", "--dport", "1334"), "tcp": ("-p", "tcp"), "icmp": ("-p", "icmp")}
# What the rules of set one and set two make of a numbered packet's header: DSCP, TTL.
HEADERS = {"one": ("10", "40"), "two": ("18", "41")}
HOSTILE_QUEUE = 2
TOOLS = ("iptables", "ip6tables")


class SoakNetwork(network.Network):
    """Use with `with`: the namespaces are gone afterwards, and all that still runs in them."""

    def __init__(self):
        super().__init__()
        self.names = {k: f"fettle-soak-{os.getpid()}-{k}" for k in ("client", "router", "server")}

    def __exit__(self, *_):
        for name in self.names.values():
            if not os.path.exists(f"/run/netns/{name}"):
                continue
            pids = subprocess.run(("ip", "netns", "pids", name), capture_output=True, text=True).stdout.split()
            for pid in pids:
                subprocess.run(("kill", "-KILL", pid), capture_output=True)
        super().__exit__()

    def _make(self):
        for where, name in self.names.items():
            network.sh("ip", "netns", "add", name)
            network.sh("ip", "-n", name, "link", "set", "lo", "up")
            self.sh(where, "sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0",
                    "net.ipv4.conf.all.rp_filter=0", "net.ipv4.ping_group_range=0 2147483647")
        self._link("client", "eth0", "02", "lan", "01")
        self._link("client", "eth1", "22", "evil", "21", mtu="9216")
        self._link("server", "eth0", "12", "wan", "11")
        self._addresses("router", "lan", "10.1.0.1", "fd00:1::1")
        self._addresses("router", "wan", "10.2.0.1", "fd00:2::1")
        self._addresses("client", "eth0", *CLIENTS4, *CLIENTS6)
        self._addresses("server", "eth0", SERVER4, SERVER6)
        # Neighbours are permanent, so that no packet waits, or is lost, for want of an address.
        self._neighbours("router", "lan", "02", *CLIENTS4, *CLIENTS6)
        self._neighbours("router", "wan", "12", SERVER4, SERVER6)
        for where, mac, gateways in (("client", "01", ("10.1.0.1", "fd00:1::1")),
                                     ("server", "11", ("10.2.0.1", "fd00:2::1"))):
            self._neighbours(where, "eth0", mac, *gateways)
            for gateway in gateways:
                network.sh("ip", "-n", self.names[where], "route", "add", "default", "via", gateway)
        self.sh("router", "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self._firewall()
        self._files["queues"] = self._open("router", "netfilter/nfnetlink_queue")

    def _link(self, where, device, mac, peer, peer_mac, mtu="1500"):
        network.sh("ip", "link", "add", device, "netns", self.names[where], "address", f"02:00:00:00:00:{mac}", "mtu",
                   mtu, "type", "veth", "peer", "name", peer, "netns", self.names["router"], "address",
                   f"02:00:00:00:00:{peer_mac}", "mtu", mtu)
        network.sh("ip", "-n", self.names[where], "link", "set", device, "up")
        network.sh("ip", "-n", self.names["router"], "link", "set", peer, "up")

    def _addresses(self, where, device, *addresses):
        for address in addresses:
            words = (f"{address}/64", "dev", device, "nodad") if ":" in address else (f"{address}/24", "dev", device)
            network.sh("ip", "-n", self.names[where], "addr", "add", *words)

    def _neighbours(self, where, device, mac, *addresses):
        for address in addresses:
            network.sh("ip", "-n", self.names[where], "neigh", "replace", address, "lladdr",
                       f"02:00:00:00:00:{mac}", "dev", device, "nud", "permanent")

    def _add(self, where, tool, table, chain, comment, *rule):
        words = tuple("ipv6-icmp" if tool == "ip6tables" and w == "icmp" else w for w in rule)
        self.sh(where, tool, "-w", "-t", table, "-A", chain, "-m", "comment", "--comment", comment, *words)

    def _firewall(self):
        for tool in TOOLS:
            # Entered before fettle runs: with bypass they let all pass until then.
            self._add("router", tool, "mangle", "PREROUTING", "hostile", "-i", "evil", "-j", "NFQUEUE", "--queue-num",
                      str(HOSTILE_QUEUE), "--queue-bypass")
            for chain in ("INPUT", "FORWARD"):
                self._add("router", tool, "mangle", chain, f"hostile.{chain}", "-i", "evil", "-j", "DROP")
            for name, match in CLASSES.items():
                self._add("router", tool, "mangle", "FORWARD", name, *match, "-j", "NFQUEUE", "--queue-balance", "0:1",
                          "--queue-bypass")
                self._add("router", tool, "filter", "FORWARD", f"{name}.done", *match, "-m", "mark", "--mark", MARK)
                self._add("router", tool, "filter", "FORWARD", f"{name}.undone", *match, "-m", "mark", "!", "--mark",
                          MARK)
            ttl = ("-m", "ttl", "--ttl-eq") if tool == "iptables" else ("-m", "hl", "--hl-eq")
            for name, (dscp, hops) in HEADERS.items():
                self._add("server", tool, "mangle", "PREROUTING", f"header {name}", *CLASSES["numbered"], "-m", "dscp",
                          "--dscp", dscp, *ttl, hops)
            self._add("server", tool, "mangle", "PREROUTING", "large mss", "-p", "tcp", "--tcp-flags", "SYN", "SYN",
                      "-m", "tcpmss", "--mss", "1201:65535")

    def counts(self):
        """Packets by the rules' comments, both families."""
        out = {}
        for where, tables in (("router", ("mangle", "filter")), ("server", ("mangle",))):
            for tool in TOOLS:
                for table in tables:
                    text = self.sh(where, tool, "-w", "-t", table, "-nvxL")
                    for packets, comment in re.findall(r"^\s*(\d+) .*?/\* (.*?) \*/", text, re.M):
                        out[comment] = out.get(comment, 0) + int(packets)
        return out
