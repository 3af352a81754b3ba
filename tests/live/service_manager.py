"""What of a service manager fettle relies on (sd_notify(3), sd_listen_fds(3), FileDescriptorStoreMax=), for the live
tests: runs a command, keeps the descriptors that it stores, and gives them to it when it is started anew.

  service_manager.py NOTIFY_SOCKET COMMAND...

SIGHUP restarts the command: SIGTERM, and once more when it has ended. SIGTERM ends both. Prints a line for each state
that the command notifies, and the names of what is stored at each start.
"""

import array
import os
import selectors
import signal
import socket
import subprocess
import sys

FIRST = 3


class Manager:
    def __init__(self, path, command):
        self.path, self.command = path, command
        self.store = {}  # name: descriptors
        self.process = None
        self.ending = False
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)

    def start(self):
        pairs = [(name, fd) for name, fds in self.store.items() for fd in fds]
        print("start with", " ".join(name for name, _ in pairs) or "nothing", flush=True)
        environment = dict(os.environ, NOTIFY_SOCKET=self.path, LISTEN_FDS=str(len(pairs)),
                           LISTEN_FDNAMES=":".join(name for name, _ in pairs))
        # Out of the way of where they are to be.
        high = [os.dup(fd) for _, fd in pairs]

        def place():
            moved = []
            for fd in high:
                moved.append(os.dup2(fd, 500 + len(moved), inheritable=False))
            for i, fd in enumerate(moved):
                os.dup2(fd, FIRST + i, inheritable=True)

        # LISTEN_PID is the child's own: a shell gives it.
        shell = ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh"]
        self.process = subprocess.Popen(shell + self.command, env=environment, preexec_fn=place, close_fds=False)
        for fd in high:
            os.close(fd)
        print("process", self.process.pid, flush=True)

    def take_message(self):
        data, control, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(16 * 4))
        fds = array.array("i")
        for level, kind, value in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(value[: len(value) - len(value) % fds.itemsize])
        fields = dict(line.split("=", 1) for line in data.decode().splitlines() if "=" in line)
        name = fields.get("FDNAME", "stored")
        if "FDSTOREREMOVE" in fields:
            for fd in self.store.pop(name, []):
                os.close(fd)
        elif "FDSTORE" in fields:
            self.store.setdefault(name, []).extend(fds)
        else:
            for fd in fds:
                os.close(fd)
            print("state", " ".join(sorted(fields)), flush=True)

    def run(self):
        waker, wakee = socket.socketpair()
        wakee.setblocking(False)
        signal.set_wakeup_fd(wakee.fileno())
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, self.on_signal)
        selector = selectors.DefaultSelector()
        selector.register(self.socket, selectors.EVENT_READ)
        selector.register(waker, selectors.EVENT_READ)
        self.start()
        while True:
            for key, _ in selector.select():
                if key.fileobj is self.socket:
                    self.take_message()
                else:
                    waker.recv(64)
            if self.process.poll() is None:
                continue
            print("ended with", self.process.returncode, flush=True)
            if self.ending:
                return self.process.returncode
            self.start()  # Restart=always

    def on_signal(self, number, _):
        if number == signal.SIGCHLD:
            return
        self.ending |= number == signal.SIGTERM
        self.process.terminate()


sys.exit(Manager(sys.argv[1], sys.argv[2:]).run())
