#!/usr/bin/python3
"""Sits at `fettle top`: presses keys, looks at the screen, and says what was there and what was not.

  top_keys.py FETTLE CONTROL SUPERVISOR-PID
The supervisor is ended on the way. Prints a line for each check; exit status 1: one failed.
"""
import os
import signal
import sys
import time

from terminal import Terminal

fettle, control, supervisor = sys.argv[1], sys.argv[2], int(sys.argv[3])
patience = 10 * int(os.environ.get("SLOWNESS", "1"))
failed = False


def check(title, good, terminal=None):
    global failed
    print(f"{'ok   ' if good else 'FAIL '} {title}", flush=True)
    if not good:
        failed = True
        if terminal:
            print(terminal.screen.text())


def top(*arguments, columns=80, lines=24, **environment):
    return Terminal([fettle, "top", "--control", control, *arguments], columns, lines,
                    {"TERM": "xterm", "LC_ALL": "C.UTF-8", **environment})


def sees(terminal, title, pattern):
    check(title, terminal.wait_for(pattern, patience), terminal)


def ends(terminal, title):
    status = terminal.end(patience)
    check(f"{title}: exit status {status}", status == 0)
    check(f"{title}: the terminal's modes are as before", terminal.is_restored())
    check(f"{title}: its old screen is back, the cursor is shown",
          1049 not in terminal.screen.modes and 25 in terminal.screen.modes)


def ended_by(title, number):
    terminal = top()
    sees(terminal, f"{title}: first there is a screen", "running for")
    terminal.process.send_signal(number)
    ends(terminal, title)


def keys():
    terminal = top("--interval", "0.5")
    sees(terminal, "heading", rf"(?m)^fettle \S+, process {supervisor}: running for ")
    sees(terminal, "rates", r"(?m)^ +0 running +[1-9]\S* ")
    sees(terminal, "history", r"(?m)^  all .*[▁▂▃▄▅▆▇█]{2}$")
    sees(terminal, "the busy rule first", r"(?m)rule, by hits/s\n.* mark\n.* never")
    check("it has colours", b"\x1b[32m" in terminal.bytes)
    terminal.press(b"s")
    sees(terminal, "s: by hits", r"rule, by hits\n")
    terminal.press(b"ss")
    sees(terminal, "s: by name", r"rule, by name\n.* a rule of many words")
    terminal.press(b"\x1bOB\x1bOB")
    sees(terminal, "down, down: the second rule, and its details", r"(?m)^> +[\d.].* mark\n(.*\n)+> mark\n  \d+ hits, ")
    terminal.press(b"\x1bOA")
    sees(terminal, "up: the first", r"(?m)^> a rule of many words")
    terminal.press(b"p")
    sees(terminal, "p: paused", r"(?m) paused$")
    terminal.settle()  # the rest of that screen
    before = terminal.screen.text()
    terminal.settle(1.2)
    check("paused: nothing moves", terminal.screen.text() == before, terminal)
    terminal.press(b"p")
    sees(terminal, "p: goes on", r"(?m)^> a rule of many words(.*\n)+.*p pause")
    terminal.press(b" ")
    sees(terminal, "space: help", "Ctrl-C +quit")
    terminal.press(b"h")
    sees(terminal, "h: back", "rule, by name")
    return terminal


def sizes(terminal):
    for columns, lines in (60, 20), (80, 10), (20, 1):
        terminal.resize(columns, lines)
        sees(terminal, f"{columns}x{lines}", rf"^{columns}x{lines} is too sma")
    terminal.resize(120, 40)
    sees(terminal, "120x40", r"(?m)^q quit.* h help")
    terminal.settle(0.2)
    check("120x40: the keys are in the last line", "q quit" in terminal.screen.text().split("\n")[39], terminal)
    terminal.resize(80, 24)
    sees(terminal, "80x24", "rule, by name")


def successor(terminal):
    os.kill(supervisor, signal.SIGTERM)
    sees(terminal, "the supervisor goes", r"(?m)no answer$(.*\n)+waiting for the next: no fettle listens")
    print("gone", flush=True)
    terminal.wait_for(r"process (?!%d)\d+: running" % supervisor, 2 * patience)
    sees(terminal, "the next one comes", r"process (?!%d)\d+: running(.*\n)+ +0 running +\d" % supervisor)
    check("its rates are no leap", terminal.wait_for(r"(?m)^ +0 running +\d\S{0,2} ", patience), terminal)


def stands_still():
    terminal = top("--timeout", "1", "--interval", "0.2")
    sees(terminal, "standing still: first there is a screen", "running for")
    os.kill(supervisor, signal.SIGSTOP)
    try:
        sees(terminal, "standing still: it says so", r"no answer(.*\n)+waiting for the next: .*no whole answer")
        pressed = time.monotonic()
        terminal.press(b"s")
        sees(terminal, "standing still: keys are obeyed", r"rule, by hits\n")
        terminal.press(b"q")
        ends(terminal, "standing still")
        check("standing still: none of that took long", time.monotonic() - pressed < patience / 10)
    finally:
        os.kill(supervisor, signal.SIGCONT)


seat = keys()
sizes(seat)
ended_by("SIGTERM", signal.SIGTERM)
ended_by("SIGINT", signal.SIGINT)
stands_still()
plain = top(NO_COLOR="1")
sees(plain, "NO_COLOR: a screen", "rule, by")
plain.press(b"\x03")
ends(plain, "Ctrl-C")
check("NO_COLOR: no colours", not any(b"\x1b[%dm" % colour in plain.bytes for colour in range(30, 38)))
ascii_only = top(LC_ALL="C")
sees(ascii_only, "without UTF-8: a screen", r"(?m)[_*#]$")
ascii_only.press(b"q")
ends(ascii_only, "without UTF-8")
check("without UTF-8: ASCII alone", all(byte < 0x80 for byte in ascii_only.bytes))
successor(seat)
seat.press(b"q")
ends(seat, "q")
hung = top()
sees(hung, "a terminal that goes: first there is a screen", "running for")
os.close(hung.master)
os.close(hung.slave)
until = time.monotonic() + patience
while hung.process.poll() is None and time.monotonic() < until:
    time.sleep(0.05)
check("a terminal that goes: top ends", hung.process.poll() is not None)
if hung.process.poll() is None:
    hung.process.kill()
sys.exit(failed)
