"""An FTP control connection, as far as the kernel's helper looks into it, for the live tests: PORT commands, which
the helper changes, among commands that fettle's rules change (edited_stream.toml). Both ends know what arrives.

  ftp_dialogue.py serve ADDRESS PORT SEED INSIDE OUTSIDE
  ftp_dialogue.py send ADDRESS PORT SEED INSIDE OUTSIDE    from INSIDE, which the helper makes OUTSIDE

The last line printed is the report: key=value pairs. wrong_at=-1 says that nothing was wrong.
"""

import os
import random
import socket
import sys

COMMANDS = 400
# Commands without an answer; each leaves in a segment of its own, or the helper would not find it. Where the machine is
# slow, TCP repeats some, and two in one segment.
UNDERWAY = 4 if os.environ.get("SLOWNESS", "1") == "1" else 0
TIMEOUT = 20


def commands(seed, inside, outside):
    chance = random.Random(seed)
    for number in range(COMMANDS):
        size = chance.choice((1, 2, 5, 13, 40))
        what = chance.randrange(4)
        if what == 0:
            port = f"{chance.randrange(100, 200)},{number % 256}"
            yield f"PORT {inside.replace('.', ',')},{port}", f"PORT {outside.replace('.', ',')},{port}"
        elif what == 1:
            yield f"NOOP {number} <{'g' * size}>", f"NOOP {number} <{'g' * 3 * size}>"
        elif what == 2:
            yield f"NOOP [{'s' * size}]{number}", f"NOOP {number}"
        else:
            yield f"NOOP {number}", f"NOOP {number}"


def answer(number):
    return f"200 <g> {number}", f"200 <ggg> {number}"


def serve(address, port, wanted):
    listener = socket.create_server((address, port))
    listener.settimeout(TIMEOUT)
    print("listening", flush=True)
    connection, _ = listener.accept()
    connection.settimeout(TIMEOUT)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    lines, wrong_at, broken = 0, -1, "no"
    try:
        for found in connection.makefile("r", newline="\r\n"):
            expected = next(wanted, ("", "nothing"))[1]
            if wrong_at < 0 and found != expected + "\r\n":
                wrong_at = lines
                print(f"command {lines}: found {found!r}, expected {expected!r}", flush=True)
            connection.sendall((answer(lines)[0] + "\r\n").encode())
            lines += 1
    except OSError as error:
        broken = type(error).__name__
    print(f"lines={lines} wrong_at={wrong_at} broken={broken}")


def send(address, port, inside, given):
    lines = sent = 0
    wrong_at, broken = -1, "no"
    try:
        connection = socket.create_connection((address, port), TIMEOUT, source_address=(inside, 0))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answers = connection.makefile("r", newline="\r\n")
        for before, _ in given:
            connection.sendall((before + "\r\n").encode())
            sent += 1
            while lines < sent - (UNDERWAY if sent < COMMANDS else 0):
                found, expected = answers.readline(), answer(lines)[1]
                if wrong_at < 0 and found != expected + "\r\n":
                    wrong_at = lines
                    print(f"answer {lines}: found {found!r}, expected {expected!r}", flush=True)
                lines += 1
        connection.close()
    except OSError as error:
        broken = type(error).__name__
    print(f"sent={sent} lines={lines} wrong_at={wrong_at} broken={broken}")


def main():
    what, address, port, seed, inside, outside = *sys.argv[1:3], int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:7]
    dialogue = commands(seed, inside, outside)
    if what == "serve":
        serve(address, port, dialogue)
    elif what == "send":
        send(address, port, inside, dialogue)
    else:
        sys.exit(f"expected serve or send, found {what}")


main()
