#!/usr/bin/python3
"""Clients of fettle's metrics.

    metrics_clients.py value FILE NAME [LABEL=VALUE...]   the sum of the series that have these labels
    metrics_clients.py watch URL FILE                     scrapes until FILE is there: what went back?
    metrics_clients.py storm URL COUNT [SEED]             COUNT clients of all kinds, many at a time
    metrics_clients.py silent URL COUNT                   holds COUNT connections that say nothing; scrapes beside
"""
import collections
import os
import random
import re
import socket
import struct
import sys
import threading
import time
import urllib.parse

SERIES = re.compile(r'^([a-z_]+)(?:\{(.*)\})? ([0-9.e+-]+)$')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


def series_of(page):
    for line in page.splitlines():
        if line.startswith("#"):
            continue
        found = SERIES.match(line)
        if not found:
            raise ValueError(f"found {line!r}, expected a series")
        yield found[1], found[2] or "", float(found[3])


def place_of(url):
    parts = urllib.parse.urlsplit(url)
    return parts.hostname, parts.port


def connect(place, timeout=30):
    return socket.create_connection(place, timeout=timeout)


def read_all(client):
    out = b""
    while True:
        try:
            got = client.recv(65536)
        except ConnectionResetError:
            return out
        if not got:
            return out
        out += got


def scrape(place, timeout=30):
    with connect(place, timeout) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: fettle\r\nConnection: close\r\n\r\n")
        head, _, page = read_all(client).partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 OK\r\n"):
        raise ValueError(f"found {head[:80]!r}, expected 200")
    length = int(re.search(rb"Content-Length: (\d+)", head)[1])
    if length != len(page):
        raise ValueError(f"found {len(page)} bytes, expected {length}")
    return page.decode()


def value(file, name, labels):
    wanted = dict(label.split("=", 1) for label in labels)
    total, found = 0.0, 0
    with open(file) as page:
        for own, text, number in series_of(page.read()):
            if own == name and wanted.items() <= dict(LABEL.findall(text)).items():
                total += number
                found += 1
    print(f"{total:.15g}" if found else "none")


def watch(url, file):
    place, last, back, count, refused = place_of(url), {}, [], 0, 0
    longest = gap = 0.0
    answered = time.monotonic()
    while not os.path.exists(file):
        began = time.monotonic()
        try:
            page = scrape(place)
        except (ConnectionRefusedError, ConnectionResetError, ValueError):  # in a takeover
            refused += 1
            time.sleep(0.01)
            continue
        now = time.monotonic()
        longest, gap, answered = max(longest, now - began), max(gap, now - answered), now
        count += 1
        # A rule that is gone, and comes again with a later reload, begins anew.
        before, last = last, {}
        for name, labels, number in series_of(page):
            if name.endswith("_total"):
                key = (name, labels)
                if number < before.get(key, 0):
                    back.append(f"{name}{{{labels}}}: {before[key]:.15g}, then {number:.15g}")
                last[key] = number
        time.sleep(0.02)
    for line in back[:20]:
        print(line)
    print(f"scrapes={count} series={len(last)} back={len(back)} refused={refused} longest_ms={longest * 1000:.0f} "
          f"gap_ms={gap * 1000:.0f}")


class Storm:
    def __init__(self, place, count, seed):
        self.place, self.left, self.seed = place, count, seed
        self.lock = threading.Lock()
        self.done = collections.Counter()
        self.wrong = []
        self.longest = 0.0

    def honest(self, _draw):
        began = time.monotonic()
        page = scrape(self.place)
        with self.lock:
            self.longest = max(self.longest, time.monotonic() - began)
        if "fettle_build_info" not in page:
            raise ValueError("a page without fettle_build_info")

    def said(self, what, *statuses):
        with connect(self.place) as client:
            try:
                client.sendall(what)
            except (BrokenPipeError, ConnectionResetError):
                pass
            got = read_all(client)
        if got and int(got.split()[1]) not in statuses:
            raise ValueError(f"found {got[:60]!r}, expected {statuses}")

    def random_bytes(self, draw):
        self.said(draw.randbytes(draw.randint(1, 4000)) + b"\r\n\r\n", 400, 431, 505)

    def huge_head(self, draw):
        self.said(b"GET /metrics HTTP/1.1\r\nA: " + b"x" * draw.randint(9000, 1 << 20), 431)

    def other_path(self, draw):
        self.said(b"GET /" + b"%2e" * draw.randint(0, 99) + b" HTTP/1.1\r\n\r\n", 404)

    def other_method(self, draw):
        self.said(draw.choice([b"POST", b"DELETE", b"CONNECT"]) + b" /metrics HTTP/1.1\r\n\r\n" + b"x" * 99, 405)

    def leaves(self, draw):
        with connect(self.place) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n"[: draw.randint(0, 30)])

    def resets(self, draw):
        with connect(self.place) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n"[: draw.randint(0, 30)])
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def silent(self, _draw):
        with connect(self.place) as client:
            if read_all(client):
                raise ValueError("an answer to nothing")

    def slow_writer(self, _draw):
        with connect(self.place) as client:
            try:
                for byte in b"GET /metrics HTTP/1.1\r\nA: " + b"x" * 1000:
                    client.sendall(bytes([byte]))
                    time.sleep(0.02)
            except (BrokenPipeError, ConnectionResetError):
                return
        raise ValueError("a request that took 20 s was waited for")

    def slow_reader(self, _draw):
        with connect(self.place) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
            client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            try:
                while client.recv(64):
                    time.sleep(0.002)
            except ConnectionResetError:
                pass

    def run(self, number):
        draw = random.Random(f"{self.seed}/{number}")
        kinds = [self.honest, self.honest, self.random_bytes, self.huge_head, self.other_path, self.other_method,
                 self.leaves, self.resets]
        slow = [self.silent, self.slow_writer, self.slow_reader]
        kind = draw.choice(slow) if draw.random() < 0.05 else draw.choice(kinds)
        try:
            kind(draw)
        except Exception as error:  # whatever it is, the test wants to know
            with self.lock:
                self.wrong.append(f"{kind.__name__}, client {number}: {type(error).__name__}: {error}")
        with self.lock:
            self.done[kind.__name__] += 1

    def thread(self):
        while True:
            with self.lock:
                self.left -= 1
                number = self.left
            if number < 0:
                return
            self.run(number)


def storm(url, count, seed):
    began = time.monotonic()
    clients = Storm(place_of(url), count, seed)
    threads = [threading.Thread(target=clients.thread) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for line in clients.wrong[:20]:
        print(line)
    kinds = " ".join(f"{name}={number}" for name, number in sorted(clients.done.items()))
    print(f"{kinds} seed={seed} seconds={time.monotonic() - began:.1f} longest_ms={clients.longest * 1000:.0f} "
          f"clients={sum(clients.done.values())} wrong={len(clients.wrong)}")


def silent(url, count):
    place = place_of(url)
    held, longest = [], 0.0
    for number in range(count):
        held.append(connect(place))
        if number % 50 == 49:
            began = time.monotonic()
            scrape(place)
            longest = max(longest, time.monotonic() - began)
    print(f"connections={len(held)} scrapes={count // 50} longest_ms={longest * 1000:.0f}")


def main():
    command, arguments = sys.argv[1], sys.argv[2:]
    if command == "value":
        value(arguments[0], arguments[1], arguments[2:])
    elif command == "watch":
        watch(*arguments)
    elif command == "storm":
        seed = arguments[2] if len(arguments) > 2 else str(random.SystemRandom().randrange(1 << 32))
        storm(arguments[0], int(arguments[1]), seed)
    elif command == "silent":
        silent(arguments[0], int(arguments[1]))
    else:
        sys.exit(f"found {command}, expected value, watch, storm or silent")


main()
