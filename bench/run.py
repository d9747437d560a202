#!/usr/bin/env python3
"""Measures Anabranch beside DuckDB and the disk's own, in turn, and prints one table."""

import argparse
import json
import os
import pathlib
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
COUNTRIES = ["SE", "US", "DE", "IN", "BR", "JP", "NG", "FR"]


def make_items(path: pathlib.Path, n: int) -> None:
    rnd = random.Random(7)
    with path.open("w") as out:
        for i in range(n):
            item = {"id": i, "user": rnd.randrange(100_000), "amount": round(rnd.uniform(1, 500), 2), "country": rnd.choice(COUNTRIES),
                    "channel": rnd.choice(["email", "sms"]), "name": f"user-{rnd.randrange(10**6)}", "ts": 1_700_000_000_000 + i}
            out.write(json.dumps(item, separators=(",", ":")) + "\n")


FILTER = """flow: filter
streams: { all: { source: items.jsonl }, kept: { sink: out/kept.jsonl } }
steps: { kept: { filter: all, where: "item.country == 'SE'" } }
"""
REDUCE = """flow: reduce
streams: { all: { source: items.jsonl }, sums: { sink: out/sums.jsonl } }
steps: { sums: { reduce: all, by: item.user, value: { amount: sum(item.amount) } } }
"""
SMALL = FILTER.replace("flow: filter", "flow: small").replace("items.jsonl", "small.jsonl").replace("kept.jsonl", "small-kept.jsonl")
INGEST = """flow: ingest
streams: { all: { source: items.jsonl }, logged: { partitions: 1 } }
steps: { ingest: { copy: all, to: logged } }
"""
COPY = """flow: copy
streams: { logged: {}, copied: {} }
steps: { copier: { copy: logged, to: copied } }
"""
JOIN = """flow: join
streams: { all: { source: items.jsonl }, n: { sink: out/n.jsonl } }
steps:
  parts: { shard: all, by: item.user, shards: 4, to: spread }
  gate:  { join: spread }
  n:     { reduce: gate, value: count() }
"""
RELEASE = """flow: release
streams: { all: { source: items.jsonl }, out: { sink: out/released.jsonl } }
steps:
  parts: { shard: all, by: item.user, shards: 4, to: spread }
  gate:  { join: spread, to: out }
"""
DUCKDB = """
import duckdb, sys, time
con = duckdb.connect(config={'threads': 2})
con.execute("select 1")
query = {
  'filter': "copy (select * from read_json('items.jsonl', format='newline_delimited') where country = 'SE') to 'duck.jsonl' (format json)",
  'reduce': "copy (select user, sum(amount) as amount from read_json('items.jsonl', format='newline_delimited') group by user) to 'duck.jsonl' (format json)",
}[sys.argv[1]]
began = time.perf_counter()
con.execute(query)
print(time.perf_counter() - began)
"""


class Bench:
    def __init__(self, folder: pathlib.Path, rounds: int):
        self.folder, self.rounds = folder, rounds
        self.program = ROOT / "target/release/anabranch"
        self.python = None

    def flow(self, name: str, text: str) -> None:
        (self.folder / f"{name}.yaml").write_text(text)

    def ours(self, name: str) -> tuple[float, float]:
        """Seconds from start to exit, and the peak memory in MB."""
        began = time.perf_counter()
        child = subprocess.Popen([self.program, "run", f"{name}.yaml", "-q"], cwd=self.folder)
        _, status, usage = os.wait4(child.pid, 0)
        took = time.perf_counter() - began
        if os.waitstatus_to_exitcode(status) != 0:
            sys.exit(f"{name} failed")
        return took, usage.ru_maxrss / 1024

    def duckdb(self, name: str) -> float | None:
        if self.python is None:
            venv = ROOT / "target/bench-venv"
            self.python = venv / "bin/python"
            if not self.python.exists():
                subprocess.run([sys.executable, "-m", "venv", venv], check=True)
            subprocess.run([self.python, "-m", "pip", "install", "-q", "duckdb"], check=True)
        out = subprocess.run([self.python, "-c", DUCKDB, name], cwd=self.folder, check=True, capture_output=True, text=True)
        return float(out.stdout)

    def disk(self, size: int, piece: int = 4 << 20) -> float:
        """Seconds to append so many bytes in pieces, each synced."""
        data = os.urandom(piece)
        path = self.folder / "disk"
        began = time.perf_counter()
        with path.open("wb", buffering=0) as out:
            for _ in range(max(1, size // piece)):
                out.write(data)
                os.fdatasync(out.fileno())
        took = time.perf_counter() - began
        path.unlink()
        return took

    def clean(self) -> None:
        shutil.rmtree(self.folder / ".anabranch", ignore_errors=True)

    def turns(self, *measures):
        """Each measure once a round, in turn; the medians."""
        rounds = [[measure() for measure in measures] for _ in range(self.rounds + 1)][1:]
        return [statistics.median(column) for column in zip(*rounds)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    subprocess.run(["cargo", "build", "--release", "--locked", "-p", "anabranch"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as name:
        measure(Bench(pathlib.Path(name), args.rounds), args.items)


def measure(bench: Bench, n: int) -> None:
    make_items(bench.folder / "items.jsonl", n)
    make_items(bench.folder / "small.jsonl", 1_000)
    for name, text in [("filter", FILTER), ("reduce", REDUCE), ("small", SMALL), ("ingest", INGEST), ("copy", COPY), ("join", JOIN), ("release", RELEASE)]:
        bench.flow(name, text)
    size = (bench.folder / "items.jsonl").stat().st_size
    memory = {}

    def ours(name: str) -> float:
        took, peak = bench.ours(name)
        memory[name] = max(memory.get(name, 0), peak)
        return took

    print(f"{n:,} items, {size / 1e6:.0f} MB; medians of {bench.rounds} rounds, in turn")
    for name in ("filter", "reduce"):
        mine, theirs = bench.turns(lambda: ours(name), lambda: bench.duckdb(name))
        row(f"{name}, file to file, durable", f"{mine:.2f} s", f"DuckDB, the query alone {theirs:.2f} s", f"{mine / theirs:.2f} × (goal ≤ 2)", memory[name])
    (mine,) = bench.turns(lambda: ours("small"))
    row("start to exit, 1,000 items", f"{mine * 1000:.0f} ms", "", "goal ≤ 50 ms", memory["small"])

    def ingest() -> float:
        bench.clean()
        return ours("ingest")

    mine, theirs = bench.turns(ingest, lambda: bench.disk(size))
    row("ingest, synced", f"{mine:.2f} s", f"disk, append + sync {theirs:.2f} s", f"{theirs / mine:.0%} (goal ≥ 60 %)", memory["ingest"])
    ours("ingest")
    first, second = ours("copy"), ours("copy")
    row("copy by reference", f"{first:.3f} s", f"nothing to copy {second:.3f} s", f"{n / max(first - second, 1e-3) / 1e6:.0f} M items/s", memory["copy"])
    (mine,) = bench.turns(lambda: ours("join"))
    row("shard, join, count", f"{mine:.2f} s", "", "memory ≤ 200 MB", memory["join"])

    def release() -> float:
        """From the last write of the join's input to the first bytes behind the gate, committed and read in between."""
        bench.clean()
        ours("release")
        last = max(path.stat().st_mtime for path in (bench.folder / ".anabranch/seg").iterdir())
        born = subprocess.run(["stat", "-c", "%.9W", bench.folder / "out/released.jsonl"], check=True, capture_output=True, text=True)
        return float(born.stdout) - last

    (mine,) = bench.turns(release)
    row("join released, last write to out", f"{mine * 1000:.0f} ms", "", "goal ≤ 100 ms", memory["release"])


def row(what: str, mine: str, theirs: str, ratio: str, peak: float) -> None:
    print(f"{what:32} {mine:>9}   {theirs:34} {ratio:22} {peak:5.0f} MB")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
