#!/usr/bin/python3
"""Runs a scenario: a folder with rules.toml, in.pcap, what must come out (out.pcap, byte for byte) and what
must be counted (summary.json).

  scenarios_test.py FETTLE FOLDER
"""
import json
import os
import subprocess
import sys
import tempfile


def main():
    fettle, folder = sys.argv[1:3]
    with tempfile.TemporaryDirectory() as scratch:
        out = os.path.join(scratch, "out.pcap")
        done = subprocess.run([fettle, "replay", "--json", "--quiet", "--rules", f"{folder}/rules.toml", f"{folder}/in.pcap",
                               out], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"fettle replay exits {done.returncode}: {done.stderr}")
        with open(out, "rb") as mine, open(f"{folder}/out.pcap", "rb") as wanted:
            got, expected = mine.read(), wanted.read()
    if got != expected:
        at = next((i for i, (a, b) in enumerate(zip(got, expected)) if a != b), min(len(got), len(expected)))
        sys.exit(f"{len(got)} bytes came out, {len(expected)} expected; the first difference is at byte {at}:\n"
                 f"  {got[at:at + 16].hex(' ')}\n  {expected[at:at + 16].hex(' ')}")
    summary = json.loads(done.stdout)
    with open(f"{folder}/summary.json") as f:
        wanted = json.load(f)
    counted = {key: summary[key] for key in wanted if key != "rules"}
    counted["rules"] = [[rule["hits"], rule["misses"]] for rule in summary["rules"]]
    if counted != wanted:
        sys.exit(f"counted {counted}, expected {wanted}")
    print(f"{os.path.basename(folder)}: {summary['packets']} packets as expected")


if __name__ == "__main__":
    main()
