"""Three network namespaces of this run's own, joined by veth pairs:

    source 10.77.1.2 --- 10.77.1.1 router 10.77.2.1 --- 10.77.2.2 sink

No packet leaves them, no conntrack, no ARP while something is measured. UDP is counted and dropped in the
sink's raw PREROUTING. Counters are read through files that stay open, without starting a process.
"""
import contextlib
import ctypes
import os
import re
import subprocess
import threading

SOURCE, SINK = "10.77.1.2", "10.77.2.2"
# The first of many: none of them is an address of the router's own, which it would drop as a martian.
SOURCES = "10.77.16.1"
# Interface, namespace, address, Ethernet address.
ENDS = (("v1a", "source", "10.77.1.2", "02:fe:00:00:01:02"), ("v1b", "router", "10.77.1.1", "02:fe:00:00:01:01"),
        ("v2a", "router", "10.77.2.1", "02:fe:00:00:02:01"), ("v2b", "sink", "10.77.2.2", "02:fe:00:00:02:02"))
ROUTER_MAC = "02:fe:00:00:01:01"
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def sh(*words, check=True):
    done = subprocess.run(words, capture_output=True, text=True)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


class Network:
    """Use with `with`: the namespaces are gone afterwards, whatever happened."""

    def __init__(self):
        self.names = {k: f"fettle-bench-{os.getpid()}-{k}" for k in ("source", "router", "sink")}
        self._files = {}
        self.ipv6 = False

    def __enter__(self):
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for fd in self._files.values():
            os.close(fd)
        self._files = {}
        for name in self.names.values():
            subprocess.run(("ip", "netns", "del", name), capture_output=True)

    def inside(self, where, *words):
        """The command line that runs `words` in a namespace."""
        return ("ip", "netns", "exec", self.names[where], *words)

    def sh(self, where, *words, check=True):
        return sh(*self.inside(where, *words), check=check)

    def _make(self):
        for name in self.names.values():
            sh("ip", "netns", "add", name)
            sh("ip", "-n", name, "link", "set", "lo", "up")
        for (a, left, _, mac_a), (b, right, _, mac_b) in (ENDS[:2], ENDS[2:]):
            sh("ip", "link", "add", a, "netns", self.names[left], "address", mac_a, "type", "veth",
               "peer", "name", b, "netns", self.names[right], "address", mac_b)
        for device, where, address, _ in ENDS:
            self.sh(where, "sysctl", "-qw", f"net.ipv6.conf.{device}.disable_ipv6=1")
            sh("ip", "-n", self.names[where], "addr", "add", f"{address}/24", "dev", device)
            sh("ip", "-n", self.names[where], "link", "set", device, "up")
        for (device, where, _, _), (_, _, address, mac) in zip(ENDS, (ENDS[1], ENDS[0], ENDS[3], ENDS[2])):
            sh("ip", "-n", self.names[where], "neigh", "replace", address, "lladdr", mac, "dev", device,
               "nud", "permanent")
        sh("ip", "-n", self.names["source"], "route", "add", "default", "via", "10.77.1.1")
        sh("ip", "-n", self.names["sink"], "route", "add", "default", "via", "10.77.2.1")
        self.sh("router", "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0",
                "net.ipv4.conf.v1b.rp_filter=0")
        self.sh("sink", "iptables", "-t", "raw", "-A", "PREROUTING", "-p", "udp", "-j", "DROP")
        for key, where, path in (("queues", "router", "netfilter/nfnetlink_queue"), ("netlink", "router", "netlink"),
                                 ("devices", "sink", "dev")):
            self._files[key] = self._open(where, path)

    def carry_everything(self):
        """Whatever address a packet has, IPv6 too, it goes from source to sink and ends there."""
        for device, where, _, _ in ENDS:
            sh("ip", "-n", self.names[where], "link", "set", device, "mtu", "65535")
        sh("ip", "-n", self.names["router"], "route", "add", "default", "via", SINK, "dev", "v2a")
        self.sh("sink", "iptables", "-t", "raw", "-A", "PREROUTING", "-j", "DROP")
        try:
            self.sh("sink", "ip6tables", "-t", "raw", "-A", "PREROUTING", "-j", "DROP")
            for device in ("v1b", "v2a"):
                self.sh("router", "sysctl", "-qw", f"net.ipv6.conf.{device}.disable_ipv6=0",
                        f"net.ipv6.conf.{device}.accept_ra=0", f"net.ipv6.conf.{device}.accept_dad=0")
            self.sh("router", "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
            router = ("ip", "-n", self.names["router"], "-6")
            sh(*router, "addr", "add", "fd77:2::1/64", "dev", "v2a", "nodad")
            sh(*router, "neigh", "replace", "fd77:2::2", "lladdr", ENDS[3][3], "dev", "v2a", "nud", "permanent")
            sh(*router, "route", "add", "default", "via", "fd77:2::2", "dev", "v2a")
            self.ipv6 = True
        except RuntimeError:  # a kernel without IPv6: its packets are lost, and counted as such
            self.ipv6 = False

    def _open(self, where, path):
        """A descriptor of the namespace's /proc/net file; it goes on reading from there."""
        result = []

        def enter():  # in a thread, because the rest of the process stays where it is
            namespace = os.open(f"/run/netns/{self.names[where]}", os.O_RDONLY)
            if _libc.setns(namespace, CLONE_NEWNET) == 0:
                with contextlib.suppress(OSError):
                    result.append(os.open(f"/proc/thread-self/net/{path}", os.O_RDONLY | os.O_CLOEXEC))
            os.close(namespace)
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if not result:
            raise RuntimeError(f"/proc/net/{path} cannot be read; is nfnetlink_queue in this kernel?")
        return result[0]

    def _read(self, key):
        out, at = b"", 0
        while chunk := os.pread(self._files[key], 65536, at):
            out, at = out + chunk, at + len(chunk)
        return out.decode()

    @contextlib.contextmanager
    def queued(self, *rule):
        """With an iptables rule in the router's mangle FORWARD, e.g. "-p udp -j NFQUEUE --queue-num 0"."""
        tools = ("iptables", "ip6tables") if self.ipv6 else ("iptables",)
        try:
            for tool in tools:
                self.sh("router", tool, "-t", "mangle", "-A", "FORWARD", *rule)
            yield
        finally:
            for tool in tools:
                self.sh("router", tool, "-t", "mangle", "-F", "FORWARD", check=False)

    def queues(self):
        """A row of numbers for each bound queue: see Queue."""
        return [Queue([int(x) for x in line.split()]) for line in self._read("queues").splitlines()]

    def socket_drops(self):
        """Messages that found a netfilter socket's buffer full."""
        rows = (line.split() for line in self._read("netlink").splitlines()[1:])
        return sum(int(row[8]) for row in rows if row[1] == "12")

    def arrived(self):
        """Packets and bytes that reached the sink's interface."""
        found = re.search(r"v2b:\s*(\d+)\s+(\d+)", self._read("devices"))
        return int(found[2]), int(found[1])


class Queue:
    def __init__(self, row):
        self.number, _, self.waiting, _, _, self.full_drops, self.socket_drops, self.last_id = row[:8]


def available():
    """Why namespaces with queues cannot be had here, or nothing."""
    if os.geteuid() != 0:
        return "needs root, for network namespaces and NFQUEUE"
    try:
        with Network() as network, network.queued("-p", "udp", "-j", "NFQUEUE", "--queue-num", "0"):
            return None
    except (RuntimeError, OSError) as error:
        return f"needs network namespaces, iptables and NFQUEUE: {error}"
