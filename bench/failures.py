#!/usr/bin/env python3
"""Measures what failed items cost: dead letters listed and tried again, and the logs of calls, each beside the same without, in turn."""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
LETTERS = """flow: letters
streams: { all: { source: items.jsonl }, out: { sink: out.jsonl } }
steps: { out: { work: all, set: { q: '100 / item.n' }, to: out } }
"""
CALLS = """flow: calls-%s
streams: { all: { source: calls.jsonl }, out: { sink: out-%s.jsonl } }
steps: { out: { work: all, exec: ['true'], logs: %s, concurrency: 4, to: out } }
"""


def run(folder: pathlib.Path, args: list[str], exits: int) -> tuple[float, float]:
    """Seconds, and the most memory in MiB."""
    before = time.monotonic()
    child = subprocess.Popen([str(ROOT / "target/release/anabranch"), *args], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, used = os.wait4(child.pid, 0)
    took = time.monotonic() - before
    said = child.stderr.read().decode()
    code = os.waitstatus_to_exitcode(status)
    if code != exits:
        raise SystemExit(f"{args} ended with {code}: {said}")
    return took, used.ru_maxrss / 1024


def letters(n: int, rounds: int) -> list[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        times: dict[str, list[float]] = {"plain": [], "fails": [], "list": [], "retry": [], "memory": []}
        for _ in range(rounds):
            (folder / "flow.yaml").write_text(LETTERS.replace("item.n", "(item.n + 1)"))
            (folder / "items.jsonl").write_text("".join(json.dumps({"id": i, "n": 0}) + "\n" for i in range(n)))
            times["plain"].append(run(folder, ["run", "-q", "--data", "plain"], 0)[0])
            (folder / "flow.yaml").write_text(LETTERS)
            times["fails"].append(run(folder, ["run", "-q"], 3)[0])
            took, memory = run(folder, ["dead", "list"], 0)
            times["list"].append(took)
            times["memory"].append(memory)
            (folder / "flow.yaml").write_text(LETTERS.replace("item.n", "(item.n + 1)"))
            took, memory = run(folder, ["dead", "retry", "--all", "-q"], 0)
            times["retry"].append(took)
            times["memory"].append(memory)
        middle = {what: statistics.median(all) for what, all in times.items()}
    return [
        (f"{n:,} items pass", f"{middle['plain']:.2f} s"),
        (f"{n:,} items fail", f"{middle['fails']:.2f} s, {middle['fails'] / middle['plain']:.1f} of that"),
        ("dead list, first page", f"{1000 * middle['list']:.0f} ms"),
        ("dead retry --all, all pass", f"{middle['retry']:.2f} s, {middle['retry'] / middle['plain']:.1f} of a run of them"),
        ("most memory", f"{max(times['memory']):.0f} MiB"),
    ]


def calls(n: int, rounds: int) -> list[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "calls.jsonl").write_text("".join(json.dumps({"id": i}) + "\n" for i in range(n)))
        times: dict[str, list[float]] = {"none": [], "failed": [], "all": []}
        for logs in times:
            (folder / f"{logs}.yaml").write_text(CALLS % (logs, logs, logs))
        for _ in range(rounds):
            for logs, all in times.items():
                all.append(run(folder, ["run", f"{logs}.yaml", "-q"], 0)[0])
        middle = {what: statistics.median(all) for what, all in times.items()}
    none = middle["none"]
    return [
        (f"{n:,} calls, logs: none", f"{none:.2f} s"),
        ("logs: failed, none fails", f"{100 * middle['failed'] / none - 100:+.1f} %"),
        ("logs: all", f"{100 * middle['all'] / none - 100:+.1f} %"),
    ]


def main() -> None:
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--letters", type=int, default=100_000)
    parse.add_argument("--calls", type=int, default=10_000)
    parse.add_argument("--rounds", type=int, default=5)
    args = parse.parse_args()
    subprocess.run(["cargo", "build", "-q", "--release", "--locked", "-p", "anabranch"], cwd=ROOT, check=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for what, is_ in letters(args.letters, args.rounds) + calls(args.calls, args.rounds):
        print(f"{what:32} {is_}")


if __name__ == "__main__":
    main()
