#!/usr/bin/env python3
"""Measures Anabranch on Kafka beside Kafka Streams, librdkafka and the raw limit, in turn, and prints one table."""

import argparse
import array
import dataclasses
import json
import os
import pathlib
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "kafka"))
from run import ROOT, make_items
from wire import Broker

HERE = ROOT / "bench/kafka"
PARTITIONS = 10
USERS = 100_000
NOTHING = [0] * PARTITIONS
# those of Kafka's own start script, where scripts/kafka has some for quick starts
BROKER_JAVA = "-Xms1g -Xmx1g -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35"
STREAMS_JAVA = ["-Xmx1g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"]
LONGEST_S = 900  # of one run
LOOK_S = 0.01

FLOW = """flow: {name}
streams: {{ source: {{}}, {name}: {{}} }}
steps: {{ job: {{ {step} }} }}
"""
STEPS = {
    "copy": "copy: source, to: {name}",
    "filter": "filter: source, where: \"item.country == 'SE'\", to: {name}",
    "reduce": "reduce: source, by: item.user, value: {{ amount: sum(item.amount) }}, to: {name}",
}
# ours against it: the factor, or the part of it
GOALS = {("copy", "Kafka Streams"): 10, ("copy", "raw"): 0.7, ("filter", "Kafka Streams"): 5, ("reduce", "Kafka Streams"): 5}
MEMORY_MB = 150

THREADS = ["num.stream.threads=2"]
# larger batches, and where there is a store a larger cache
BATCHES = ["producer.batch.size=262144", "producer.linger.ms=20"]
CACHE = ["statestore.cache.max.bytes=67108864"]
SECOND = ["commit.interval.ms=1000"]
# of each contestant the fastest variant is taken; exactly_once_v2 commits each 100 ms unless told otherwise
STREAMS = {
    "Kafka Streams": {
        "defaults": ["memory", *THREADS],
        "larger batches": ["memory", *THREADS, *BATCHES],
    },
    "Kafka Streams, commit 1 s": {"larger batches": ["memory", *THREADS, *BATCHES, *SECOND]},
}
STREAMS_REDUCE = {
    "Kafka Streams": {
        "RocksDB, defaults": ["rocksdb", *THREADS],
        "RocksDB, larger": ["rocksdb", *THREADS, *BATCHES, *CACHE],
        "in memory, larger": ["memory", *THREADS, *BATCHES, *CACHE],
    },
    "Kafka Streams, commit 1 s": {"in memory, larger": ["memory", *THREADS, *BATCHES, *CACHE, *SECOND]},
}


class Wrong(Exception):
    """A contestant that failed, or whose output is not what it has to be."""


@dataclasses.dataclass
class Run:
    whole: float  # seconds from start until everything can be read
    rate: float  # items of the source per second
    steady: bool  # from the first to the last commit that was seen; else over the whole run
    peak: float  # MB


@dataclasses.dataclass
class Contestant:
    job: str
    who: str
    variants: dict[str, Callable[[str], list]]  # the command for a target
    missing: str | None = None
    runs: list[Run] = dataclasses.field(default_factory=list)

    def label(self) -> str:
        return self.who + "".join(f" ({name})" for name in self.variants if name)

    def median(self, of: str) -> float:
        return statistics.median(getattr(run, of) for run in self.runs)


class Bench:
    """One broker, the source on it, and what may come out."""

    def __init__(self, folder: pathlib.Path, bootstrap: str, n: int, codec: str):
        self.folder, self.bootstrap, self.n, self.codec = folder, bootstrap, n, codec
        self.broker = Broker(bootstrap)
        self.turn = 0
        self.child: subprocess.Popen | None = None
        self.expected = {"copy": (0, 0), "filter": (0, 0)}
        self.sums = array.array("d", bytes(8 * USERS))
        self.users = 0

    def load(self, batch: int) -> None:
        """Kafka's own producer writes the source."""
        items = self.folder / "items.jsonl"
        make_items(items, self.n)
        seen = set()
        with items.open("rb") as lines:
            for line in lines:
                line = line[:-1]
                item = json.loads(line)
                self.expected["copy"] = add(self.expected["copy"], line)
                if item["country"] == "SE":
                    self.expected["filter"] = add(self.expected["filter"], line)
                self.sums[item["user"]] += item["amount"]
                seen.add(item["user"])
        self.users = len(seen)
        self.broker.create("source", PARTITIONS, {})
        with items.open("rb") as lines:
            self.tool("console-producer", "--topic", "source", "--compression-codec", self.codec,
                      "--max-partition-memory-bytes", str(batch), stdin=lines).wait()
        count, batches = self.broker.count("source", NOTHING)
        if count != self.n:
            sys.exit(f"the source has {count:,} items instead of {self.n:,}")
        size = items.stat().st_size
        items.unlink()
        print(f"{self.n:,} items, {size / 1e6:.0f} MB, {PARTITIONS} partitions, no keys, compression {self.codec}, "
              f"about {count / batches:.0f} items in a batch")

    def tool(self, name: str, *args: str, **streams) -> subprocess.Popen:
        return subprocess.Popen([ROOT / "scripts/kafka", "tool", name, "--bootstrap-server", self.bootstrap, *args], **streams)

    def measure(self, of: Contestant, command: Callable[[str], list], whole_check: bool) -> Run:
        """Runs it once, to a topic of its own, and looks at what it wrote."""
        self.turn += 1
        target = f"{of.job}-{self.turn}"
        self.broker.create(target, PARTITIONS, {"file.delete.delay.ms": "1000"})
        try:
            run = self.watch(of, command(target), target)
            self.check(of.job, target, whole_check)
        finally:
            self.end_child()
            ours = (target, f"{target}-", f"anabranch.{target}.")
            self.broker.delete([t for t in self.broker.topics() if t == target or t.startswith(ours[1:])])
        return run

    def watch(self, of: Contestant, command: list, target: str) -> Run:
        streams = of.who.startswith("Kafka Streams")
        by_input = streams and of.job == "reduce"  # its output is written again and again; what it has read is what counts
        began = time.perf_counter()
        first = last = None
        peak = 0.0
        with (self.folder / f"{target}.log").open("w+b") as log:
            self.child = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            while True:
                ended = self.child.poll() is not None
                read = sum(self.broker.committed(target, "source", PARTITIONS)) if streams else 0
                done = self.child.returncode == 0 if ended else read == self.n and (not by_input or self.drained(target))
                complete = done and self.broker.settled(target, PARTITIONS)
                value = read if by_input else sum(self.broker.ends(target, PARTITIONS))
                now = time.perf_counter()
                if value and first is None:
                    first = (now, value)
                if last is None or value != last[1]:
                    last = (now, value)
                peak = max(peak, peak_mb(self.child.pid))
                if complete or (ended and not done) or now - began > LONGEST_S:
                    break
                time.sleep(LOOK_S)
            if by_input:
                last = (now, value)
            if not done or (ended and streams):
                log.seek(0)
                said = log.read()[-2_000:].decode(errors="replace").strip()
                raise Wrong(f"it ended with {self.child.returncode}: {said}" if ended else f"it had not ended after {LONGEST_S} s: {said}")
        whole = now - began
        at_once = of.job == "reduce" and not streams  # all sums come when everything was read
        if first and not at_once and last[0] > first[0] and first[1] <= last[1] / 2:
            return Run(whole, self.n * (1 - first[1] / last[1]) / (last[0] - first[0]), True, peak)
        return Run(whole, self.n / whole, False, peak)

    def drained(self, application: str) -> bool:
        """Whether everything in the topic between was taken out of it; behind the last item there are markers."""
        between = f"{application}-by-user-repartition"
        if not self.broker.settled(between, PARTITIONS):
            return False
        read, ends = self.broker.committed(application, between, PARTITIONS), self.broker.ends(between, PARTITIONS)
        return sum(ends) > 0 and sum(ends) - sum(read) < 10_000 and self.broker.count(between, read)[0] == 0

    def check(self, job: str, target: str, whole: bool) -> None:
        """Counts what is committed; with `whole`, and for sums always, also looks into every item."""
        count, _ = self.broker.count(target, NOTHING)
        if job != "reduce":
            want, _ = self.expected[job]
            if count != want:
                raise Wrong(f"it wrote {count:,} items instead of {want:,}")
            if count == 0 or not whole:
                return
        reader = self.tool("console-consumer", "--topic", target, "--from-beginning", "--isolation-level", "read_committed", "--max-messages", str(count),
                           "--timeout-ms", "60000", "--property", f"print.key={str(job == 'reduce').lower()}",
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        with reader:
            if job == "reduce":
                self.check_sums(reader.stdout)
            else:
                found = (0, 0)
                for line in reader.stdout:
                    found = add(found, line.rstrip(b"\n"))
                if found != self.expected[job]:
                    raise Wrong("it wrote the right number of items, but not the right ones")

    def check_sums(self, lines) -> None:
        """The last value of each key is its sum."""
        found = {}
        for line in lines:
            key, value = line.rstrip(b"\n").split(b"\t")
            found[key] = value
        if len(found) != self.users:
            raise Wrong(f"it wrote {len(found):,} keys instead of {self.users:,}")
        for key, value in found.items():
            want, got = self.sums[int(key)], json.loads(value)["amount"]
            if abs(got - want) > 1e-6 * max(1.0, want):
                raise Wrong(f"user {int(key)} has {got} instead of {want}")

    def end_child(self) -> None:
        child, self.child = self.child, None
        if child is not None and child.poll() is None:
            child.terminate()
            try:
                child.wait(60)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    # the contestants

    def contestants(self) -> list[Contestant]:
        raw, no_raw = build_raw()
        copier, no_copier = build_librdkafka()
        streams, no_streams = build_streams()

        def on_streams(job: str, settings: list[str]):
            store, *rest = settings
            rest = [*rest, f"producer.compression.type={self.codec}", f"state.dir={self.folder / 'state'}"]
            return lambda target: ["java", *STREAMS_JAVA, "-cp", streams, "Streams", self.bootstrap, target, "source", target, job, store, *rest]

        def on_librdkafka(commit_ms: int):
            return lambda target: [copier, self.bootstrap, "source", target, str(PARTITIONS), str(commit_ms), self.codec]

        every = []
        for job in ("copy", "filter", "reduce"):
            every.append(Contestant(job, "anabranch", {"": lambda target, job=job: self.ours(job, target)}))
            if job == "copy":
                every.append(Contestant(job, "raw", {"": lambda target: [raw, self.bootstrap, "source", target]}, no_raw))
                every.append(Contestant(job, "librdkafka", {"commit 100 ms": on_librdkafka(100), "commit 1 s": on_librdkafka(1_000)}, no_copier))
            for who, variants in (STREAMS_REDUCE if job == "reduce" else STREAMS).items():
                every.append(Contestant(job, who, {name: on_streams(job, s) for name, s in variants.items()}, no_streams))
        return every

    def ours(self, job: str, target: str) -> list:
        flow = self.folder / f"{target}.yaml"
        flow.write_text(FLOW.format(name=target, step=STEPS[job].format(name=target)))
        return [ROOT / "target/release/anabranch", "run", "--kafka", self.bootstrap, flow]


def add(to: tuple[int, int], line: bytes) -> tuple[int, int]:
    """One more line: their number, and a sum that does not depend on their order."""
    return to[0] + 1, to[1] + zlib.crc32(line)


def peak_mb(pid: int) -> float:
    """The most memory that a process had; it only rises, so the last look before its end is near enough."""
    try:
        with open(f"/proc/{pid}/status") as status:
            return next((int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:")), 0.0)
    except OSError:
        return 0.0


def build_raw() -> tuple[pathlib.Path, str | None]:
    target = ROOT / "target/bench-raw"
    subprocess.run(["cargo", "build", "--release", "--locked", "--manifest-path", HERE / "raw/Cargo.toml", "--target-dir", target], check=True)
    return target / "release/raw", None


def build_librdkafka() -> tuple[pathlib.Path, str | None]:
    program = ROOT / "target/bench-librdkafka"
    if not shutil.which("cc"):
        return program, "not installed: a C compiler (Debian: apt-get install gcc libc6-dev)"

    def there() -> bool:
        look = subprocess.run(["cc", "-E", "-", "-o", os.devnull], input=b"#include <librdkafka/rdkafka.h>", stderr=subprocess.DEVNULL)
        return look.returncode == 0

    if not there() and os.geteuid() == 0 and shutil.which("apt-get"):
        print("installing librdkafka-dev", file=sys.stderr)
        for command in (["update", "-q"], ["install", "-qy", "librdkafka-dev"]):
            subprocess.run(["apt-get", *command], stdin=subprocess.DEVNULL, stdout=sys.stderr)
    if not there():
        return program, "not installed: librdkafka with its headers (Debian: apt-get install librdkafka-dev)"
    subprocess.run(["cc", "-O2", "-Wall", "-o", program, HERE / "librdkafka/copy.c", "-lrdkafka"], check=True)
    return program, None


def build_streams() -> tuple[str, str | None]:
    """The class path."""
    libs, pom = ROOT / "target/bench-streams", HERE / "streams/pom.xml"
    if not shutil.which("javac"):
        return "", "not installed: a JDK with javac, of at least 17 (Debian: apt-get install default-jdk-headless)"
    if not (libs / "pom.xml").exists() or (libs / "pom.xml").read_bytes() != pom.read_bytes():
        shutil.rmtree(libs, ignore_errors=True)
        fetched = subprocess.run(["mvn", "-q", "-B", "-Dstyle.color=never", "-f", pom, "dependency:copy-dependencies", "-DincludeScope=runtime",
                                  f"-DoutputDirectory={libs}"], stdin=subprocess.DEVNULL, stdout=sys.stderr)
        if fetched.returncode != 0:
            return "", "not installed: Maven did not fetch Kafka Streams"
        shutil.copy(pom, libs)
    subprocess.run(["javac", "-d", libs, "-cp", f"{libs}/*", HERE / "streams/Streams.java"], check=True)
    return f"{libs}:{libs}/*", None


def measure(bench: Bench, contestants: list[Contestant], rounds: int) -> bool:
    """Every contestant once a round, in turn; a round before only chooses among variants. False if one failed."""
    sound = True
    for contestant in contestants:
        if contestant.missing:
            print(f"\n  !! {contestant.who}: {contestant.missing}\n", file=sys.stderr)
    for turn in range(rounds + 1):
        for contestant in contestants:
            if contestant.missing:
                continue
            seen = {}
            try:
                for name, command in contestant.variants.items():
                    run = seen[name] = bench.measure(contestant, command, turn == 0)
                    print(f"  round {turn}: {contestant.job}, {contestant.who}{name and f' ({name})'}: {run.whole:.2f} s, {run.rate:,.0f} items/s", file=sys.stderr)
            except Wrong as e:
                contestant.missing, sound = f"FAILED: {e}", False
                print(f"\n  !! {contestant.job}, {contestant.who}: {contestant.missing}\n", file=sys.stderr)
                continue
            if turn == 0:
                best = max(seen, key=lambda name: seen[name].rate)
                contestant.variants = {best: contestant.variants[best]}
            else:
                contestant.runs += seen.values()
    return sound


def print_table(contestants: list[Contestant], broker_mb: float) -> None:
    print(f"\n{'job':8}{'who':46}{'whole run':>10}{'items/s':>13}   {'ours against it':20}{'peak memory':>12}")
    ours = {}
    for c in contestants:
        if not c.runs:
            print(f"{c.job:8}{c.who:46}{(c.missing or 'not measured').splitlines()[0]}")
            continue
        rate, goal, ratio = c.median("rate"), GOALS.get((c.job, c.who.split(",")[0])), ""
        if c.who == "anabranch":
            ours[c.job] = rate
        elif c.job in ours:
            against = ours[c.job] / rate
            part = goal is not None and goal < 1
            ratio = f"{against:.0%}" if part else f"{against:.1f} ×"
            ratio += "" if goal is None else f" (goal ≥ {goal:.0%})" if part else f" (goal ≥ {goal} ×)"
        peak = max(run.peak for run in c.runs)
        limit = f" (goal ≤ {MEMORY_MB})" if c.who == "anabranch" else ""
        mark = " " if all(run.steady for run in c.runs) else "*"
        print(f"{c.job:8}{c.label():46}{c.median('whole'):>8.2f} s{rate:>13,.0f}{mark}  {ratio:20}{peak:>9.0f} MB{limit}")
    print(f"{'':8}{'the broker':46}{'':46}{broker_mb:>9.0f} MB")
    print("items/s: of the source, steady, from the first to the last commit that a reader of committed items sees (reduce on Kafka Streams: that its group\n"
          "has made); * over the whole run with its start, as most of its output comes at once. Whole run: from start to exit (Kafka Streams, which does not\n"
          "end: to the commit behind the last item) and until all can be read. All outputs were counted, and in the first round compared item by item.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", metavar="NAME", help="a job (copy, filter, reduce), a contestant (raw, streams ...), or both: copy/streams")
    parser.add_argument("--codec", choices=["none", "lz4"], default="none", help="how the source, and what the peers write, is compressed")
    parser.add_argument("--batch", type=int, default=16_384, metavar="BYTES", help="batch.size of the producer of the source (Kafka's default)")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.environ["KAFKA_JAVA_OPTS"] = BROKER_JAVA
    subprocess.run(["cargo", "build", "--release", "--locked", "-p", "anabranch"], cwd=ROOT, check=True)
    script, sound = ROOT / "scripts/kafka", False
    with tempfile.TemporaryDirectory(prefix="bench-kafka-", dir=ROOT / "target") as name:
        folder, bench = pathlib.Path(name), None
        cluster = folder / "broker"
        try:
            subprocess.run([script, "start", "--dir", cluster, "--parent", str(os.getpid())], check=True, stdout=sys.stderr)
            bench = Bench(folder, (cluster / "bootstrap").read_text().strip(), args.items, args.codec)
            contestants = [c for c in bench.contestants() if wanted(c, args.only)]
            if not contestants:
                sys.exit(f"--only {args.only}: nothing has that name")
            bench.load(args.batch)
            sound = measure(bench, contestants, args.rounds)
            print_table(contestants, peak_mb(int((cluster / "broker-1/pid").read_text())))
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            if bench:
                bench.end_child()
            subprocess.run([script, "stop", "--now", "--dir", cluster])
    sys.exit(0 if sound else 1)


def wanted(c: Contestant, only: str | None) -> bool:
    return all(part in (c.job, c.who) or part in c.who.lower().replace(",", "").split() for part in (only or "").split("/") if part)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
