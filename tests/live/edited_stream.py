"""A TCP connection whose stream the rules under test edit, for the live tests: both ends know from the seed what
is sent and what has to arrive, so the receiver can tell the first byte that is not as it should be.

  edited_stream.py serve ADDRESS PORT SEED KIND            one connection, then the report
  edited_stream.py send ADDRESS PORT SEED KIND [BYTES]     BYTES or, without, until SIGTERM; then the report

KIND says what the rules make of the stream, in both directions (the server acknowledges each 64 KiB with a line):

  plain    nothing
  same     { replace = '<gg>', with = '<hh>' }
  edited   { replace = '<(g+)>', with = '<$1$1$1>' } and { replace = '\\[s+\\]', with = '' }
  dense    the same rules, ten times as many edits, and as much in flight as the kernel likes
  cut      the same rules, and so small a send buffer that its end often cuts what they match
  halved   as dense, and every write ends in the middle of what may match: the rest comes 1 ms later

The last line printed is the report: key=value pairs. wrong_at=-1 says that nothing was wrong.
"""

import hashlib
import random
import re
import signal
import socket
import sys
import threading
import time

LINE_EVERY = 1 << 16
EDITED = ("edited", "dense", "cut", "halved")
TIMEOUT = 60
LENGTHS = {"dense": (0, 1, 7, 40, 300, 900, 1447, 2000), "cut": (0, 90, 200)}
LENGTHS["halved"] = LENGTHS["dense"]
LENGTHS_ELSE = (0, 1, 40, 1447, 6000, 9000, 12000)  # between two edits: now and then a crowd
# With them, what is in flight holds fewer edits than fettle remembers of a direction.
SEND_BUFFER = {"edited": 1 << 16, "cut": 1 << 14}


class Stream:
    """Pieces of about 64 KiB: what is sent, and what the edits make of it."""

    def __init__(self, seed, kind):
        self.chance = random.Random(seed)
        self.kind = "edited" if kind in EDITED else kind
        self.lengths = LENGTHS.get(kind, LENGTHS_ELSE)
        self.number = 0
        self.pieces = [self.make_piece() for _ in range(48)]

    def token(self):
        what = self.chance.randrange(8)
        size = self.chance.choice((1, 2, 3, 5, 8, 13, 21))
        if self.kind == "same":
            return (b"<gg>", b"<hh>") if what < 6 else (b"<g>", b"<g>")
        if what < 3:
            text = b"<" + b"g" * size + b">"
            return text, b"<" + b"g" * 3 * size + b">" if self.kind == "edited" else text
        if what < 6:
            text = b"[" + b"s" * size + b"]"
            return text, b"" if self.kind == "edited" else text
        text = self.chance.choice((b"<g", b"[ss", b"<gx>", b"[", b"]>", b"[]<>"))  # what nothing matches
        return text + b".", text + b"."

    def make_piece(self):
        before, after, size = [], [], 0
        while size < LINE_EVERY:
            length = self.chance.choice(self.lengths)
            filler = bytes(self.chance.choices(b"abcdef0123456789\n", k=length))
            token, edited = self.token()
            before += (filler, token)
            after += (filler, edited)
            size += len(filler) + len(token)
        return b"".join(before), b"".join(after)

    def next(self):
        head = b"%016d " % self.number
        self.number += 1
        before, after = self.chance.choice(self.pieces)
        return head + before, head + after


def line(count, kind):
    return b"%s ack %d\n" % (b"<ggg>" if kind in EDITED else b"<hh>" if kind == "same" else b"<g>", count)


def line_sent(count, kind):
    return b"%s ack %d\n" % (b"<gg>" if kind == "same" else b"<g>", count)


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def serve(address, port, seed, kind):
    listener = socket.socket(family(address), socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(1)
    stream = Stream(seed, kind)
    print("listening", flush=True)
    listener.settimeout(TIMEOUT)
    connection, _ = listener.accept()
    connection.settimeout(TIMEOUT)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # in two hours, or as the namespace has it
    digest = hashlib.sha256()
    total, wrong_at, lines, broken = 0, -1, 0, "no"
    wanted = b""
    buffer = bytearray(1 << 20)
    try:
        while size := connection.recv_into(buffer):
            chunk = bytes(memoryview(buffer)[:size])
            digest.update(chunk)
            if wrong_at < 0:
                while len(wanted) < size:
                    wanted += stream.next()[1]
                if not wanted.startswith(chunk):
                    at = next(i for i in range(size) if chunk[i] != wanted[i])
                    wrong_at = total + at
                    print(f"wrong at {wrong_at}: found {chunk[max(0, at - 60):at + 60]!r}")
                    print(f"expected {wanted[max(0, at - 60):at + 60]!r}", flush=True)
                wanted = wanted[size:]
            total += size
            while lines < total // LINE_EVERY:
                connection.sendall(line_sent(lines, kind))
                lines += 1
        connection.close()
    except OSError as error:
        broken = type(error).__name__
    print(f"bytes={total} sha256={digest.hexdigest()} wrong_at={wrong_at} lines={lines} broken={broken}")


def note_end(result, error):
    """Of two threads the first is told why; the other one finds the connection closed."""
    if result["broken"] == "no":
        result["broken"] = type(error).__name__


def read_lines(connection, kind, result):
    data, number, wrong_at = b"", 0, -1
    try:
        while chunk := connection.recv(1 << 16):
            *found, data = (data + chunk).split(b"\n")
            for text in found:
                if wrong_at < 0 and text + b"\n" != line(number, kind):
                    wrong_at = number
                    print(f"acknowledgement {number}: found {text!r}", flush=True)
                number += 1
    except OSError as error:
        note_end(result, error)
    result.update(lines=number, lines_wrong_at=wrong_at)


def transmit(connection, data, kind):
    if kind != "halved":
        connection.sendall(data)
        return
    for part in re.split(rb"(?<=<g)", data):
        connection.sendall(part)
        time.sleep(0.001)


def send(address, port, seed, kind, size):
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    stream = Stream(seed, kind)
    digest = hashlib.sha256()
    connection = socket.socket(family(address), socket.SOCK_STREAM)
    connection.settimeout(TIMEOUT)
    if kind in SEND_BUFFER:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER[kind])
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, kind == "halved")
    connection.connect((address, port))
    result = {"broken": "no"}
    reader = threading.Thread(target=read_lines, args=(connection, kind, result))
    reader.start()
    print("connected", flush=True)
    sent = arriving = 0
    try:
        while sent < size and not stopped.is_set():
            before, after = stream.next()
            transmit(connection, before, kind)
            digest.update(after)
            sent += len(before)
            arriving += len(after)
        connection.shutdown(socket.SHUT_WR)
    except OSError as error:
        note_end(result, error)
        connection.close()
    reader.join()
    report = " ".join(f"{key}={value}" for key, value in result.items())
    print(f"sent={sent} bytes={arriving} sha256={digest.hexdigest()} {report}")


def main():
    what, address, port, seed, kind = *sys.argv[1:3], int(sys.argv[3]), *sys.argv[4:6]
    if what == "serve":
        serve(address, port, seed, kind)
    elif what == "send":
        send(address, port, seed, kind, int(sys.argv[6]) if len(sys.argv) > 6 else float("inf"))
    else:
        sys.exit(f"expected serve or send, found {what}")


main()
