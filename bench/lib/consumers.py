"""What answers the queue: fettle, the bare loop, nothing, or a command line that the user gave."""
import os
import shlex
import signal
import subprocess
import tempfile
import time


class Consumer:
    def __init__(self, name, command, queues=1):
        self.name, self.command, self.queues = name, command, queues


class Shop:
    """Makes consumers with the same settings."""

    def __init__(self, build, rules, options):
        self.build, self.rules, self.options = build, rules, options
        self.fettle_path = os.environ.get("FETTLE", f"{build}/workers/fettle")
        self._help = None

    def fettle_knows(self, flag):
        if self._help is None:
            self._help = subprocess.run((self.fettle_path, "run", "--help"), capture_output=True, text=True).stdout
        return flag in self._help

    def bare(self, mode, *flags, length=None, batch=None, name=None):
        options = self.options
        return Consumer(name or f"bare loop, {mode}",
                        [f"{self.build}/bench/bare_loop", "--mode", mode, "--queue-length",
                         str(length or options.queue_length), "--batch", str(batch or options.batch), *flags])

    def fettle(self, rules, *flags, queues=1, cpus=None, name="fettle"):
        options = self.options
        balance = "0" if queues == 1 else f"0:{queues - 1}"
        path = self.rules.path(rules)
        command = [self.fettle_path, "run", "--rules", path, "--queue-balance", balance, "--fail-closed", *flags]
        if self.fettle_knows("--control"):  # the default place may be another one's
            command += ["--control", os.path.join(os.path.dirname(path), "control")]
        if options.fettle_queue_length:
            command += ["--queue-length", str(options.fettle_queue_length)]
        if options.fettle_batch:
            command += ["--batch", str(options.fettle_batch)]
        command += ["--cpus", cpus if cpus is not None else str(options.cpu)]
        return Consumer(name, command, queues)

    def others(self):
        """Of --consumer NAME=COMMAND."""
        return [Consumer(*text.split("=", 1)) for text in self.options.consumer]

    @staticmethod
    def none():
        return Consumer("no queue", None, 0)


class Died(RuntimeError):
    pass


class Running:
    """A consumer in the router's namespace; use with `with`. Ends what it started, its whole session."""

    def __init__(self, network, consumer, cpus, realtime=False):
        self.network, self.consumer, self.cpus, self.realtime = network, consumer, cpus, realtime
        self.process, self.log = None, None

    def __enter__(self):
        if self.consumer.command is None:
            return self
        try:
            self._start()
        except BaseException:  # a signal's, too
            self.__exit__()
            raise
        return self

    def _start(self):
        command = self.consumer.command
        if isinstance(command, str):
            command = shlex.split(command)
        self.log = tempfile.TemporaryFile("w+")
        policy = ("chrt", "--fifo", "1") if self.realtime else ()
        self.process = subprocess.Popen(
            self.network.inside("router", *policy, "taskset", "-c", self.cpus, *command), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=self.log, start_new_session=True)
        end = time.monotonic() + 30
        while len(self.network.queues()) < self.consumer.queues:
            if self.process.poll() is not None or time.monotonic() > end:
                raise Died(f"{self.consumer.name} bound no queue: {self.text() or command}")
            time.sleep(0.02)
        time.sleep(0.2)

    def __exit__(self, *_):
        if self.process is None:
            return
        for number, patience in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            if self.process.poll() is None or number == signal.SIGKILL:
                try:
                    os.killpg(self.process.pid, number)
                except ProcessLookupError:
                    pass
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                continue
        end = time.monotonic() + 5
        while self.network.queues() and time.monotonic() < end:
            time.sleep(0.02)
        self.log.close()

    def pid(self):
        return self.process.pid if self.process else None

    def check(self):
        if self.process and self.process.poll() is not None:
            raise Died(f"{self.consumer.name} ended while it was measured: {self.text()}")

    def text(self):
        self.log.seek(0)
        return self.log.read().strip()
