"""What a soak looks at once a second: processes, queues, counters, traffic."""
import os
import re
import threading
import time

from .cpu import read_file


def process(pid):
    """Memory in kB, descriptors, threads and shared segments; None where it has gone."""
    rollup, status = read_file(f"/proc/{pid}/smaps_rollup"), read_file(f"/proc/{pid}/status")
    try:
        descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        memory = {name: int(found[1]) for name in ("RssAnon", "RssShmem", "VmRSS", "Threads")
                  if (found := re.search(rf"^{name}:\s+(\d+)", status, re.M))}
        pss = int(re.search(r"^Pss:\s+(\d+)", rollup, re.M)[1])
        segments = {line.split()[4] for line in read_file(f"/proc/{pid}/maps").splitlines() if "/memfd:fettle" in line}
    except (OSError, TypeError, KeyError):
        return None
    return {"pid": pid, "pss": pss, "anonymous": memory["RssAnon"], "shared": memory["RssShmem"],
            "threads": memory["Threads"], "descriptors": descriptors, "segments": len(segments)}


class Sampler(threading.Thread):
    """Takes samples until `stop`; `act` names the part of the soak that each belongs to."""

    def __init__(self, network, fettle, traffic):
        super().__init__(daemon=True)
        self.network, self.fettle, self.traffic = network, fettle, traffic
        self.samples, self.act, self._end, self.asked = [], "warm-up", threading.Event(), 0
        self._poller = threading.Thread(target=self._poll, daemon=True)

    def run(self):
        self._poller.start()
        due = time.monotonic()
        while not self._end.is_set():
            self.samples.append(self.take())
            due = max(due + 1, time.monotonic())
            self._end.wait(due - time.monotonic())

    def stop(self):
        self._end.set()
        self.join()
        self._poller.join()

    def _poll(self):
        """A control client that asks ten times a second."""
        while not self._end.wait(0.1):
            self.asked += self.fettle.status() is not None

    def take(self):
        status = self.fettle.status()
        out = {"t": time.monotonic(), "act": self.act, "traffic": self._traffic(), "processes": {},
               "queues": {q.number: {"waiting": q.waiting, "full": q.full_drops, "socket": q.socket_drops,
                                     "last_id": q.last_id} for q in self.network.queues()}}
        if not status:
            return out
        pids = {"supervisor": status["pid"]} | {f"worker {q['queue']}": q["worker"]["pid"] for q in status["queues"]}
        for name, pid in pids.items():
            if pid > 0 and (found := process(pid)):
                out["processes"][name] = found
        out["settled"] = status["phase"] == "running" and all(
            q["worker"]["state"] == "running" for q in status["queues"])
        out["counters"] = {q["queue"]: q["traffic"] | q["loss"] | q["streams"] | q["other"] for q in status["queues"]}
        out["control"] = status["control"]
        return out

    def _traffic(self):
        says = self.traffic.says()

        def of(name, key):
            return says.get(name, {}).get(key, 0)
        keep = says.get("keep-alives sent", {}), says.get("keep-alives received", {})
        ports = [key for key in keep[0] if key.isdigit()]
        return {"sent": of("sent4", "sent") + of("sent6", "sent") + sum(keep[0][p] for p in ports),
                "received": of("received4", "distinct") + of("received6", "distinct")
                + sum(keep[1].get(p, {}).get("distinct", 0) for p in ports),
                "requests": of("requests", "done"), "transferred": of("transfers", "bytes"),
                "transfers": of("transfers", "done")}
