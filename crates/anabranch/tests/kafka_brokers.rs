//! Exactly once while brokers stop, die and come back: a run may wait, it loses and repeats nothing.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use anabranch_testkit::cluster::Cluster;
use common::{Place, sorted};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Stdio};

const FLOW: &str = "
flow: brokers
streams:
  in: { partitions: 6, replication-factor: 3 }
  mid: { partitions: 6, replication-factor: 3 }
  out: { partitions: 6, replication-factor: 3 }
  sums: { sink: out/sums.jsonl }
steps:
  mid: { copy: in, to: mid }
  out: { filter: mid, where: 'true' }
  sums: { reduce: out, value: count() }
";

/// Items of a round.
const ITEMS: usize = 3_000;

struct Rounds {
    cluster: Cluster,
    place: Place,
    produced: Vec<String>,
    /// Runs that were at work when a broker was gone.
    hit: usize,
}

impl Rounds {
    fn new() -> Rounds {
        let cluster = Cluster::start(3);
        let place = Place::with(FLOW, &[]).on(cluster.bootstrap());
        place.run(&["streams", "create", "in", "--partitions", "6", "--replication-factor", "3"]).exits(0);
        Rounds { cluster, place, produced: vec![], hit: 0 }
    }

    /// New items, and a run of the flow that has begun.
    fn begin(&mut self, name: &str) -> Child {
        let items: Vec<String> = (0..ITEMS).map(|i| format!("\"{name}-{i}\"")).collect();
        self.place.feed(&["produce", "in", "-q"], (items.join("\n") + "\n").as_bytes()).exits(0);
        self.produced.extend(items);
        self.place.command(&["run"]).spawn().expect("starts")
    }

    /// The run ends well, or, where it gave up, the next one does.
    fn end(&self, run: Child) {
        let ended = run.wait_with_output().expect("ends");
        if !ended.status.success() {
            self.place.run(&["run"]).exits(0).says("balanced ✓");
        }
    }

    /// Kafka's own reader finds each item once, and the flow has counted the last round.
    fn hold(mut self) {
        let seen = sorted(&self.cluster.committed("out", &[], self.produced.len()));
        self.produced.sort();
        assert_eq!(seen.len(), self.produced.len());
        assert_eq!(seen, self.produced);
        let counted = self.place.read("out/sums.jsonl");
        assert!(counted.lines().all(|l| l == ITEMS.to_string()), "{counted}");
        assert_eq!(counted.lines().count() * ITEMS, self.produced.len());
        assert!(self.hit > 0, "no run was at work when a broker was gone");
    }
}

/// A stopped broker keeps its connections and answers nothing: markers of commits land when it goes on.
#[test]
fn markers_that_come_late_cost_nothing() {
    let mut rounds = Rounds::new();
    for broker in [1, 2, 3, 1, 2, 3] {
        let mut run = rounds.begin(&format!("pause-{}", rounds.produced.len()));
        rounds.cluster.pause(broker);
        rounds.hit += usize::from(run.try_wait().expect("waits").is_none());
        std::thread::park_timeout(std::time::Duration::from_secs(2)); // what is tried is the silence
        rounds.cluster.resume(broker);
        rounds.end(run);
    }
    rounds.hold();
}

/// Each broker is killed in the middle of a run and comes back: leaders and coordinators move.
#[test]
fn brokers_that_die_and_come_back() {
    let mut rounds = Rounds::new();
    for broker in [1, 2, 3] {
        let mut run = rounds.begin(&format!("kill-{broker}"));
        rounds.cluster.kill(broker);
        rounds.hit += usize::from(run.try_wait().expect("waits").is_none());
        rounds.end(run);
        rounds.cluster.restart(broker);
    }
    rounds.hold();
}

/// Lines that were taken from a pipe and not committed when a broker went are not lost: the process has them still.
#[test]
fn standard_input_outlives_a_broker() {
    let cluster = Cluster::start(1);
    let flow = "
flow: piped
streams: { all: { source: stdin, format: text }, out: { partitions: 2, format: text } }
steps: { out: { copy: all, to: out } }
";
    let place = Place::with(flow, &[]).on(cluster.bootstrap());
    let mut run = place.command(&["run"]).stdin(Stdio::piped()).spawn().expect("starts");
    let mut input = run.stdin.take().expect("a pipe");
    input.write_all(b"a\nb\n").expect("writes");
    let seen = || place.run(&["consume", "out", "--from-beginning", "-q"]);
    while !seen().out.contains('b') {
        assert!(run.try_wait().expect("waits").is_none(), "it ended before its input");
    }
    cluster.kill(1);
    input.write_all(b"c\nd\n").expect("writes");
    cluster.restart(1);
    input.write_all(b"e\n").expect("writes");
    drop(input);
    let ended = run.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && said.contains("a lane was lost"), "{said}");
    assert_eq!(sorted(&seen().out), ["a", "b", "c", "d", "e"]);
}

/// All brokers are gone for 20 s: the run says that it waits, and goes on when they are back.
#[test]
fn all_brokers_gone_for_a_while() {
    let mut rounds = Rounds::new();
    let mut run = rounds.begin("gone");
    (1..=3).for_each(|broker| rounds.cluster.kill(broker));
    rounds.hit += usize::from(run.try_wait().expect("waits").is_none());
    std::thread::park_timeout(std::time::Duration::from_secs(20)); // what is tried is the silence
    rounds.cluster.start_again();
    let ended = run.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && said.contains("retrying"), "{said}");
    rounds.hold();
}

/// A broker that is not known while a flow makes its streams is trouble that passes: it may be on its way.
#[test]
fn streams_are_made_when_a_broker_is_back() {
    let cluster = Cluster::start(3);
    let flow = "
flow: early
streams: { in: { source: { items: [1, 2, 3] } }, out: { replication-factor: 3 } }
steps: { c: { copy: in, to: out } }
";
    let place = Place::with(flow, &[]).on(cluster.bootstrap());
    cluster.kill(3);
    let gone = cluster.tool("cluster", &["unregister", "--bootstrap-server", cluster.bootstrap(), "--id", "3"], "");
    assert!(gone.status.success(), "{}", String::from_utf8_lossy(&gone.stderr));
    let mut run = place.command(&["run"]).spawn().expect("starts");
    let mut said = BufReader::new(run.stderr.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains("larger than the number of brokers; retrying") {
        assert!(said.read_line(&mut line).expect("reads") > 0, "{line}");
    }
    cluster.restart(3);
    said.read_to_string(&mut line).expect("reads");
    assert!(run.wait().expect("ends").success() && line.contains("balanced ✓"), "{line}");
    assert_eq!(place.run(&["consume", "out", "-q"]).out.lines().count(), 3);
}
