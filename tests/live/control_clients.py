#!/usr/bin/python3
"""Clients of fettle's control socket that no honest person would write.

    control_clients.py storm PATH COUNT [SEED]   COUNT clients of all kinds, many at a time
    control_clients.py back-off PATH SUPERVISOR  kills workers until the status shows one backing off
    control_clients.py get MEMBER...             a member of the JSON on standard input; '+' sums an array's
"""
import contextlib
import json
import os
import random
import signal
import socket
import sys
import threading
import time


def connect(path):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(30)
    client.connect(path)
    return client


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


def status(path):
    with connect(path) as client:
        client.sendall(b"status\n")
        return json.loads(read_all(client))["status"]


class Storm:
    def __init__(self, path, count, seed):
        self.path, self.left, self.seed = path, count, seed
        self.lock = threading.Lock()
        self.done = {}
        self.wrong = []

    def honest(self, client, draw):
        client.sendall(b"status\n")
        answer = json.loads(read_all(client))
        if answer["exit"] != 0 or answer["status"]["phase"] != "running":
            raise ValueError(f"found {answer}, expected a status")

    def random_bytes(self, client, draw):
        client.sendall(draw.randbytes(draw.randint(1, 400)) + b"\n")
        answer = json.loads(read_all(client))
        if answer["exit"] != 64:
            raise ValueError(f"found {answer}, expected 64")

    def huge_line(self, client, draw):
        try:
            client.sendall(b"x" * draw.randint(300, 1 << 20))
        except (BrokenPipeError, ConnectionResetError):
            pass
        read_all(client)

    def leaves(self, client, draw):
        client.sendall(b"status\n"[: draw.randint(0, 7)])

    def silent(self, client, draw):
        if read_all(client):
            raise ValueError("an answer to nothing")

    def slow_writer(self, client, draw):
        try:
            for byte in b"status" * 50:
                client.sendall(bytes([byte]))
                time.sleep(0.02)
        except (BrokenPipeError, ConnectionResetError):
            return
        raise ValueError("a line that took 6 s was waited for")

    def slow_reader(self, client, draw):
        client.sendall(b"status\n")
        time.sleep(0.5)
        while client.recv(64):
            time.sleep(0.001)

    def half_open(self, client, draw):
        client.sendall(b"stat")
        client.shutdown(socket.SHUT_WR)
        if json.loads(read_all(client))["exit"] != 64:
            raise ValueError("half a command was taken for one")

    def run(self, number):
        draw = random.Random(f"{self.seed}/{number}")
        kinds = [self.honest, self.random_bytes, self.huge_line, self.leaves, self.half_open]
        slow = [self.silent, self.slow_writer, self.slow_reader]
        kind = draw.choice(slow) if draw.random() < 0.05 else draw.choice(kinds)
        try:
            with connect(self.path) as client:
                kind(client, draw)
        except Exception as error:  # whatever it is, the test wants to know
            with self.lock:
                self.wrong.append(f"{kind.__name__}, client {number}: {type(error).__name__}: {error}")
        with self.lock:
            self.done[kind.__name__] = self.done.get(kind.__name__, 0) + 1

    def thread(self):
        while True:
            with self.lock:
                self.left -= 1
                number = self.left
            if number < 0:
                return
            self.run(number)


def storm(path, count, seed):
    began = time.monotonic()
    clients = Storm(path, count, seed)
    threads = [threading.Thread(target=clients.thread) for _ in range(48)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for line in clients.wrong[:20]:
        print(line)
    kinds = " ".join(f"{name}={number}" for name, number in sorted(clients.done.items()))
    print(f"{kinds} seed={seed} seconds={time.monotonic() - began:.1f} clients={sum(clients.done.values())} "
          f"wrong={len(clients.wrong)}")


def back_off(path, supervisor):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        worker = status(path)["queues"][0]["worker"]
        if worker["pid"] > 0:
            with contextlib.suppress(ProcessLookupError):  # the supervisor has yet to learn of its end
                os.kill(worker["pid"], signal.SIGKILL)
        worker = status(path)["queues"][0]["worker"]
        if worker["state"] == "backing off" and worker["restart_in_ms"] > 0:
            print(json.dumps(worker))
            return
    sys.exit(f"no worker of {supervisor} backs off")


def get(members):
    values = [json.load(sys.stdin)]
    for member in members:
        if member == "+":
            values = [element for value in values for element in value]
        else:
            values = [value[int(member) if isinstance(value, list) else member] for value in values]
    print(sum(values) if "+" in members else values[0])


def main():
    command, arguments = sys.argv[1], sys.argv[2:]
    if command == "storm":
        seed = arguments[2] if len(arguments) > 2 else str(random.SystemRandom().randrange(1 << 32))
        storm(arguments[0], int(arguments[1]), seed)
    elif command == "back-off":
        back_off(arguments[0], arguments[1])
    elif command == "get":
        get(arguments)
    else:
        sys.exit(f"found {command}, expected storm, back-off or get")


main()
