"""TCP for the live tests: a stream or a dialogue, and what became of it.

  stream.py serve ADDRESS PORT             one connection, then the report
  stream.py answer ADDRESS PORT            the same, as a dialogue's other side
  stream.py random ADDRESS PORT BYTES      random bytes; the report has their SHA-256
  stream.py plain ADDRESS PORT BYTES       the letter 'a'
  stream.py dialogue ADDRESS PORT COUNT    messages of 100 'a', each answered before the next, so
                                           that no segment is longer than one message

Rules under test may write "FTL1" over the first four bytes of a segment; the server counts such edits, and
says whether all else is still 'a'. The last line printed is the report: key=value pairs.
"""

import hashlib
import os
import socket
import sys

BLOCK = 1 << 20
EDIT = b"FTL1"
MESSAGE = b"a" * 100


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def serve(address, port, dialogue):
    listener = socket.socket(family(address), socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(1)
    print("listening", flush=True)
    listener.settimeout(30)
    connection, _ = listener.accept()
    connection.settimeout(30)
    digest = hashlib.sha256()
    total = edits = foreign = 0
    tail = b""  # an edit may lie across two reads
    answered = 0
    buffer = bytearray(BLOCK)
    while size := connection.recv_into(buffer):
        chunk = bytes(memoryview(buffer)[:size])
        digest.update(chunk)
        total += size
        if dialogue:
            while answered < total // len(MESSAGE):
                connection.sendall(b".")
                answered += 1
        text = tail + chunk
        keep = next((n for n in (3, 2, 1) if text.endswith(EDIT[:n])), 0)
        text, tail = text[: len(text) - keep], text[len(text) - keep :]
        edits += text.count(EDIT)
        rest = text.replace(EDIT, b"")
        foreign += len(rest) - rest.count(b"a")
    foreign += len(tail)
    connection.close()
    print(f"bytes={total} sha256={digest.hexdigest()} edits={edits} foreign={foreign}")


def connect(address, port):
    connection = socket.create_connection((address, port), timeout=30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def send_stream(address, port, size, block):
    connection = connect(address, port)
    digest = hashlib.sha256()
    sent = 0
    while sent < size:
        piece = block[: min(len(block), size - sent)]
        if block is not PLAIN:
            piece = sent.to_bytes(8, "big") + piece[8:]
        connection.sendall(piece)
        digest.update(piece)
        sent += len(piece)
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)
    print(f"bytes={sent} sha256={digest.hexdigest()}")


def send_dialogue(address, port, count):
    connection = connect(address, port)
    for _ in range(count):
        connection.sendall(MESSAGE)
        if connection.recv(1) != b".":
            sys.exit("the server did not answer")
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)
    print(f"bytes={count * len(MESSAGE)}")


PLAIN = b"a" * BLOCK


def main():
    what, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if what in ("serve", "answer"):
        serve(address, port, what == "answer")
    elif what == "random":
        send_stream(address, port, int(sys.argv[4]), os.urandom(BLOCK))
    elif what == "plain":
        send_stream(address, port, int(sys.argv[4]), PLAIN)
    elif what == "dialogue":
        send_dialogue(address, port, int(sys.argv[4]))
    else:
        sys.exit(f"expected serve, answer, random, plain or dialogue, found {what}")


main()
