"""How fast a consumer works off what waits, with no sender beside it to share the CPUs with."""
import json
import os
import signal
import subprocess
import time

from . import cpu
from .load import Load


class Backlog(Load):
    """`packets` at once, while the consumer's processes stand still; measured from when they go on."""

    def __init__(self, packets, **how):
        super().__init__(seconds=0, train=packets, every=60_000, **how)
        self.packets = packets

    def measure(self, stand, running):
        workers = cpu.family(running.pid())
        quiet = cpu.wait_for_quiet(stand.quiet)
        first = stand.net.arrived()[0]
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        try:
            sent = self._send(stand)
            waiting = self._waiting(stand)
            begin = cpu.Usage([running.pid()], stand.kernel)
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)
        while self._waiting(stand) > 0:
            running.check()
            time.sleep(0.001)
        end = cpu.Usage([running.pid()], stand.kernel)
        time.sleep(0.1)
        lost = sent - (stand.net.arrived()[0] - first)
        seconds = end.time - begin.time
        result = {"consumer": running.consumer.name, "pps": waiting / seconds, "sent": sent, "lost": lost,
                  "quiet": quiet}
        result.update(cpu.between(begin, end, waiting, 0))
        return result

    def _send(self, stand):
        sender = subprocess.run(stand.net.inside("source", *self.sender(stand.build, stand.sender_cpu)),
                                capture_output=True, text=True, timeout=60)
        if sender.returncode:
            raise RuntimeError(sender.stderr.strip())
        return json.loads(sender.stdout)["sent"]

    @staticmethod
    def _waiting(stand):
        return sum(q.waiting for q in stand.net.queues())
