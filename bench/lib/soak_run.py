"""The course of a soak: warm-up, storm, one supervisor, calm, and a counted end."""
import contextlib
import os
import random
import sys
import time

from .soak_fettle import Fettle
from .soak_network import CLASSES, SoakNetwork
from .soak_sample import Sampler
from .soak_traffic import Traffic

EACH = ("reload", "kill", "fault", "stop", "takeover", "drain")
DECKS = {"storm": EACH + ("reload", "reload", "kill", "kill"), "one supervisor": ("reload", "reload", "kill", "kill",
                                                                                   "fault", "stop"), "calm": ()}
SHARES = {"storm": 0.5, "one supervisor": 0.25, "calm": 0.25}
WARM_UP = 2.0
COUNTED = 20000  # datagrams of the counted end


class Soak:
    def __init__(self, options, program, folder):
        self.options, self.folder = options, folder
        self.chance = random.Random(options.seed)
        self.network = SoakNetwork()
        self.fettle = Fettle(self.network, program, folder, self.chance)
        self.traffic = Traffic(self.network, options.build, folder, options.rate)
        self.drained, self.said = [], 0.0
        self.begin, self.sampler, self.next_hostile = 0.0, None, 0.0
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        with self._stack as stack:
            for part in (self.network, self.fettle, self.traffic):
                stack.enter_context(part)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *why):
        self._say("")
        return self._stack.__exit__(*why)

    def run(self):
        self.fettle.write_rules("one")
        self.fettle.start()
        self.traffic.start_receivers()
        self.traffic.start_senders()
        self.sampler = Sampler(self.network, self.fettle, self.traffic)
        self.begin = self.next_hostile = time.monotonic()
        self.sampler.start()
        self._pass_time(self.begin + WARM_UP)
        end = self.begin + WARM_UP
        for act, share in SHARES.items():
            self.sampler.act = act
            end += share * (self.options.minutes * 60 - WARM_UP)
            self._play(DECKS[act], end)
        self.sampler.act = "end"
        self.traffic.stop_senders()
        self._await_empty_queues()
        time.sleep(1.2)  # a sample of what is left
        self.sampler.stop()
        result = self._result()
        result["counted"] = self._counted_end()
        self.fettle.end()
        result["stood_still"] = self.fettle.stood_still()
        result["left"] = sum(map(int, self.fettle.told(r"(\d+) packets were left")))
        return result | {"statuses": self.fettle.statuses, "summaries": self.fettle.summaries,
                         "exits": self.fettle.exits}

    # ---- the acts ----------------------------------------------------------------------------

    def _play(self, deck, end):
        """Events in a shuffled order, so that each comes as often as the deck says."""
        short = self.options.minutes < 3
        waiting, cards = (0.4, 1.5) if short else (1, 5), []
        first = [kind for kind in EACH if kind in deck]  # of each, one at least
        while time.monotonic() < end:
            self._pass_time(min(end, time.monotonic() + self.chance.uniform(*waiting)))
            if not deck or time.monotonic() > end - 2:
                continue
            if not cards:
                cards, first = list(first or deck), None
                self.chance.shuffle(cards)
            self._happen(cards.pop())

    def _happen(self, kind):
        if kind != "drain":
            self.fettle.happen(kind)
            return
        before = self._undone()
        begin, end = self.fettle.happen(kind)
        after = self._undone()
        self.drained.append({"begin": begin, "end": end, "undone": {k: after[k] - before[k] for k in after}})

    def _undone(self):
        counts = self.network.counts()
        return {name: counts[f"{name}.undone"] for name in CLASSES}

    def _pass_time(self, until):
        while (now := time.monotonic()) < until:
            self.traffic.check()
            if now >= self.next_hostile and self.traffic.burst_of_hostile(4000, self.chance.randrange(1 << 30)):
                self.next_hostile = now + self.chance.uniform(5, 15)
            self._progress(now)
            time.sleep(max(0.0, min(0.2, until - time.monotonic())))

    def _await_empty_queues(self):
        end = time.monotonic() + 5
        while any(q.waiting for q in self.network.queues()) and time.monotonic() < end:
            time.sleep(0.02)

    # ---- the counted end ---------------------------------------------------------------------

    def _counted_end(self):
        """Traffic whose every packet has to be in the rules' counters, once, after all that went before."""
        folder = os.path.join(self.folder, "counted")
        os.makedirs(folder, exist_ok=True)
        with Traffic(self.network, self.options.build, folder, 10000) as traffic:
            traffic.start_receivers()
            status, counts = self.fettle.await_settled(), self.network.counts()
            traffic.start_numbered("count=%d" % (COUNTED // 2))
            traffic.start_keep_alives()
            for name in ("sent4", "sent6"):
                traffic.programs[name].wait()
            traffic.stop_senders()
            self._await_empty_queues()
            traffic.stop_receivers()
            after, counts_after = self.fettle.await_settled(), self.network.counts()
            return {"says": traffic.says(), "set": self.fettle.set, "before": status, "after": after,
                    "counts": {k: counts_after[k] - counts[k] for k in counts_after}}

    # ---- what is told ------------------------------------------------------------------------

    def _result(self):
        self.traffic.stop_receivers()
        return {"begin": self.begin, "samples": self.sampler.samples, "says": self.traffic.says(),
                "events": self.fettle.events, "kills": self.fettle.kills, "drained": self.drained,
                "counts": self.network.counts(), "hostile_sent": self.traffic.hostile_sent, "asked": self.sampler.asked,
                "queues_at_end": {q.number: {"waiting": q.waiting, "last_id": q.last_id}
                                  for q in self.network.queues()}, "status_at_end": self.fettle.settled()}

    def _progress(self, now):
        samples = self.sampler.samples
        terminal = sys.stdout.isatty()
        if len(samples) < 3 or now < self.said + (0.5 if terminal else 60):
            return
        self.said = now
        first, last = (s for s in samples[-3::2])
        rate = {k: (last["traffic"][k] - first["traffic"][k]) / (last["t"] - first["t"]) for k in ("sent", "received")}
        kinds = [kind for _, _, kind in self.fettle.events]
        events = ", ".join(f"{kinds.count(kind)} {kind}" for kind in EACH if kind in kinds) or "no events"
        passed, done = now - self.begin, last["traffic"]
        self._say(f"{int(passed) // 60:3}:{int(passed) % 60:02} of {self.options.minutes:g} min, {self.sampler.act}: "
                  f"sent {rate['sent']:.0f}/s, received {rate['received']:.0f}/s, {done['transfers']} transfers, "
                  f"{done['requests']} requests; {events}")

    @staticmethod
    def _say(text):
        if sys.stdout.isatty():
            print(f"\r\x1b[K{text}", end="", flush=True)
        elif text:
            print(text, flush=True)
