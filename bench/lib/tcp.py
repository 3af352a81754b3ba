"""One TCP stream through the router, with super-packets (GSO), both directions through the queue."""
import json
import os
import re
import subprocess
import sys

from . import cpu, network

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tcp_stream.py")


class TcpLoad:
    protocol = "tcp"

    def __init__(self, seconds, dscp):
        self.seconds, self.dscp = seconds, dscp

    def measure(self, stand, running):
        rule = ("-p", "tcp", "-o", "v2a", "-m", "dscp", "--dscp", str(self.dscp))
        stand.net.sh("router", "iptables", "-t", "mangle", "-A", "POSTROUTING", *rule)
        try:
            return self._measure(stand, running)
        finally:
            stand.net.sh("router", "iptables", "-t", "mangle", "-F", "POSTROUTING", check=False)

    def _measure(self, stand, running):
        def start(where, *words):
            command = ("taskset", "-c", str(stand.sender_cpu), sys.executable, PROGRAM, *words)
            return subprocess.Popen(stand.net.inside(where, *command), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                    text=True)
        receiver = start("sink", "receive")
        sender = None
        try:
            receiver.stdout.readline()
            quiet = cpu.wait_for_quiet(stand.quiet)
            begin = self._moment(stand, running)
            sender = start("source", "send", network.SINK, str(self.seconds))
            sent, error = sender.communicate(timeout=self.seconds + 30)
            if sender.returncode:
                raise RuntimeError(f"the TCP stream broke: {error.strip().splitlines()[-1]}")
            got = json.loads(receiver.communicate(timeout=30)[0])
            end = self._moment(stand, running)
            running.check()
        finally:
            for process in filter(None, (sender, receiver)):
                process.kill()
                process.wait()
        sent = json.loads(sent)
        return self._result(running.consumer, sent, got, begin, end, quiet)

    @staticmethod
    def _moment(stand, running):
        table = stand.net.sh("router", "iptables", "-t", "mangle", "-nvxL", "POSTROUTING")
        marked = re.search(r"^\s*(\d+)\s+(\d+)", table, re.M)
        ids = sum(q.last_id for q in stand.net.queues())
        usage = cpu.Usage([running.pid()] if running.pid() else [], stand.kernel)
        return usage, ids, int(marked[2]) if marked else 0

    @staticmethod
    def _result(consumer, sent, got, begin, end, quiet):
        packets = end[1] - begin[1]
        own = (sent["cpu_seconds"] + got["cpu_seconds"]) * 1e9
        result = {"consumer": consumer.name, "gbps": got["bytes"] * 8 / max(got["seconds"], 1e-9) / 1e9,
                  "queued": packets, "bytes_per_packet": got["bytes"] / max(packets, 1), "quiet": quiet,
                  "marked_share": (end[2] - begin[2]) / max(got["bytes"], 1), "lost": 0, "sent": packets,
                  "retransmissions": sent["retransmissions"], "pps": packets / max(got["seconds"], 1e-9)}
        result.update(cpu.between(begin[0], end[0], packets, own))
        return result
