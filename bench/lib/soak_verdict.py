"""What a soak claims, each claim with what was found and what was to be.

A kill leaves at most the packet that its worker had in hand: unchanged (--on-crash accept), or, of a TCP stream that is
edited, dropped and sent again. It may be counted or not, hence "kills" as the bound of several counters. A worker that
dies between counting a batch and noting that the batch is answered has it counted again by its successor: hence the
batch.
The watchdog kills, too, where the machine leaves a worker without a CPU for so long; such deaths count as kills do.
"""
import statistics

from .soak_fettle import BATCH, QUEUES, WATCHDOG
from .soak_network import CLASSES, HOSTILE_QUEUE
from .soak_rules import LOSS, RATES

PORTS = {"keep-alive": "1331", "refused": "1332", "lossy": "1333", "delayed": "1334"}
MEMORY = 256  # kB that a process may grow by while it is watched
SHORT = 5  # minutes; less tells nothing about slow growth
TOTAL = 4096  # kB, of some 150,000: pages that are copied at some forks and not at others
MEMORY_SHORT = 2048  # kB: there memory is still being filled for the first time


class Claims(list):
    def between(self, what, found, low, high, unit=""):
        self.append({"what": what, "found": found, "low": low, "high": high, "unit": unit,
                     "met": found is not None and low <= found <= high})

    def equal(self, what, found, expected, unit=""):
        self.between(what, found, expected, expected, unit)


def deaths(result):
    return result["kills"] + len(result["stood_still"])


def unexplained(result):
    """Workers that the watchdog killed though the machine gave others of their like a CPU all the time."""
    late = result["says"]["pulse"]["late"]
    return [at for at in result["stood_still"] if not any(b < at and e > at - WATCHDOG / 1000 - 1 for b, e in late)]


def claims(result):
    out = Claims()
    _datagrams(out, result)
    _streams(out, result)
    _counters(out, result)
    _counted(out, result["counted"])
    _queues(out, result)
    _processes(out, result)
    return list(out)


# ---- Traffic -----------------------------------------------------------------------------------

def _both(says, what, key):
    return says[f"{what}4"][key] + says[f"{what}6"][key]


def _undone(result):
    """By class: in drained times, and else."""
    drained = {name: sum(d["undone"][name] for d in result["drained"]) for name in CLASSES}
    return drained, {name: result["counts"][f"{name}.undone"] - drained[name] for name in CLASSES}


def _datagrams(out, result):
    says, counts = result["says"], result["counts"]
    sent = _both(says, "sent", "sent")
    out.equal("numbered datagrams lost", sent - _both(says, "received", "distinct"), 0)
    for key, what in (("duplicated", "twice"), ("corrupt", "damaged"), ("both", "changed by both rule sets")):
        out.equal(f"numbered datagrams {what}", _both(says, "received", key), 0)
    out.equal("numbered datagrams unchanged, beside those that the firewall saw pass unanswered",
              _both(says, "received", "none"), counts["numbered.undone"])
    for name, key in (("one", "first"), ("two", "second")):
        out.equal(f"DSCP and TTL of set {name}, beside its payloads", counts[f"header {name}"],
                  _both(says, "received", key))
    keep_sent, keep = says["keep-alives sent"], says["keep-alives received"]
    for name in ("keep-alive", "delayed"):
        out.equal(f"{name} datagrams lost", keep_sent[PORTS[name]] - keep[PORTS[name]]["distinct"], 0)
    out.equal("small datagrams twice", sum(of["twice"] for port, of in keep.items() if port in PORTS.values()), 0)
    out.equal("small datagrams wrong", sum(of["wrong"] for port, of in keep.items() if port in PORTS.values()), 0)
    out.equal("keep-alives unchanged, beside those that passed unanswered", keep[PORTS["keep-alive"]]["unchanged"],
              counts["keep-alive.undone"])
    out.equal("refused datagrams that arrive, beside those that passed unanswered", keep[PORTS["refused"]]["distinct"],
              counts["refused.undone"])
    met_rule = keep_sent[PORTS["lossy"]] - counts["lossy.undone"]
    lost = keep_sent[PORTS["lossy"]] - keep[PORTS["lossy"]]["distinct"]
    chance = 5 * (met_rule * LOSS * (1 - LOSS)) ** 0.5  # five standard deviations
    out.between(f"lossy datagrams lost, of {met_rule}", lost, round(met_rule * LOSS - chance),
                round(met_rule * LOSS + chance))
    out.equal("echo requests unanswered", keep_sent["echoes"] - keep_sent["answers"], 0)
    _, undone = _undone(result)
    waiting = undone.pop("delayed")
    out.between("packets that passed unanswered outside drained times, one a kill at most", sum(undone.values()), 0,
                deaths(result))
    # A rate of 100/s, 11 ms at most, and Poisson beside it: 10 at a time would be a marvel.
    out.between("delayed ones that passed so, those that waited as a worker died", waiting, 0, 10 * deaths(result))


def _streams(out, result):
    """Connections across a drained time are edited for a part of their bytes; they are not judged."""
    says = result["says"]
    for name in ("transfers", "requests"):
        judged = [f for f in says[name]["failures"] if not any(
            f[0] <= d["end"] and f[1] >= d["begin"] for d in result["drained"])]
        excused = len(says[name]["failures"]) - len(judged)
        out.equal(f"TCP {name} wrong, of {says[name]['done']} ({excused} across drained times apart)", len(judged), 0)
    out.between("SYNs with a large MSS that arrive, of those that passed unanswered", result["counts"]["large mss"], 0,
                result["counts"]["tcp.undone"])


# ---- Counters ----------------------------------------------------------------------------------

def _counters(out, result):
    says, counts, kills = result["says"], result["counts"], deaths(result)
    out.equal("numbered datagrams, as the firewall counts them", counts["numbered"], _both(says, "sent", "sent"))
    # All that was counted until the last drain, but for the counted end.
    end = result["counted"]["counts"]

    def kernel(suffix):
        return sum(counts[name + suffix] + end[name + suffix] for name in CLASSES)

    def fettle(key):
        return sum(s[str(q)][key] for s in result["summaries"] for q in QUEUES)

    def lost(key):
        return sum(q["loss"][key] for s in result["statuses"] for q in s["queues"] if q["queue"] in QUEUES)
    given_up = lost("given_up")
    drained = sum(_undone(result)[0].values())
    out.between("packets in hand of workers that died", given_up, 0, kills)
    # Unanswered ones of drained times were never read, or let go unread at the end.
    out.between("packets read, beside the firewall's count", fettle("packets"), kernel("") - drained - kills,
                kernel("") - drained + BATCH * kills)
    out.between("packets dropped, beside the firewall's count", fettle("dropped"),
                kernel("") - kernel(".done") - kernel(".undone") - kills,
                kernel("") - kernel(".done") - kernel(".undone") + kills)
    out.between("packets accepted, beside the firewall's count", fettle("accepted"), kernel(".done") - kills,
                kernel(".done") + kills)
    out.between("restarts", sum(s[str(q)]["restarts"] for s in result["summaries"] for q in (*QUEUES, HOSTILE_QUEUE)),
                result["kills"], kills)
    read = {q["queue"]: q["traffic"]["packets"] for q in result["status_at_end"]["queues"]}
    last_restarts = sum(q["worker"]["restarts"] for q in result["status_at_end"]["queues"])
    queued = sum(q["last_id"] for q in result["queues_at_end"].values())
    out.between("packets read since the queues were bound, beside the kernel's ids", sum(read.values()), queued,
                queued + BATCH * last_restarts)
    alone = unexplained(result)
    apart = len(result["stood_still"]) - len(alone)
    out.equal(f"workers that stood still by themselves ({apart} with the whole machine apart)", len(alone), 0)
    out.equal("packets left in the queues at an end", result["left"], 0)
    for key in ("queue_full", "socket_full", "full_looks", "unreadable", "refused_verdicts"):
        out.equal(f"loss: {key}", sum(q["loss"][key] for s in result["statuses"] for q in s["queues"]), 0)


def _counted(out, end):
    """The counted end: no event, so everything is exact."""
    hits = {r["name"]: r["hits"] - next(b["hits"] for b in end["before"]["rules"] if b["name"] == r["name"])
            for r in end["after"]["rules"]}
    misses = sum(r["misses"] for r in end["after"]["rules"] if not r["name"].startswith("hostile"))
    before = sum(r["misses"] for r in end["before"]["rules"] if not r["name"].startswith("hostile"))
    sent = {name: end["says"]["keep-alives sent"][port] for name, port in PORTS.items()}
    sent |= {"numbered": _both(end["says"], "sent", "sent"), "echo": 2 * end["says"]["keep-alives sent"]["echoes"]}
    for name, number in sent.items():
        out.equal(f"counted end: hits of rule {name}", hits[name], number)
    # With what the connections before still had to say.
    out.equal("counted end: hits of rule answered, beside the firewall's count", hits["answered"],
              sum(end["counts"][name] for name in CLASSES))
    out.equal("counted end: misses", misses - before, 0)
    changed = sum(a["traffic"]["changed"] - b["traffic"]["changed"] for a, b in
                  zip(end["after"]["queues"], end["before"]["queues"]) if a["queue"] in QUEUES)
    exact = sent["numbered"] + sent["keep-alive"] + sent["echo"]
    out.between("counted end: packets changed", changed, exact, exact + end["counts"]["tcp"])
    received = _both(end["says"], "received", "first" if end["set"] == "one" else "second")
    out.equal("counted end: numbered datagrams that arrive changed", received, sent["numbered"])


# ---- What has to be flat -----------------------------------------------------------------------

def _queues(out, result):
    out.equal("packets that wait at the end", sum(q["waiting"] for q in result["queues_at_end"].values()), 0)
    samples = [s for s in result["samples"] if s["act"] == "calm"]
    waiting = [sum(q["waiting"] for q in s["queues"].values()) for s in samples]
    # A short soak is a test among others, on a machine that may have other things to do.
    most = 5000 if result["options"]["minutes"] < SHORT else 100
    out.between("packets that wait, median of the calm", statistics.median(waiting) if waiting else None, 0, most)
    drops = max((q["full"] + q["socket"] for s in result["samples"] for q in s["queues"].values()), default=None)
    out.equal("packets that the kernel dropped at a full queue or socket", drops, 0)


def growth(points):
    """By Theil and Sen: the median of all slopes between two points, times the time between first and last."""
    points = points[::max(1, len(points) // 200)]
    slopes = [(b - a) / (u - t) for i, (t, a) in enumerate(points) for u, b in points[i + 1:] if u > t]
    return statistics.median(slopes) * (points[-1][0] - points[0][0]) if slopes else None


def watched(samples, role, acts):
    """Samples of the process that had the role at the end of these acts, the first fifth of them left out."""
    own = [(s["t"], s["processes"][role]) for s in samples if s["act"] in acts and role in s["processes"]]
    own = [(t, p) for t, p in own if p["pid"] == own[-1][1]["pid"]]
    return own[len(own) // 5:]


def _processes(out, result):
    samples = result["samples"]
    workers = [f"worker {q}" for q in (*QUEUES, HOSTILE_QUEUE)]
    short = result["options"]["minutes"] < SHORT
    limit = MEMORY_SHORT if short else MEMORY
    for role, acts in [("supervisor", ("one supervisor", "calm"))] + [(w, ("calm",)) for w in workers]:
        own = watched(samples, role, acts)
        if len(own) < 4:
            out.between(f"{role}: samples of one process", len(own), 4, 1 << 30)
            continue
        seconds = own[-1][0] - own[0][0]
        grown = growth([(t, p["anonymous"]) for t, p in own])
        out.between(f"{role}: growth of anonymous memory in {seconds:.0f} s", round(grown, 1), -1 << 20, limit, "kB")
    steady = [s for s in samples if s.get("settled") and len(s["processes"]) == 1 + len(workers)]
    third = max(1, len(steady) // 3)
    first, last = steady[:third], steady[-third:]
    # A process's own share says little: it depends on who shares pages that forks have copied.
    total = [statistics.median(sum(p["pss"] for p in s["processes"].values()) for s in part) for part in (first, last)]
    out.between("memory of all processes (PSS), last third against first", round(total[1] - total[0]), -1 << 20, TOTAL,
                "kB")
    for role in ["supervisor", *workers]:
        for key, what in (("descriptors", "descriptors"), ("threads", "threads"), ("segments", "shared segments")):
            out.equal(f"{role}: {what}, last third as the first", *(
                statistics.median_low(s["processes"][role][key] for s in part) for part in (last, first)))
    out.equal("exit statuses of fettle that are not 0", sum(bool(e) for e in result["exits"]), 0)
    out.equal("control requests malformed, refused or cut off",
              sum(result["status_at_end"]["control"][k] for k in ("malformed", "refused", "cut_off")), 0)
    assert set(RATES) == set(map(int, PORTS.values()))
