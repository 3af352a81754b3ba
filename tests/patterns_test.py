#!/usr/bin/python3
"""Random patterns over random payloads: fettle finds each in as many packets as Python's `re` does.

  patterns_test.py FETTLE [SEED]

What the two write differently is left out or translated: the end alone is \\z here and \\Z there, and a pattern that
matches no bytes is refused here.
"""
import json
import os
import random
import re
import struct
import subprocess
import sys
import tempfile

LETTERS = "abAB.-\n 09"
ATOMS = ["a", "b", "A", ".", r"\d", r"\w", r"\s", r"\n", r"\x00", r"\xff", r"\xe4", "[ab]", "[^a]", "[0-9-]", r"\.",
         "ab", "(?:a|b0)", "(ab|-)", r"[\x80-\xff]", "[[:digit:]]"]
PYTHON = {r"\z": r"\Z", "[[:digit:]]": "[0-9]"}


def make_pattern(dice):
    parts = [dice.choice(ATOMS) + dice.choice(["", "", "", "+", "?", "*", "{2}", "{1,3}", "+?"])
             for _ in range(dice.randint(1, 5))]
    text = "".join(parts)
    if dice.random() < 0.2:
        text += "|" + dice.choice(ATOMS) * 2
    if dice.random() < 0.2:
        text = "^" + text
    if dice.random() < 0.2:
        text += dice.choice(["$", r"\z"])
    return dice.choice(["", "", "(?i)", "(?s)", "(?m)", "(?is)"]) + text


def in_python(text):
    for mine, python in PYTHON.items():
        text = text.replace(mine, python)
    return re.compile(text.encode("latin-1"))


def make_payload(dice):
    return bytes(ord(dice.choice(LETTERS)) if dice.random() < 0.9 else dice.choice([0, 0x80, 0xe4, 0xff])
                 for _ in range(dice.randint(0, 24)))


def packet_of(payload):
    udp = struct.pack(">HHHH", 1, 2, 8 + len(payload), 0) + payload
    return struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, b"\x0a\0\0\1", b"\x0a\0\0\2") + udp


def write_capture(path, packets):
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101))
        for packet in packets:
            f.write(struct.pack("<IIII", 0, 0, len(packet), len(packet)) + packet)


def fettle_hits(fettle, patterns, payloads):
    with tempfile.TemporaryDirectory() as scratch:
        rules, capture = os.path.join(scratch, "rules.toml"), os.path.join(scratch, "in.pcap")
        with open(rules, "w") as f:
            for pattern in patterns:
                f.write(f"[[rule]]\nmatch = {{ payload = '{pattern}' }}\nsteps = []\n")
        write_capture(capture, map(packet_of, payloads))
        done = subprocess.run([fettle, "replay", "--json", "--quiet", "--rules", rules, capture,
                               os.path.join(scratch, "out.pcap")], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"fettle replay exits {done.returncode}: {done.stderr}")
    return [rule["hits"] for rule in json.loads(done.stdout)["rules"]]


def main():
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    patterns = list(dict.fromkeys(make_pattern(dice) for _ in range(400)))
    patterns = [pattern for pattern in patterns if not in_python(pattern).search(b"")]
    payloads = [make_payload(dice) for _ in range(400)]
    wrong = found = 0
    for pattern, hits in zip(patterns, fettle_hits(sys.argv[1], patterns, payloads), strict=True):
        expected = sum(in_python(pattern).search(payload) is not None for payload in payloads)
        found += expected
        if hits != expected:
            wrong += 1
            print(f"{pattern!r}: found in {hits} payloads, expected {expected}")
    if wrong or found == 0:
        sys.exit(f"{wrong} of {len(patterns)} patterns are found otherwise than by re, or none is found at all")
    print(f"{len(patterns)} patterns are found in {found} payloads, by both")


if __name__ == "__main__":
    main()
