"""fettle as a soak's users run it: with its sandbox and supervisor, under what happens to it."""
import datetime
import json
import os
import re
import signal
import socket
import subprocess
import time

from . import soak_rules
from .consumers import Died

QUEUES, BATCH = (0, 1), 16
QUEUE_LENGTH = 65536
WATCHDOG = 2000  # milliseconds
# A sender may stand still in the middle of a match, as the machine has it: 40 ms, the default, were once too short.
FLAGS = ("--queue-balance", "0:2", "--queue-length", str(QUEUE_LENGTH), "--overload-length", str(QUEUE_LENGTH),
         "--watchdog", str(WATCHDOG), "--drain-time", "5000", "--streams", "4096", "--batch", str(BATCH),
         "--stream-wait", "500")


class Fettle:
    """One that runs, and those before it; use with `with`. `events` are (begin, end, kind)."""

    def __init__(self, network, program, folder, chance):
        self.network, self.program, self.folder, self.chance = network, program, folder, chance
        self.control, self.rules, self.set = f"{folder}/control", f"{folder}/rules.toml", "one"
        self.process, self.log, self.number = None, None, 0
        self.events, self.statuses, self.summaries = [], [], []
        self.kills, self.exits, self.stopped = 0, [], set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process is None or self.process.poll() is not None:
            return
        workers = self.workers()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            for pid in workers:  # which outlive it
                os.kill(pid, signal.SIGKILL)

    # ---- starting and ending -----------------------------------------------------------------

    def write_rules(self, name):
        self.set = name
        with open(self.rules, "w") as f:
            f.write(soak_rules.text(name))

    def start(self, *flags):
        self.number += 1
        self.log = f"{self.folder}/fettle{self.number}.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                self.network.inside("router", self.program, "run", "--rules", self.rules, "--control", self.control,
                                    "--quarantine", f"{self.folder}/quarantine", *FLAGS, *flags),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._await(lambda: re.search("ready", self.text()), "did not get ready")

    def text(self):
        with open(self.log) as f:
            return f.read()

    def told(self, pattern):
        """What all of them logged of it: the patterns' groups."""
        out = []
        for number in range(1, self.number + 1):
            with open(f"{self.folder}/fettle{number}.log") as f:
                out += re.findall(pattern, f.read())
        return out

    def stood_still(self):
        """Times of day at which the watchdog killed workers that nobody had stopped."""
        return [datetime.datetime.fromisoformat(at).timestamp()
                for at, pid in self.told(r"(\S+ \S+) error .*worker (\d+) has shown no sign of life")
                if int(pid) not in self.stopped]

    def _await(self, done, what, seconds=20):
        end = time.monotonic() + seconds
        while not done():
            if self.process.poll() is not None or time.monotonic() > end:
                raise Died(f"fettle {what}: {self.text()[-2000:]}")
            time.sleep(0.01)

    def _tool(self, command):
        return subprocess.run((self.program, command, "--control", self.control, "--json"), capture_output=True,
                              text=True)

    def status(self):
        """What it says of itself; None where nobody answers."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(5)
                connection.connect(self.control)
                connection.sendall(b"status\n")
                answer = b""
                while chunk := connection.recv(1 << 16):
                    answer += chunk
            return json.loads(answer).get("status")
        except (OSError, ValueError):
            return None

    def workers(self):
        status = self.status()
        return [q["worker"]["pid"] for q in status["queues"] if q["worker"]["pid"] > 0] if status else []

    def settled(self):
        status = self.status()
        return status if status and status["phase"] == "running" and all(
            q["worker"]["state"] == "running" for q in status["queues"]) else None

    def await_settled(self):
        self._await(self.settled, "does not settle")
        return self.settled()

    # ---- events ------------------------------------------------------------------------------

    def happen(self, kind):
        begin = time.monotonic()
        getattr(self, kind)()
        end = time.monotonic()
        self.events.append((begin, end, kind))
        return begin, end

    def reload(self):
        self.write_rules("two" if self.set == "one" else "one")
        done = self._tool("reload")
        if done.returncode:
            raise Died(f"reload: {done.stdout}{done.stderr}")
        self.await_settled()

    def _kill(self, number):
        status = self.await_settled()
        queue = status["queues"][self.chance.choice(QUEUES)]
        self.kills += 1
        os.kill(queue["worker"]["pid"], number)
        if number == signal.SIGSTOP:
            self.stopped.add(queue["worker"]["pid"])
        restarts = queue["worker"]["restarts"]

        def again():
            now = self.settled()
            return now and now["queues"][queue["queue"]]["worker"]["restarts"] > restarts
        self._await(again, "does not restart its worker")

    def kill(self):
        self._kill(signal.SIGKILL)

    def fault(self):
        self._kill(signal.SIGSEGV)

    def stop(self):
        self._kill(signal.SIGSTOP)

    def takeover(self):
        former = self.process
        self.start("--takeover")
        self.exits.append(former.wait(20))
        self.await_settled()

    def drain(self):
        self.end()
        time.sleep(self.chance.uniform(0.2, 1))
        self.start()
        self.await_settled()

    def end(self):
        """By `fettle drain`; keeps what it said of itself before, and at its end."""
        self.statuses.append(self.await_settled())
        done = self._tool("drain")
        if done.returncode:
            raise Died(f"drain: {done.stdout}{done.stderr}")
        self.exits.append(self.process.wait(20))
        self.summaries.append(summary(self.text()))


def summary(text):
    """Counts of each queue from what fettle prints at its end, a heading's words to numbers."""
    lines = iter(text.splitlines())
    heading = next(line.split() for line in lines if line.split()[:2] == ["queue", "packets"])
    out = {}
    for line in lines:
        if not line.strip():
            break
        if re.match(r" *\d+ +\d", line):
            row = dict(zip(heading, map(int, line.split())))
            out[str(row.pop("queue"))] = row
    return out
