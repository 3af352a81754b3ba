"""Who used how much CPU: a consumer's processes, the kernel's workers beside it, others.

Run times are the scheduler's, in nanoseconds (schedstat). The kernel splits them into user and system by clock
ticks, so that the split is coarser than the sum: it wants seconds, or several runs.
"""
import os
import time

TICK = os.sysconf("SC_CLK_TCK")


def read_file(path):
    try:
        with open(path) as f:
            return f.read()
    except OSError:
        return ""


def family(root):
    """A process and all that descend from it."""
    found, wanted = [root], [root]
    while wanted:
        pid = wanted.pop()
        for task in _list(f"/proc/{pid}/task"):
            children = [int(x) for x in read_file(f"/proc/{pid}/task/{task}/children").split()]
            found += children
            wanted += children
    return found


def _list(path):
    try:
        return os.listdir(path)
    except OSError:
        return []


def _run_time(pid):
    total = 0
    for task in _list(f"/proc/{pid}/task"):
        fields = read_file(f"/proc/{pid}/task/{task}/schedstat").split()
        total += int(fields[0]) if fields else 0
    return total


class Usage:
    """CPU times in nanoseconds since boot, at one moment."""

    def __init__(self, roots, kernel):
        self.time = time.monotonic()
        self.user = self.system = self.run = 0
        for pid in {p for root in roots for p in family(root)}:
            stat = read_file(f"/proc/{pid}/stat")
            if not stat:
                continue
            fields = stat[stat.rindex(")") + 2:].split()
            self.user += int(fields[11]) * 1e9 / TICK
            self.system += int(fields[12]) * 1e9 / TICK
            self.run += _run_time(pid)
        self.workers = {pid: _run_time(pid) for pid in kernel.workers()}
        self.softirqs = {cpu: _run_time(pid) for cpu, pid in kernel.softirqs.items()}
        self.busy, self.stolen = busy()


class Kernel:
    """The kernel's own threads."""

    def __init__(self):
        names = {int(p): read_file(f"/proc/{p}/comm").strip() for p in _list("/proc") if p.isdigit()}
        self.softirqs = {int(name[10:]): pid for pid, name in names.items() if name.startswith("ksoftirqd/")}
        self._other = {pid for pid, name in names.items() if not name.startswith("kworker/")}

    def workers(self):
        """New ones are made as they are needed, so they are looked for each time."""
        return [int(p) for p in _list("/proc") if p.isdigit() and int(p) not in self._other
                and read_file(f"/proc/{p}/comm").startswith("kworker/")]


def busy():
    """Nanoseconds that all CPUs together were busy, and that the host took."""
    total = stolen = 0
    for line in read_file("/proc/stat").splitlines():
        if line.startswith("cpu") and line[3].isdigit():
            user, nice, system, _, _, irq, softirq, steal = (int(x) for x in line.split()[1:9])
            total += user + nice + system + irq + softirq
            stolen += steal
    return total * 1e9 / TICK, stolen * 1e9 / TICK


def between(begin, end, packets, own):
    """Per packet, and how much others took. own: nanoseconds of the sender and the like."""
    each = 1 / packets if packets else 0
    run = end.run - begin.run
    ticks = (end.user - begin.user) + (end.system - begin.system)
    user = run * (end.user - begin.user) / ticks if ticks else 0
    workers = sum(end.workers.values()) - sum(begin.workers.get(p, 0) for p in end.workers)
    softirq = sum(end.softirqs.values()) - sum(begin.softirqs.values())
    wall = (end.time - begin.time) * 1e9
    others = (end.busy - begin.busy) - run - workers - softirq - own
    return {"user_ns": user * each, "system_ns": (run - user) * each, "kworker_ns": workers * each,
            "ksoftirqd_ns": softirq * each, "cpu_ns": (run + workers) * each, "consumer_cpu": run / wall,
            "others": max(0.0, others / wall), "stolen": (end.stolen - begin.stolen) / wall}


def wait_for_quiet(seconds):
    """Until all CPUs are idle for a quarter of a second, or so long. True: they are."""
    end = time.monotonic() + seconds
    while True:
        begin = busy()[0]
        time.sleep(0.25)
        if busy()[0] - begin <= 0.02e9:
            return True
        if time.monotonic() >= end:
            return False
