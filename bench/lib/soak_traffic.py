"""The programs that send and receive in a soak, and what each last said."""
import json
import os
import signal
import subprocess
import sys
import time

from .report import ROOT
from .soak_network import CLIENTS4, CLIENTS6, SERVER4, SERVER6

ENDS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "soak_ends.py")


class Program:
    def __init__(self, name, command, log):
        self.name, self.log = name, log
        with open(log, "w") as out:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)

    def say(self):
        """The last whole line, as numbers by name."""
        with open(self.log, "rb") as f:
            f.seek(max(0, os.path.getsize(self.log) - (1 << 20)))
            lines = f.read().decode().splitlines(keepends=True)
        for line in reversed(lines):
            if line.endswith("\n") and line.startswith("{"):
                return json.loads(line)
            if line.endswith("\n") and "=" in line:
                return {k: float(v) if "." in v else int(v) for k, _, v in (w.partition("=") for w in line.split())}
        return {}

    def await_listening(self):
        end = time.monotonic() + 10
        while time.monotonic() < end and self.process.poll() is None:
            with open(self.log) as f:
                if "listening" in f.read():
                    return
            time.sleep(0.02)
        raise RuntimeError(f"{self.name} does not listen: {self.text()}")

    def text(self):
        with open(self.log) as f:
            return f.read()[-2000:]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self):
        if self.process.wait(40):
            raise RuntimeError(f"{self.name} failed: {self.text()}")

    def check(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended: {self.text()}")


class Traffic:
    """Use with `with`: what it started ends."""

    def __init__(self, network, build, folder, rate):
        self.network, self.build, self.folder, self.rate = network, build, folder, rate
        self.programs, self.hostile, self.hostile_sent = {}, None, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        running = [p.process for p in (*self.programs.values(), self.hostile) if p and p.process.poll() is None]
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()

    def start(self, name, where, *command):
        log = os.path.join(self.folder, f"{name}.log")
        self.programs[name] = Program(name, self.network.inside(where, *command), log)
        return self.programs[name]

    def _numbered(self, what, family, *words):
        return (f"{self.build}/tests/live/traffic", what, "port=5000", "report=1000", *words)

    def start_receivers(self):
        self.start("anchor", "router", "sleep", "infinity")  # whose view of the queues the hostile sender has
        for name, address in (("received4", SERVER4), ("received6", SERVER6)):
            self.start(name, "server", *self._numbered("receive", name, f"at={address}"))
        self.start("keep-alives received", "server", sys.executable, ENDS, "keep-alive-receive")
        self.start("server", "server", sys.executable, ENDS, "serve")
        self.start("pulse", "server", sys.executable, ENDS, "pulse")
        for name in ("received4", "received6", "keep-alives received", "server"):
            self.programs[name].await_listening()

    def start_numbered(self, *words):
        for name, address, sources, share in (("sent4", SERVER4, CLIENTS4, 0.8), ("sent6", SERVER6, CLIENTS6, 0.2)):
            self.start(name, "client", *self._numbered("send", name, f"to={address}", f"from={','.join(sources)}",
                                                       f"rate={round(self.rate * share)}", *words))

    def start_senders(self):
        self.start_numbered()
        self.start_keep_alives()
        for name, what in (("requests", "request"), ("transfers", "transfer")):
            self.start(name, "client", sys.executable, ENDS, what, SERVER4, SERVER6)

    def start_keep_alives(self):
        self.start("keep-alives sent", "client", sys.executable, ENDS, "keep-alive-send", SERVER4, SERVER6)

    def stop_senders(self):
        """All but the receivers."""
        senders = [p for name, p in self.programs.items()
                   if name in ("sent4", "sent6", "keep-alives sent", "requests", "transfers")]
        for program in senders:
            program.stop()
        for program in senders:
            program.wait()
        if self.hostile:
            self.hostile.wait()
            self._add_hostile()

    def stop_receivers(self):
        names = ("received4", "received6", "keep-alives received", "server", "pulse")
        for name in (*names, "anchor"):
            self.programs[name].stop()
        for name in names:
            self.programs[name].wait()

    def burst_of_hostile(self, count, seed):
        """Unless the one before still goes on."""
        if self.hostile and self.hostile.process.poll() is None:
            return False
        self._add_hostile()
        queues = f"/proc/{self.programs['anchor'].process.pid}/net/netfilter/nfnetlink_queue"
        scenarios = os.path.join(ROOT, "tests", "scenarios")
        captures = sorted(os.path.join(scenarios, name, "in.pcap") for name in os.listdir(scenarios))
        command = self.network.inside("client", f"{self.build}/tests/live/hostile_sender", "on=eth1",
                                      "to=02:00:00:00:00:21", f"count={count}", f"seed={seed}", f"queues={queues}",
                                      *filter(os.path.exists, captures))
        self.hostile = Program("hostile", command, os.path.join(self.folder, "hostile.log"))
        return True

    def _add_hostile(self):
        if self.hostile:
            self.hostile.wait()
            self.hostile_sent += int(self.hostile.say().get("sent", 0))
            self.hostile = None

    def check(self):
        for program in self.programs.values():
            program.check()

    def says(self):
        return {name: program.say() for name, program in self.programs.items() if name != "anchor"}
