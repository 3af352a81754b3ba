"""The rows of the table: who is measured under which load, and what is claimed of it.

A row has parts, one run each in every repetition. The roles "limit" (a bare loop that does the same) and
"subject" (fettle) are what claims compare, in pairs of the same repetition.

A sender that hands over each packet by itself has as much to do as the consumer, and cannot saturate it. Where
a row wants that, the sender's packets come as super-packets, which the kernel cuts up before a queue without
GSO: the consumer sees the same single packets, and the sender's CPU can offer two or three times as many.
"""
import dataclasses
import statistics

from .backlog import Backlog
from .load import Load
from .tcp import TcpLoad


@dataclasses.dataclass
class Part:
    role: str
    consumer: object
    load: object
    cpus: str = None
    realtime: bool = False  # under SCHED_FIFO


@dataclasses.dataclass
class Claim:
    what: str
    value: object  # of one repetition: results by role -> a number, or None where it has none
    target: float = None
    at_most: bool = True
    unit: str = ""
    middle: object = statistics.median
    pooled: object = None  # of all repetitions -> a number, in place of the middle of their values

    def judge(self, repetitions):
        values = [v for v in map(self.value, repetitions) if v is not None]
        if not values:
            return {"what": self.what, "values": [], "met": None, "target": self.target}
        middle = self.pooled(repetitions) if self.pooled else self.middle(values)
        met = None if self.target is None else middle <= self.target if self.at_most else middle >= self.target
        return {"what": self.what, "unit": self.unit, "values": values, "median": middle, "low": min(values),
                "high": max(values), "target": self.target, "at_most": self.at_most, "met": met}


@dataclasses.dataclass
class Row:
    name: str
    title: str
    parts: object  # context -> [Part]
    claims: list
    skip: object = None  # context -> why it cannot run, or None
    note: str = ""
    repetitions: int = None  # where fewer than asked for are enough
    least: int = 1  # where more than asked for are wanted, if they are more than one


def ratio(key, subject="subject", limit="limit"):
    return lambda rep: rep[subject][key] / rep[limit][key] if rep[limit][key] else None


def own(key, subject="subject"):
    return lambda rep: rep[subject][key]


def user_time(target):
    """By the mean: what clock ticks make of single runs is coarse."""
    return Claim("user time per packet", own("user_ns"), target, unit="ns", middle=statistics.mean)


def added(quantile):
    """Latency over that of plain forwarding, beside what the limit adds; by the medians of all repetitions."""
    def of(repetitions):
        subject, limit, plain = (statistics.median(rep[role]["sink"]["latency_ns"][quantile] for rep in repetitions)
                                 for role in ("subject", "limit", "plain"))
        return (subject - plain) / (limit - plain) if limit > plain else None
    return {"value": lambda rep: of([rep]), "pooled": of}


def unchanged(rep):
    """Packets that passed as they came, of those that were looked at."""
    sink = rep["subject"]["sink"]
    return sink["received"] - sink["changed"] + sink["bad_checksums"]


SIZES = {"64": "64-byte packets", "imix": "IMIX", "1400": "1400-byte packets"}


def others(context, load):
    return [Part(f"other {i}", consumer, load) for i, consumer in enumerate(context.shop.others())]


def flood(context, size):
    """More than a consumer can take."""
    return Load(size, context.options.seconds, super=context.options.super)


def accept_row(size):
    def parts(context):
        load = flood(context, size)
        return [Part("limit", context.shop.bare("accept", "--no-gso"), load),
                Part("subject", context.shop.fettle("accept", "--no-gso"), load), *others(context, load)]
    return Row(f"accept-{size}", f"{SIZES[size]}, all accepted", parts,
               [Claim("CPU per packet, to the bare loop's", ratio("cpu_ns"), 1.05),
                Claim("packets/s, to the bare loop's", ratio("pps"), 0.97, at_most=False),
                user_time(120)])


def change_row(size, rules, name, title, target):
    def parts(context):
        load = flood(context, size)
        return [Part("limit", context.shop.bare("return", "--no-gso"), load),
                Part("subject", context.shop.fettle(rules, "--no-gso"), load), *others(context, load)]
    return Row(name, title, parts,
               [Claim("CPU per packet, to that of the bare loop that returns payloads", ratio("cpu_ns"), target),
                # A queue is flooded and its worker never sleeps, so this says the same the other way about.
                Claim("packets/s, to the same", ratio("pps"), 1 / target, at_most=False),
                user_time(200)])


def right_row():
    """No speed: that what is measured is also right."""
    def parts(context):
        return [Part("subject", context.shop.fettle("change"), Load("imix", 1, sample=1, checksums=True, pps=20000))]
    return Row("right", "every packet changed, each one looked at", parts,
               [Claim("packets unchanged or with a wrong checksum", unchanged, 0),
                Claim("packets lost, reordered or doubled",
                      lambda rep: (rep["subject"]["lost"] + rep["subject"]["sink"]["reordered"]
                                   + rep["subject"]["sink"]["duplicates"]), 0)], repetitions=1)


def latency_row(name, title, limit, subject, targets, skip=None, realtime=False):
    """Under SCHED_FIFO, what is slowest in a hundred is the consumer's doing and not that of the machine's own
    threads. Who polls would not let those run at all."""
    def parts(context):
        load = Load("64", context.options.seconds, sample=4, pps=context.maximum() / 10)
        out = [Part("plain", context.shop.none(), load), Part("limit", limit(context), load),
               Part("subject", subject(context), load), *others(context, load)]
        return [dataclasses.replace(part, realtime=realtime) for part in out]
    claims = [Claim(f"latency added, {quantile}, to what the bare loop adds", target=target, **added(quantile))
              for quantile, target in targets]
    note = "all under SCHED_FIFO; by the medians of the repetitions" if realtime else ""
    return Row(name, title, parts, claims, skip, note, least=7)


OVERLOAD = 1.55  # of what was measured just before, so that it is 1.5 of what is reached meanwhile, too


def overload_row():
    def parts(context):
        load = Load("64", context.options.seconds, pps=OVERLOAD * context.greatest(), super=40)
        return [*(Part(f"limit, {bare.name}", bare, load) for bare in context.bare_loops()),
                Part("subject", context.shop.fettle("accept", "--no-gso"), load), *others(context, load)]

    def best(rep, key="pps"):
        return rep["subject"][key] / max(r["pps"] for role, r in rep.items() if role.startswith("limit"))
    return Row("overload", "1.5 times what the best bare loop can do", parts,
               [Claim("packets/s, to the best bare loop's", best, 0.95, at_most=False),
                Claim("offered, to the best bare loop's packets/s", lambda rep: best(rep, "sent_pps"), 1.5,
                      at_most=False)])


def burst_row():
    def parts(context):
        load = Load("64", 2, sample=1, train=4096, every=100)
        return [Part("limit", context.shop.bare("accept", length=4096), load),
                Part("subject", context.shop.fettle("accept"), load), *others(context, load)]
    return Row("burst", "4,096 packets at once, ten times a second", parts, [Claim("packets lost", own("lost"), 0)])


def recovery_time(rep):
    """Milliseconds from the load's fall until latency is usual for 50 ms on end: within twice the usual median."""
    run = rep["subject"]
    fall = run["phases"][0]["end_ns"]
    after = [b for b in run["sink"]["timeline"] if b["begin_ns"] >= fall]
    if len(after) < 10:
        return None
    usual = statistics.median(b["latency_ns"]["p50"] for b in after[len(after) // 2:])
    good = [b["latency_ns"]["p50"] <= 2 * usual + 20_000 for b in after]
    for i in range(len(good) - 4):
        if all(good[i:i + 5]):
            return (after[i]["begin_ns"] - fall) / 1e6
    return (after[-1]["begin_ns"] - fall) / 1e6


def recovery_row():
    def parts(context):
        rate = context.greatest()
        load = Load("64", 2.5, sample=1, timeline=10, super=16,
                    profile=f"{OVERLOAD * rate:.0f}:1,{rate / 10:.0f}:2")
        return [Part("limit", context.shop.bare("accept", "--no-gso"), load),
                Part("subject", context.shop.fettle("accept", "--no-gso"), load), *others(context, load)]
    return Row("recovery", "overload for a second, then a tenth", parts,
               [Claim("until latency is usual again", recovery_time, 100, unit="ms")])


def gigabit_row():
    def parts(context):
        load = Load("imix", context.options.seconds, sources=1024, flows=1024, sample=8, mbps=1000, super=16, burst=128,
                    sleep=True, pinned=False)
        cpus = f"{context.options.cpu},{context.options.sender_cpu}"
        # Each worker shares its CPU with the sender or its softirqs, and has to wait for it now and then.
        patient = ("--queue-length", "16384", "--overload-length", "16384")
        return [Part("subject", context.shop.fettle("change", "--no-gso", *patient, queues=2, cpus=cpus), load, cpus)]
    return Row("gigabit", "1 Gbit/s of IMIX, all changed, two queues on two CPUs, fail-closed", parts,
               [Claim("packets lost", own("lost"), 0),
                Claim("Mbit/s", own("mbps"), 990, at_most=False),
                Claim("packets unchanged", unchanged, 0)])


def tcp_row():
    def parts(context):
        load = TcpLoad(context.options.seconds, 46)
        return [Part("plain", context.shop.none(), load), Part("limit", context.shop.bare("dscp"), load),
                Part("subject", context.shop.fettle("dscp"), load)]
    return Row("tcp", "one TCP stream with GSO, the DSCP of every super-packet changed", parts,
               [Claim("Gbit/s, to the bare loop's that does the same", ratio("gbps"), 0.95, at_most=False),
                Claim("Gbit/s", own("gbps")),
                Claim("share of the bytes that left with the DSCP", own("marked_share"), 0.99, at_most=False),
                Claim("bytes per queued packet, acknowledgements among them", own("bytes_per_packet"))])


def threads_row(name, title, rules, target):
    """Several flows to a batch, since a flow's packets stay with one thread. What waits already is worked off: a sender
    would take the CPU that the second thread is given."""
    def parts(context):
        load = Backlog(30_000, size="64", flows=64)
        cpus = f"{context.options.cpu},{context.options.sender_cpu}"

        def fettle(threads):
            return context.shop.fettle(rules, "--threads", threads, "--queue-length", "32768", "--overload-length",
                                       "32768", cpus=cpus, name=f"fettle, --threads {threads}")
        return [Part("limit", fettle("1"), load, cpus), Part("subject", fettle("2"), load, cpus)]
    return Row(name, title, parts, [Claim("packets/s, to one thread's", ratio("pps"), target, at_most=False)],
               lacks("--threads"))


def lacks(flag):
    return lambda context: None if context.shop.fettle_knows(flag) else f"this fettle has no {flag}"


ROWS = [
    right_row(),
    *(accept_row(size) for size in SIZES),
    *(change_row(size, "change", f"change-{size}", f"{SIZES[size]}, all changed, 10 rules", 1.08) for size in SIZES),
    change_row("imix", "change-10k", "change-10k", "IMIX, all changed, 10,000 rules, a million addresses", 1.12),
    latency_row("latency", "latency at a tenth of the greatest rate", lambda c: c.shop.bare("accept"),
                lambda c: c.shop.fettle("accept"), (("p50", 1.1), ("p99", 1.2)), realtime=True),
    latency_row("latency-change", "the same, all changed", lambda c: c.shop.bare("return"),
                lambda c: c.shop.fettle("change"), (("p50", 1.1), ("p99", 1.2)), realtime=True),
    latency_row("busy-poll", "the same, polling", lambda c: c.shop.bare("accept", "--poll", name="bare loop, polling"),
                lambda c: c.shop.fettle("accept", "--busy-poll"), (("p50", 1.3),), lacks("--busy-poll")),
    tcp_row(), burst_row(), overload_row(), recovery_row(), gigabit_row(),
    threads_row("threads-heavy", "a heavy rule set, one thread and two", "heavy", 1.6),
    threads_row("threads-light", "a light rule set, one thread and two", "change", 0.95),
]
