"""One measured run: a consumer, a load, and what came of it."""
import json
import signal
import subprocess
import time

from . import cpu, network
from .consumers import Running

WARM = 0.5  # seconds at the beginning of a load that are not measured


class Load:
    """UDP: what the sender is told. sample: 0 for no sink, else it looks at each so many-th packet."""

    protocol = "udp"

    def __init__(self, size="64", seconds=3.0, flows=16, sources=1, sample=0, timeline=0, checksums=False, pinned=True,
                 **pace):
        self.size, self.seconds, self.flows, self.sources = str(size), seconds, flows, sources
        self.sample, self.timeline, self.checksums, self.pinned = sample, timeline, checksums, pinned
        self.pace = pace  # pps, mbps, burst, super, train, every, profile, sleep

    def measure(self, stand, running):
        return stand.measure_udp(running, self)

    def sender(self, build, cpu_number):
        words = [f"{build}/bench/packet_sender", "--interface", "v1a", "--to", network.ROUTER_MAC,
                 "--source", network.SOURCE if self.sources == 1 else network.SOURCES,
                 "--destination", network.SINK, "--size", self.size,
                 "--flows", str(self.flows), "--sources", str(self.sources), "--seconds", str(self.seconds + WARM)]
        if self.pinned:
            words += ["--cpu", str(cpu_number)]
        for key, value in self.pace.items():
            words += [f"--{key}"] if value is True else [f"--{key}", str(value)]
        return words

    def sink(self, build, cpu_number):
        words = [f"{build}/bench/packet_sink", "--interface", "v2b", "--sample", str(self.sample),
                 "--skip", "0" if self.timeline else str(WARM), "--cpu", str(cpu_number)]
        if self.timeline:
            words += ["--timeline", str(self.timeline)]
        return words + (["--checksums"] if self.checksums else [])


class Stand:
    """The namespaces, the programs and the CPUs of all runs."""

    def __init__(self, net, build, consumer_cpu, sender_cpu, quiet):
        self.net, self.build, self.quiet = net, build, quiet
        self.consumer_cpu, self.sender_cpu = consumer_cpu, sender_cpu
        self.kernel = cpu.Kernel()

    def run(self, consumer, load, cpus=None, realtime=False):
        numbers = ("--queue-num", "0") if consumer.queues < 2 else ("--queue-balance", f"0:{consumer.queues - 1}")
        with Running(self.net, consumer, cpus or str(self.consumer_cpu), realtime) as running:
            if consumer.command is None:
                return load.measure(self, running)
            with self.net.queued("-p", load.protocol, "-j", "NFQUEUE", *numbers):
                return load.measure(self, running)

    def measure_udp(self, running, load):
        sink = self._start_sink(load)
        try:
            quiet = cpu.wait_for_quiet(self.quiet)
            first = Moment(self, running, sink)
            sender = subprocess.Popen(self.net.inside("source", *load.sender(self.build, self.sender_cpu)),
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            try:
                time.sleep(WARM)
                begin = Moment(self, running, sink, sender)
                time.sleep(max(load.seconds - 0.1, 0.1))
                end = Moment(self, running, sink, sender)
                out, error = sender.communicate(timeout=load.seconds + 60)
            finally:
                sender.kill()
                sender.wait()
            if sender.returncode:
                raise RuntimeError(error.strip())
            self._settle()
            running.check()
            last = Moment(self, running, sink)
            seen = _end_sink(sink)
        finally:
            if sink:
                sink.kill()
                sink.wait()
        return _result(json.loads(out), seen, (first, begin, end, last), quiet, running.consumer)

    def _start_sink(self, load):
        if not load.sample:
            return None
        sink = subprocess.Popen(self.net.inside("sink", *load.sink(self.build, self.sender_cpu)),
                                stdout=subprocess.PIPE, text=True)
        if sink.stdout.readline().strip() != "ready":
            raise RuntimeError("packet_sink did not start")
        return sink

    def _settle(self):
        """Until nothing waits and nothing arrives any more."""
        last = None
        for _ in range(100):
            now = self.net.arrived()[0], sum(q.waiting for q in self.net.queues())
            if now == last and now[1] == 0:
                return
            last = now
            time.sleep(0.05)


def _end_sink(sink):
    if sink is None:
        return None
    sink.send_signal(signal.SIGTERM)
    return json.loads(sink.communicate(timeout=60)[0])


class Moment:
    def __init__(self, stand, running, sink, sender=None):
        net = stand.net
        self.time = time.monotonic()
        self.packets, self.bytes = net.arrived()
        queues = net.queues()
        self.full = sum(q.full_drops for q in queues)
        self.socket = net.socket_drops()
        self.usage = cpu.Usage([running.pid()] if running.pid() else [], stand.kernel)
        self.own = sum(cpu.Usage([p.pid], stand.kernel).run for p in (sink, sender) if p)
        self.own += time.process_time_ns()


def _result(sent, seen, moments, quiet, consumer):
    first, begin, end, last = moments
    packets = end.packets - begin.packets
    seconds = end.time - begin.time
    delivered = last.packets - first.packets
    result = {"consumer": consumer.name, "pps": packets / seconds,
              "mbps": (end.bytes - begin.bytes - 14 * packets) * 8 / seconds / 1e6,
              "sent": sent["sent"], "sent_pps": sent["sent"] / max(sent["seconds"], 1e-9), "delivered": delivered,
              "lost": sent["sent"] - delivered, "late": sent.get("late", 0), "queue_full": last.full - first.full,
              "socket_full": last.socket - first.socket, "quiet": quiet, "phases": sent["phases"]}
    result.update(cpu.between(begin.usage, end.usage, packets, end.own - begin.own))
    if seen:
        result["sink"] = seen
    return result
