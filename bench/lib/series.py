"""Runs rows: repetitions, parts in turn, disturbed runs again."""
import contextlib
import fcntl
import sys
import time

from . import report
from .load import Load


class Context:
    """What rows need to know."""

    def __init__(self, stand, shop, options):
        self.stand, self.shop, self.options = stand, shop, options
        self._maximum = None

    def maximum(self):
        """Packets a second that the bare loop accepts, measured when first asked for."""
        if self._maximum is None:
            say("the greatest rate")
            bare = self.shop.bare("accept", "--no-gso")
            runs = [self.stand.run(bare, Load("64", 1.5, super=16)) for _ in range(3)]
            self._maximum = report.median(runs, "pps")
        return self._maximum

    def greatest(self):
        """The most packets a second that any bare loop of the row `overload` reaches now. Measured at each call: the
        machine changes its pace by more than what is claimed."""
        say("the greatest rate at any setting")
        return max(self.stand.run(bare, Load("64", 1, super=40))["pps"] for bare in self.bare_loops())

    def bare_loops(self):
        """At the settings that an overload is measured with."""
        settings = (("accept", 64, 256), ("batch", 16, 256), ("batch", 64, 256), ("batch", 64, 1024))
        return [self.shop.bare(mode, "--no-gso", batch=batch, length=length, name=f"bare loop, {mode} {batch}, {length}")
                for mode, batch, length in settings]


def say(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


@contextlib.contextmanager
def turn(lock):
    """Others on this machine who measure take turns by the same file."""
    if not lock:
        yield
        return
    with open(lock, "a") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def undisturbed(context, part, measure):
    """A run in which others took little CPU; the quietest of a few."""
    best = None
    for _ in range(context.options.tries):
        result = measure(part)
        if best is None or result["others"] + result["stolen"] < best["others"] + best["stolen"]:
            best = result
        if best["others"] + best["stolen"] <= context.options.noise:
            break
    return best


def run_row(context, row, progress):
    why = row.skip(context) if row.skip else None
    out = {"name": row.name, "title": row.title, "note": row.note}
    if why:
        return {**out, "skipped": why}
    asked = context.options.reps
    repetitions = 1 if asked == 1 else min(max(asked, row.least), row.repetitions or max(asked, row.least))
    reps = []
    for rep in range(repetitions):
        with turn(context.options.lock):
            parts = row.parts(context)
            results = {}
            # Each second time in the other order, so that a drift of the machine's speed cancels.
            for part in parts if rep % 2 == 0 else reversed(parts):
                say(f"{progress}  {row.name}  {rep + 1}/{repetitions}  {part.consumer.name}")
                results[part.role] = undisturbed(
                    context, part, lambda p: context.stand.run(p.consumer, p.load, p.cpus, p.realtime))
            reps.append(results)
        time.sleep(0.01)  # whoever waits for the lock gets it
    out["parts"] = [{"role": part.role, "name": part.consumer.name, "runs": [rep[part.role] for rep in reps],
                     "summary": report.summary([rep[part.role] for rep in reps])} for part in parts]
    out["claims"] = [claim.judge(reps) for claim in row.claims]
    return out
