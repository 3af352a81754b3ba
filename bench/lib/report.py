"""Tables for people, JSON for programs."""
import datetime
import os
import platform
import re
import statistics
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def machine():
    """What a figure has to be read with."""
    def git(*words):
        return subprocess.run(("git", "-C", ROOT, *words), capture_output=True, text=True).stdout.strip()
    with open("/proc/cpuinfo") as f:
        model = re.search(r"model name\s*: (.*)", f.read())
    changed = git("status", "--porcelain", "--untracked-files=no")
    return {"kernel": platform.release(), "cpu": model[1] if model else platform.machine(), "cpus": os.cpu_count(),
            "date": datetime.date.today().isoformat(),
            "commit": (git("rev-parse", "--short", "HEAD") or "unknown") + ("+changes" if changed else "")}


def median(runs, key):
    values = [r[key] for r in runs if r.get(key) is not None]
    return statistics.median(values) if values else 0


def summary(runs):
    """Medians of one part's runs; user and system by the mean, because ticks are coarse."""
    out = {key: median(runs, key) for key in ("pps", "mbps", "cpu_ns", "kworker_ns", "ksoftirqd_ns", "lost", "sent",
                                              "others", "gbps", "queue_full", "socket_full")}
    for key in ("user_ns", "system_ns"):
        out[key] = statistics.mean(r[key] for r in runs)
    latencies = [r["sink"]["latency_ns"] for r in runs if r.get("sink")]
    for quantile in ("p50", "p99", "p99.9"):
        out[quantile] = statistics.median(x[quantile] for x in latencies) / 1e3 if latencies else None
    return out


HEAD = ("consumer", "Gbit/s", "kpps", "user", "system", "kworker", "ns/packet", "p50 us", "p99 us", "p99.9 us", "lost")


def part_cells(name, s):
    def time(value):
        return "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.1f}"
    times = (f"{s[key]:.0f}" for key in ("user_ns", "system_ns", "kworker_ns", "cpu_ns"))
    return (name, f"{s['gbps']:.2f}" if s["gbps"] else "-", f"{s['pps'] / 1e3:.0f}", *times,
            time(s["p50"]), time(s["p99"]), time(s["p99.9"]), f"{s['lost']:.0f}")


def aligned(rows):
    """First column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))]).rstrip()
            for row in rows]


def number(value):
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2f}"


def claim_line(claim):
    if not claim["values"]:
        return f"no value     {claim['what']}"
    verdict = {None: "           ", True: "met        ", False: "NOT MET    "}[claim["met"]]
    spread = f" ({number(claim['low'])}-{number(claim['high'])})" if len(claim["values"]) > 1 else ""
    target = "" if claim["target"] is None else \
        f", target {'<=' if claim['at_most'] else '>='} {number(claim['target'])}"
    unit = f" {claim['unit']}" if claim["unit"] else ""
    return f"{verdict}  {claim['what']}: {number(claim['median'])}{unit}{spread}{target}"


def show_row(row):
    """Lines for one row of the JSON."""
    out = ["", f"{row['name']}: {row['title']}"]
    if row.get("skipped"):
        return out + [f"  skipped: {row['skipped']}"]
    if row.get("note"):
        out.append(f"  ({row['note']})")
    others = max(p["summary"]["others"] for p in row["parts"])
    if others > 0.05:
        out.append(f"  (disturbed: others took {others:.2f} CPUs meanwhile)")
    cells = [HEAD] + [part_cells(p["name"], p["summary"]) for p in row["parts"]]
    keep = [i for i in range(len(HEAD)) if 1 < i < 7 or i == 0 or any(c[i] not in ("-", "0") for c in cells[1:])]
    out += ["  " + line for line in aligned([[c[i] for i in keep] for c in cells])]
    return out + ["  " + claim_line(claim) for claim in row["claims"]]


def markdown(result):
    """Everything as tables for bench/README.md: the claims, then who did what under which load."""
    machine = result["machine"]
    options = result["options"]
    out = [f"Linux {machine['kernel']}, {machine['cpus']} CPUs ({machine['cpu']}), {machine['date']}, commit "
           f"{machine['commit']}; {options['reps']} repetitions of {options['seconds']:g} s.", "",
           "| row | claim | median | spread | target | |", "| --- | --- | --: | --: | --: | --- |"]
    for row in result["rows"]:
        for claim in row.get("claims", ()):
            if not claim["values"]:
                continue
            sign = "" if claim["target"] is None else f"{'≤' if claim['at_most'] else '≥'} {number(claim['target'])}"
            met = {None: "", True: "met", False: "**missed**"}[claim["met"]]
            unit = f" {claim['unit']}" if claim["unit"] else ""
            out.append(f"| {row['name']} | {claim['what']} | {number(claim['median'])}{unit} | "
                       f"{number(claim['low'])}-{number(claim['high'])} | {sign} | {met} |")
    out += ["", f"| row | {' | '.join(HEAD)} | others |", f"| --- | --- |{' --: |' * len(HEAD)}"]
    for row in result["rows"]:
        for part in row.get("parts", ()):
            s = part["summary"]
            out.append(f"| {row['name']} | {' | '.join(part_cells(part['name'], s))} | {s['others']:.2f} |")
    return "\n".join(out) + "\n"
