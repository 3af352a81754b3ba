#!/usr/bin/python3
"""What sends and receives in a soak beside tests/live/traffic. Each prints its counts as a line of JSON every second
and at its end (SIGTERM); times are those of CLOCK_MONOTONIC, which all processes share.

  soak_ends.py keep-alive-send SERVER4 SERVER6   datagrams that tell their sender's address, numbered, and echo requests
  soak_ends.py keep-alive-receive                what became of them
  soak_ends.py serve                             TCP: transfers and requests
  soak_ends.py request SERVER4 SERVER6           small connections all the time
  soak_ends.py transfer SERVER4 SERVER6          long ones in a row
  soak_ends.py pulse                             nothing; tells when it came to run late, by the time of day
"""
import hashlib
import json
import os
import random
import re
import select
import signal
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from lib.soak_rules import OUTSIDE, RATES  # noqa: E402

TRANSFERS, REQUESTS = 5001, 5002
PATIENCE = 30  # seconds without an answer
stopped = threading.Event()


def say(counts):
    print(json.dumps({"t": time.monotonic()} | counts), flush=True)


def say_each_second(counts):
    while not stopped.wait(1):
        say(counts)


# ---- Keep-alives -------------------------------------------------------------------------------

def keep_alive_send(servers):
    """Per port and family a flow from one of two addresses."""
    flows = []
    for port, rate in RATES.items():
        for server in servers:
            for last in (3, 7):
                source = f"fd00:1::{last}" if ":" in server else f"10.1.0.{last}"
                one = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
                one.bind((source, 0))
                one.connect((server, port))
                flows.append([one, source, port, rate / 4, 0])
    counts = {str(port): 0 for port in RATES} | {"echoes": 0, "answers": 0}
    echo = Echo(servers, counts)
    began = said = time.monotonic()
    while not stopped.wait(0.005):
        now = time.monotonic()
        for flow in flows:
            one, source, port, rate, number = flow
            while number < (now - began) * rate:
                one.send(f"KA {source} n{number}.{'x' * (number % 40)}\n".encode())
                number += 1
                counts[str(port)] += 1
            flow[4] = number
        echo.go_on(now - began)
        if now - said >= 1:
            said = now
            say(counts)
    time.sleep(1)
    echo.take()
    say(counts | {"unanswered": [n for n in range(counts["echoes"]) if n not in echo.seen][:100]})


class Echo:
    """Twenty echo requests a second, half of them IPv6."""

    def __init__(self, servers, counts):
        self.counts, self.seen = counts, set()
        self.sockets = []
        for server in servers:
            six = ":" in server
            one = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM,
                                socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP)
            one.setblocking(False)
            one.connect((server, 0))
            self.sockets.append((one, 128 if six else 8))

    def go_on(self, seconds):
        while self.counts["echoes"] < seconds * 20:
            number = self.counts["echoes"]
            one, kind = self.sockets[number % 2]
            one.send(struct.pack("!BBHHHI", kind, 0, 0, 0, number & 0xffff, number) + b"soak" * 8)
            self.counts["echoes"] += 1
        self.take()

    def take(self):
        for one, _ in self.sockets:
            while select.select((one,), (), (), 0)[0]:
                answer = one.recv(2048)
                self.seen.add(struct.unpack("!I", answer[8:12])[0])
        self.counts["answers"] = len(self.seen)


def keep_alive_receive():
    sockets, numbers, counts = {}, {}, {}
    for port in RATES:
        for family in (socket.AF_INET, socket.AF_INET6):
            one = socket.socket(family, socket.SOCK_DGRAM)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)  # SO_RCVBUFFORCE
            one.bind(("", port))
            sockets[one] = port
        counts[str(port)] = dict.fromkeys(("distinct", "twice", "unchanged", "one", "two", "wrong"), 0)
    threading.Thread(target=say_each_second, args=(counts,), daemon=True).start()
    print("listening", flush=True)
    while not stopped.is_set() or select.select(list(sockets), (), (), 0.3)[0]:
        for one in select.select(list(sockets), (), (), 0.2)[0]:
            data, sender = one.recvfrom(2048)
            judge(data, sender, counts[str(sockets[one])], numbers)
    say(counts)


def judge(data, sender, counts, numbers):
    """By whose rules the datagram was changed, and whether it came before."""
    found = re.fullmatch(rb"KA (\S+) n(\d+)\.(x*)\n", data)
    number = int(found[2]) if found else 0
    if not found or len(found[3]) != number % 40:
        counts["wrong"] += 1
        return
    told = found[1].decode()
    counts[next((name for name, of in OUTSIDE.items() if told == of(sender[0])),
                "unchanged" if told == sender[0] else "wrong")] += 1
    seen = numbers.setdefault((id(counts), sender[:2]), bytearray())
    if len(seen) <= number:
        seen.extend(bytes(number - len(seen) + 4096))
    counts["twice" if seen[number] else "distinct"] += 1
    seen[number] = 1


# ---- TCP ---------------------------------------------------------------------------------------

def serve():
    for port, answer in ((TRANSFERS, take_transfer), (REQUESTS, take_request)):
        listener = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=512)
        threading.Thread(target=accept, args=(listener, answer), daemon=True).start()
    print("listening", flush=True)
    stopped.wait()


def accept(listener, answer):
    while True:
        connection, _ = listener.accept()
        connection.settimeout(PATIENCE)
        threading.Thread(target=answer_one, args=(connection, answer), daemon=True).start()


def answer_one(connection, answer):
    try:
        with connection:
            answer(connection)
    except OSError:
        pass  # the client tells of it


def take_transfer(connection):
    digest, total = hashlib.sha256(), 0
    while chunk := connection.recv(1 << 18):
        digest.update(chunk)
        total += len(chunk)
    connection.sendall(f"[ss]<g> {total} {digest.hexdigest()}\n".encode())


def take_request(connection):
    line = b""
    while not line.endswith(b"\n") and (chunk := connection.recv(4096)):
        line += chunk
    found = re.fullmatch(rb"ask <(g+)> (\d+)\n", line)
    connection.sendall(b"re [s]<g> %d %d\n" % ((len(found[1]), int(found[2])) if found else (0, 0)))


class Pieces:
    """Some 64 KiB each: what is sent, and what the rules make of it."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.pieces = [self.make() for _ in range(16)]

    def make(self):
        before, after, size = [], [], 0
        while size < 1 << 16:
            filler = bytes(self.chance.choices(b"abcdef0123456789\n", k=self.chance.choice((7, 40, 1447, 6000, 9000))))
            count = self.chance.choice((1, 2, 5, 13, 21))
            token, edited = self.chance.choice(((b"<" + b"g" * count + b">", b"<" + b"g" * 3 * count + b">"),
                                                (b"[" + b"s" * count + b"]", b""), (b"<gx>.", b"<gx>.")))
            before += (filler, token)
            after += (filler, edited)
            size += len(filler) + len(token)
        return b"".join(before), b"".join(after)


def transfer_once(connection, chance, pieces):
    # So much in flight that it holds fewer edits than fettle remembers of a direction.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
    digest, total = hashlib.sha256(), 0
    for number in range(chance.randrange(8, 40)):
        before, after = chance.choice(pieces.pieces)
        head = b"%08d" % number
        connection.sendall(head + before)
        digest.update(head + after)
        total += len(head + after)
    connection.shutdown(socket.SHUT_WR)
    return f"<ggg> {total} {digest.hexdigest()}\n".encode(), total


def request_once(connection, chance, _):
    count, number = chance.randrange(1, 9), chance.randrange(1 << 30)
    connection.sendall(b"ask <" + b"g" * count + b"> %d\n" % number)
    return b"re <ggg> %d %d\n" % (3 * count, number), 0


def connect_all_the_time(servers, port, once, pause, seed, counts, lock):
    chance = random.Random(seed)
    pieces = Pieces(seed) if port == TRANSFERS else None
    while not stopped.wait(pause):
        server = chance.choice(servers)
        source = ("fd00:1::%d" if ":" in server else "10.1.0.%d") % chance.randrange(2, 10)
        began, found, size, where = time.monotonic(), b"", 0, "not connected"
        try:
            with socket.create_connection((server, port), PATIENCE, (source, 0)) as connection:
                where = f"port {connection.getsockname()[1]}, no whole answer"
                wanted, size = once(connection, chance, pieces)
                while not found.endswith(b"\n") and (chunk := connection.recv(4096)):
                    found += chunk
            why = None if found == wanted else f"found {found!r}, expected {wanted!r}"
        except OSError as error:
            why = f"{source} to {server}: {where}: {error!r}"
        with lock:
            counts["done"] += 1
            counts["bytes"] += size
            if why:
                counts["failures"].append([began, time.monotonic(), why])


def connect(servers, port):
    counts, lock = {"done": 0, "bytes": 0, "failures": []}, threading.Lock()
    many = port == REQUESTS
    threads = [threading.Thread(target=connect_all_the_time, args=(
        servers, port, request_once if many else transfer_once, 0.02 if many else 0.2, seed, counts, lock))
        for seed in range(3 if many else 1)]
    for thread in threads:
        thread.start()
    say_each_second(counts)
    for thread in threads:
        thread.join()
    say(counts)


def pulse():
    """Wakes twenty times a second on each CPU, and tells of each time that it was late by more than a third of one."""
    late = []
    threads = [threading.Thread(target=beat, args=(cpu, late)) for cpu in os.sched_getaffinity(0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    say({"late": late + [[time.time(), 1e12]]})  # of what comes later it knows nothing


def beat(cpu, late):
    os.sched_setaffinity(0, {cpu})  # of this thread alone, as a worker is pinned
    last = time.time()
    while not stopped.wait(0.05):
        now = time.time()
        if now - last > 0.4:
            late.append([last, now])
        last = now


def main():
    what, servers = sys.argv[1], sys.argv[2:]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    if what == "keep-alive-send":
        keep_alive_send(servers)
    elif what == "keep-alive-receive":
        keep_alive_receive()
    elif what == "serve":
        serve()
    elif what == "pulse":
        pulse()
    else:
        connect(servers, {"request": REQUESTS, "transfer": TRANSFERS}[what])


if __name__ == "__main__":
    main()
