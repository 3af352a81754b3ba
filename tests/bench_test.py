#!/usr/bin/python3
"""The benchmarks run and report; how fast they are is no matter here.

    bench_test.py BUILD-FOLDER          every micro-benchmark but the largest for an instant, bench/replay from file to file
    bench_test.py BUILD-FOLDER live     rows of bench/live, and bench/replay live, for an instant; as root, else 77
"""
import glob
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "bench"))
from lib import network  # noqa: E402

BUILD = os.path.abspath(sys.argv[1])
RUN_FIELDS = ("pps", "user_ns", "system_ns", "kworker_ns", "cpu_ns", "lost", "sent", "others", "stolen")


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{' '.join(words)}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def micro():
    sources = sorted(glob.glob(f"{ROOT}/bench/*_bench.cc"))
    programs = [f"{BUILD}/bench/{os.path.basename(source)[:-3]}" for source in sources]
    assert programs, "no micro-benchmark in bench/"
    for program in programs:
        # Those over 100,000 rules do what those over 10,000 do, and take half a minute more.
        words = (program, "--benchmark_min_time=0.001", "--benchmark_format=json", "--benchmark_filter=-/100000")
        found = json.loads(run(*words))["benchmarks"]
        assert found, f"{program} has no benchmark"
        broken = [b["name"] for b in found if b.get("error_occurred") or not b["cpu_time"] > 0]
        assert not broken, f"{program}: {broken}"
        print(f"{os.path.basename(program)}: {len(found)} benchmarks")


def check_machine(result):
    assert {"kernel", "cpu", "date", "commit"} <= result["machine"].keys(), result["machine"]


def live(folder):
    out = f"{folder}/live.json"
    rows = ("right", "accept-64", "latency", "tcp", "recovery")
    run(f"{ROOT}/bench/live", "--build", BUILD, "--reps", "1", "--seconds", "0.4", "--tries", "1", "--quiet", "0",
        "--json", out, *rows)
    with open(out) as f:
        result = json.load(f)
    check_machine(result)
    assert [row["name"] for row in result["rows"]] == list(sorted(rows, key=[r["name"] for r in result["rows"]].index))
    for row in result["rows"]:
        assert row["claims"] and row["parts"], row["name"]
        for part in row["parts"]:
            for one in part["runs"]:
                missing = [k for k in RUN_FIELDS if k not in one]
                assert not missing, f"{row['name']}, {part['name']}: no {missing}"
                assert one["pps"] > 0 or part["role"] == "plain", f"{row['name']}, {part['name']}: nothing arrived"
    right = next(row for row in result["rows"] if row["name"] == "right")
    assert all(claim["met"] for claim in right["claims"]), json.dumps(right["claims"], indent=1)
    print(f"bench/live: {len(rows)} rows")


def replay(folder, only):
    out = f"{folder}/replay.json"
    run(f"{ROOT}/bench/replay", "--build", BUILD, "--reps", "1", "--seconds", "0.4", "--quiet", "0",
        "--packets", "5000", "--json", out, *only)
    with open(out) as f:
        result = json.load(f)
    check_machine(result)
    for one in result["offline"]:
        assert one["packets"] == 5000, one
        assert one["programs"][0]["ns_per_packet"] > 0, one
    for one in result["live"]:
        for part in one["parts"]:
            assert part["runs"][0]["sink"]["received"] > 0, f"{part['name']}: nothing arrived"
            assert part["runs"][0]["sink"]["latency_ns"]["samples"] > 0, part["name"]
    assert result["offline"] or result["live"]
    print(f"bench/replay: {only[-1]}")


def main():
    in_network = sys.argv[2:] == ["live"]
    if in_network and (why := network.available()):
        print(f"bench: {why}")
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="fettle-bench-test-") as folder:
        if in_network:
            replay(folder, ("--only", "live"))
            live(folder)
        else:
            micro()
            replay(folder, ("--only", "offline"))
    for tool in ("live", "replay", "compare"):
        assert "usage:" in run(f"{ROOT}/bench/{tool}", "--help")


if __name__ == "__main__":
    main()
