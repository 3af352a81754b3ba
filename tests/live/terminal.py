#!/usr/bin/python3
"""A terminal for tests: a pty and so much of an xterm as ncurses asks of one, with a screen to look at.

An escape sequence that it does not know is an error, so that nothing is drawn past it.
"""
import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time

CSI = re.compile(rb"\x1b\[([?>!]?)([0-9;]*)([@-~])")


class Screen:
    def __init__(self, columns, lines):
        self.resize(columns, lines)
        self.modes = set()
        self.inserts = False

    def resize(self, columns, lines):
        self.columns, self.lines = columns, lines
        self.cells = [[" "] * columns for _ in range(lines)]
        self.x = self.y = 0
        self.saved = 0, 0
        self.last = " "
        self.top, self.bottom = 0, lines - 1

    def text(self):
        return "\n".join("".join(line).rstrip() for line in self.cells)

    def put(self, letter):
        if self.x >= self.columns:
            self.x = 0
            self.down()
        if self.inserts:
            self.cells[self.y].insert(self.x, letter)
            del self.cells[self.y][self.columns]
        else:
            self.cells[self.y][self.x] = letter
        self.x += 1
        self.last = letter

    def down(self):
        if self.y == self.bottom:
            self.delete_lines(self.top, 1)
        else:
            self.y = min(self.y + 1, self.lines - 1)

    def up(self):
        if self.y == self.top:
            self.insert_lines(self.top, 1)
        else:
            self.y = max(self.y - 1, 0)

    def save_or_restore(self, save):
        if save:
            self.saved = self.x, self.y
        else:
            self.x, self.y = self.saved

    def delete_lines(self, at, count):
        for _ in range(count):
            del self.cells[at]
            self.cells.insert(self.bottom, [" "] * self.columns)

    def insert_lines(self, at, count):
        for _ in range(count):
            del self.cells[self.bottom]
            self.cells.insert(at, [" "] * self.columns)

    def erase(self, line, first, last):
        for x in range(first, min(last, self.columns)):
            self.cells[line][x] = " "

    def sequence(self, private, numbers, final):
        numbers = [int(n or 0) for n in numbers.split(";")]
        first = numbers[0]
        count = max(first, 1)
        # Behind the last column the cursor is still on it, until a letter comes.
        if final not in "bm":
            self.x = min(self.x, self.columns - 1)
        line = self.cells[self.y]
        if private:
            for mode in numbers:
                (self.modes.add if final == "h" else self.modes.discard)(mode)
            return
        if final in "Hf":
            self.y = min(count, self.lines) - 1
            self.x = min(max(numbers[1] if len(numbers) > 1 else 1, 1), self.columns) - 1
        elif final == "d":
            self.y = min(count, self.lines) - 1
        elif final == "G":
            self.x = min(count, self.columns) - 1
        elif final == "A":
            self.y = max(self.y - count, 0)
        elif final == "B":
            self.y = min(self.y + count, self.lines - 1)
        elif final == "C":
            self.x = min(self.x + count, self.columns - 1)
        elif final == "D":
            self.x = max(self.x - count, 0)
        elif final == "J":
            self.erase(self.y, 0 if first == 2 else self.x, self.columns)
            for y in range(0 if first == 2 else self.y + 1, self.lines):
                self.erase(y, 0, self.columns)
        elif final == "K":
            self.erase(self.y, 0 if first in (1, 2) else self.x, self.x + 1 if first == 1 else self.columns)
        elif final == "X":
            self.erase(self.y, self.x, self.x + count)
        elif final == "P":
            self.cells[self.y] = (line[:self.x] + line[self.x + count:] + [" "] * count)[:self.columns]
        elif final == "@":
            self.cells[self.y] = (line[:self.x] + [" "] * count + line[self.x:])[:self.columns]
        elif final == "L":
            self.insert_lines(self.y, count)
        elif final == "M":
            self.delete_lines(self.y, count)
        elif final == "S":
            self.delete_lines(self.top, count)
        elif final == "T":
            self.insert_lines(self.top, count)
        elif final == "b":
            for _ in range(count):
                self.put(self.last)
        elif final == "r":
            self.top = count - 1
            self.bottom = (numbers[1] if len(numbers) > 1 and numbers[1] else self.lines) - 1
            self.x = self.y = 0
        elif final in "hl" and first == 4:
            self.inserts = final == "h"
        elif final not in "mlht":
            raise ValueError(f"found the sequence CSI {numbers} {final}, expected one that this terminal knows")

    def feed(self, data):
        """Returns what is left over: the beginning of a sequence or letter."""
        at = 0
        while at < len(data):
            byte = data[at]
            if byte == 0x1b:
                found = CSI.match(data, at)
                if found:
                    self.sequence(found[1].decode(), found[2].decode(), found[3].decode())
                    at = found.end()
                elif re.match(rb"\x1b[()].", data[at:at + 3]):
                    at += 3
                elif re.match(rb"\x1b[=>78M]", data[at:at + 2]):
                    if data[at + 1] == ord("M"):
                        self.up()
                    elif data[at + 1] in b"78":
                        self.save_or_restore(data[at + 1] == ord("7"))
                    at += 2
                elif len(data) - at < 32:
                    return data[at:]
                else:
                    raise ValueError(f"found {data[at:at + 16]!r}, expected a sequence that this terminal knows")
                continue
            if byte < 0x20:
                if byte == 0x0d:
                    self.x = 0
                elif byte == 0x0a:
                    self.down()
                elif byte == 0x08:
                    self.x = max(min(self.x, self.columns - 1) - 1, 0)
                elif byte not in (0x07, 0x0f, 0x0e):
                    raise ValueError(f"found the control character {byte:#x}, expected none such")
                at += 1
                continue
            size = 1 if byte < 0x80 else 2 if byte < 0xe0 else 3 if byte < 0xf0 else 4
            if at + size > len(data):
                return data[at:]
            self.put(data[at:at + size].decode())
            at += size
        return b""


class Terminal:
    def __init__(self, command, columns=80, lines=24, environment=None):
        self.master, self.slave = os.openpty()
        self.screen = Screen(columns, lines)
        self.bytes = b""
        self.rest = b""
        self.set_size(columns, lines)
        self.modes_before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            command, stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), env={**os.environ, **(environment or {})})

    def set_size(self, columns, lines):
        """As a terminal's window does: the kernel tells who runs in it by SIGWINCH."""
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, columns, lines):
        self.screen.resize(columns, lines)
        self.set_size(columns, lines)

    def read(self, seconds):
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        data = os.read(self.master, 65536)
        self.bytes += data
        self.rest = self.screen.feed(self.rest + data)
        return True

    def settle(self, seconds=0.3):
        while self.read(seconds):
            pass

    def press(self, keys):
        os.write(self.master, keys)

    def wait_for(self, pattern, seconds=10):
        """Until the screen has it. False: it does not come."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if re.search(pattern, self.screen.text()):
                return True
            self.read(0.1)
        return False

    def end(self, seconds=10):
        """Its exit status, when it has ended by itself; what it wrote last is read."""
        until = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < until:
            self.read(0.1)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
            return "none: it did not end"
        self.settle(0.1)
        return self.process.returncode

    def is_restored(self):
        return termios.tcgetattr(self.slave) == self.modes_before
