//! What goes wrong with topics, on a real broker: each a sentence that says what to do, and no item lost or repeated.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use anabranch_testkit::cluster::Cluster;
use common::{Place, sorted};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const FLOW: &str = "
flow: faults
streams: { in: { format: text }, out: { format: text } }
steps: { out: { copy: in, to: out } }
";

fn lines(prefix: &str, n: usize) -> Vec<String> {
    (0..n).map(|i| format!("{prefix}-{i}")).collect()
}

fn produce(place: &Place, lines: &[String]) {
    place.feed(&["produce", "in", "-q"], (lines.join("\n") + "\n").as_bytes()).exits(0);
}

/// A reader that is not ours finds these in `out`.
#[track_caller]
fn are_copied(cluster: &Cluster, lines: &[String]) {
    assert_eq!(sorted(&cluster.committed("out", &[], lines.len())), sorted(&lines.join("\n")));
}

/// Cuts all partitions of `in` at their ends.
fn cut(cluster: &Cluster, place: &Place, partitions: usize) {
    let all: Vec<String> =
        (0..partitions).map(|p| format!(r#"{{"topic":"in","partition":{p},"offset":-1}}"#)).collect();
    place.write("cut.json", format!(r#"{{"version":1,"partitions":[{}]}}"#, all.join(",")));
    let file = place.path().join("cut.json").display().to_string();
    let done = cluster.tool("delete-records", &["--offset-json-file", &file], "");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn topics_that_are_missing_wrong_grown_cut_or_recreated() {
    let cluster = Cluster::start(1);
    let place = Place::with(FLOW, &[]).on(cluster.bootstrap());
    place.run(&["run"]).exits(2).says("there is no stream in here").says("anabranch streams create in");
    let wrong =
        |n: &str, f: &str| FLOW.replacen("out: {", &format!("out: {{ partitions: {n}, replication-factor: {f},"), 1);
    place.write("flow.yaml", wrong("2", "3"));
    place.run(&["streams", "create", "in", "--partitions", "2"]).exits(0);
    place.run(&["run"]).exits(2).says("replication factor is larger than the number of brokers");
    place.write("flow.yaml", FLOW);
    let mut all = lines("first", 50);
    produce(&place, &all);
    place.run(&["run"]).exits(0).says("balanced ✓    50 read = 50 stored");
    place.write("flow.yaml", wrong("5", "1"));
    place.run(&["run"]).exits(2).says("the stream out has 2 partitions, not 5").says("write  partitions: 2");
    place.write("flow.yaml", FLOW);

    // the topic gets more partitions between runs
    let grown = cluster.tool("topics", &["--alter", "--topic", "in", "--partitions", "4"], "");
    assert!(grown.status.success(), "{}", String::from_utf8_lossy(&grown.stderr));
    let keys = ["--topic", "in", "--property", "parse.key=true", "--property", "key.separator=:"];
    let more = lines("grown", 40);
    let keyed: Vec<String> = more.iter().enumerate().map(|(i, l)| format!("{i}:{l}\n")).collect();
    cluster.tool("console-producer", &keys, &keyed.concat());
    place.run(&["run"]).exits(0).says("balanced ✓    40 read = 40 stored");
    all.extend(more);

    // retention takes what was not read
    produce(&place, &lines("never read", 30));
    cut(&cluster, &place, 4);
    let told = place.run(&["run"]).exits(1).says("the rest was deleted");
    let help = told.err.split("  = to continue with what is there:  anabranch ").nth(1).expect("says what to do");
    let reset: Vec<&str> = help.split_whitespace().collect();
    assert_eq!(reset, ["groups", "reset", "faults.out", "--stream", "in", "--to-earliest"]);
    let more = lines("read again", 20);
    produce(&place, &more);
    all.extend(more);
    place.run(&["run"]).exits(1).says("the rest was deleted"); // never reset silently
    place.run(&reset).exits(0);
    place.run(&["run"]).exits(0).says("balanced ✓    20 read = 20 stored");
    are_copied(&cluster, &all);

    // the topic is deleted and made again
    place.run(&["streams", "delete", "in"]).exits(0);
    place.run(&["run"]).exits(2).says("there is no stream in here");
    place.run(&["streams", "create", "in", "--partitions", "4"]).exits(0);
    place.run(&["run"]).exits(1).says("it was recreated");
    place.run(&reset).exits(0);
    let more = lines("again", 10);
    produce(&place, &more);
    all.extend(more);
    place.run(&["run"]).exits(0).says("balanced ✓    10 read = 10 stored");
    are_copied(&cluster, &all);

    // and once more, with more in it than was read of the last one
    place.run(&["streams", "delete", "in"]).exits(0);
    place.run(&["streams", "create", "in", "--partitions", "4"]).exits(0);
    let more = lines("longer", 400);
    produce(&place, &more);
    place.run(&["run"]).exits(1).says("it was recreated");
    place.run(&reset).exits(0);
    all.extend(more);
    place.run(&["run"]).exits(0).says("balanced ✓    400 read = 400 stored");
    are_copied(&cluster, &all);

    // what the flow writes is recreated as well
    place.run(&["streams", "delete", "out"]).exits(0);
    produce(&place, &lines("last", 3));
    place.run(&["run"]).exits(0).says("out was recreated").says("balanced ✓    3 read = 3 stored");
    are_copied(&cluster, &lines("last", 3));
}

#[test]
fn what_is_cut_in_the_middle_of_a_run_closes_it_as_failed() {
    let cluster = Cluster::start(1);
    let slow = FLOW.replace("copy: in, to: out", "work: in, exec: [sh, -c, 'sleep 0.2; cat'], concurrency: 1");
    let place = Place::with(&slow, &[]).on(cluster.bootstrap());
    place.run(&["streams", "create", "in", "--partitions", "2"]).exits(0);
    for _ in 0..4 {
        produce(&place, &lines("cut", 1500)); // more than one window
    }
    let mut run = place.command(&["run", "-q"]).stderr(Stdio::null()).spawn().expect("starts");
    let begun = Instant::now();
    while !place.run(&["explain"]).out.contains("· running") {
        assert!(begun.elapsed() < Duration::from_secs(30), "the run does not begin");
    }
    run.kill().expect("kills");
    run.wait().expect("waits");
    cut(&cluster, &place, 2);
    place.run(&["run"]).exits(1).says("were cut before they were read").says("run 1 is closed as failed");
    let report = place.run(&["report", "--json"]);
    assert!(report.out.contains("\"failed\"") && report.out.contains("were cut"), "{}", report.out);
    place.run(&["run"]).exits(1).says("groups reset faults.out --stream in --to-earliest");
    place.run(&["groups", "reset", "faults.out", "--stream", "in", "--to-earliest"]).exits(0);
    produce(&place, &lines("after", 5));
    place.run(&["run"]).exits(0).says("balanced ✓    5 read = 5 stored");
}

/// What others abort is never seen; what they leave open ends the batch before it, and comes with a later run.
#[test]
fn transactions_of_others_that_are_aborted_or_left_open() {
    let cluster = Cluster::start(1);
    let place = Place::with(FLOW, &[]).on(cluster.bootstrap());
    place.run(&["streams", "create", "in", "--partitions", "1"]).exits(0);
    let mut all = lines("before", 20);
    produce(&place, &all);
    cluster.foreign("in", "abort", "aborted", 30);
    cluster.foreign("in", "commit", "committed", 10);
    all.extend(lines("committed", 10));
    place.run(&["run"]).exits(0).says("balanced ✓    30 read = 30 stored");
    cluster.foreign("in", "hang", "hanging", 30);
    let behind = lines("behind it", 20);
    produce(&place, &behind);
    place.run(&["run"]).exits(0).says("balanced ✓    0 read = 0");
    are_copied(&cluster, &all);
    cluster.foreign("in", "heal", "-", 0);
    all.extend(behind);
    place.run(&["run"]).exits(0).says("balanced ✓    20 read = 20 stored");
    are_copied(&cluster, &all);
    // a join that reads such a topic counts items, not offsets; the next batch is what came after
    let gate =
        "flow: gate\nstreams: { in: {}, seen: {} }\nsteps:\n  all: { join: in }\n  seen: { copy: all, to: seen }\n";
    let gate = Place::with(gate, &[]).on(cluster.bootstrap());
    gate.run(&["run"]).exits(0).says("balanced ✓    50 read = 50 stored");
    produce(&place, &lines("later", 7));
    gate.run(&["run"]).exits(0).says("balanced ✓    7 read = 7 stored");
}

/// A process that was stopped for longer than its transaction may last, and goes on when others have its lanes.
#[test]
fn a_process_that_was_stopped_does_not_write_again() {
    let cluster = Cluster::start(1);
    let slow = FLOW.replace("copy: in, to: out", "work: in, exec: [sh, -c, 'sleep 0.1; cat'], concurrency: 4");
    let place = Place::with(&slow, &[]).on(cluster.bootstrap());
    place.run(&["streams", "create", "in", "--partitions", "4"]).exits(0);
    let all = lines("item", 1200);
    produce(&place, &all);
    let start = || place.command(&["run", "--json"]).stderr(Stdio::piped()).spawn().expect("starts");
    let stopped = start();
    let signal = |name: &str| {
        assert!(Command::new("kill").args([name, &stopped.id().to_string()]).status().expect("kill").success());
    };
    let begun = Instant::now();
    while !place.run(&["explain"]).out.contains("passed 1") {
        assert!(begun.elapsed() < Duration::from_secs(30), "the run does not begin");
    }
    signal("-STOP");
    let other = start();
    std::thread::park_timeout(Duration::from_secs(17)); // what is tried is the silence
    signal("-CONT");
    for run in [stopped, other] {
        let ended = common::Ran::from(run.wait_with_output().expect("ends"));
        assert!(ended.exit == 0 && ended.out.contains("\"balanced\":true"), "{}{}", ended.out, ended.err);
    }
    are_copied(&cluster, &all);
}

/// The target takes smaller batches than the source has, and packed ones that grow.
#[test]
fn batches_are_cut_to_what_the_target_takes() {
    let cluster = Cluster::start(1);
    let place = Place::with(FLOW, &[]).on(cluster.bootstrap());
    let small = ["--config", "max.message.bytes=20000"];
    place.run(&["streams", "create", "in", "--partitions", "1"]).exits(0);
    place.run(&[&["streams", "create", "out", "--partitions", "1"][..], &small].concat()).exits(0);
    let mut all = lines(&"x".repeat(300), 2_000);
    produce(&place, &all);
    let packed: Vec<String> = (0..2_000u64).map(|i| format!("{:x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    let args = ["--topic", "in", "--compression-codec", "zstd", "--producer-property", "linger.ms=500"];
    cluster.tool("console-producer", &args, &(packed.join("\n") + "\n"));
    all.extend(packed);
    place.run(&["run"]).exits(0).says("balanced ✓    4,000 read = 4,000 stored");
    are_copied(&cluster, &all);
    produce(&place, &["y".repeat(30_000)]);
    place.run(&["run"]).exits(1).says("an item is larger than the topic takes").says("max.message.bytes");
    let raise =
        ["--alter", "--entity-type", "topics", "--entity-name", "out", "--add-config", "max.message.bytes=40000"];
    let raised = cluster.tool("configs", &raise, "");
    assert!(raised.status.success(), "{}", String::from_utf8_lossy(&raised.stderr));
    place.run(&["run"]).exits(0).says("balanced ✓    1 read = 1 stored");
}

/// Readers that reach a topic through a copy or a join are told, and put back, like any other.
#[test]
fn readers_behind_copies_of_a_topic_that_was_recreated() {
    let flow = "
flow: behind
streams: { in: { format: text }, out: { format: text }, beside: { format: text }, told: {} }
steps:
  both: { copy: in, to: [x, y] }
  all: { join: x, done: told }
  out: { work: all, pipe: [cat], to: out }
  beside: { work: y, pipe: [cat], to: beside }
";
    let cluster = Cluster::start(1);
    let place = Place::with(flow, &[]).on(cluster.bootstrap());
    place.run(&["streams", "create", "in", "--partitions", "3"]).exits(0);
    produce(&place, &lines("first", 50));
    place.run(&["run"]).exits(0).says("balanced ✓");
    let count = |stream| place.run(&["consume", stream, "-q"]).out.lines().count();
    assert_eq!((count("out"), count("beside"), count("told")), (50, 50, 1));
    place.run(&["streams", "delete", "in"]).exits(0);
    place.run(&["streams", "create", "in", "--partitions", "3"]).exits(0);
    produce(&place, &lines("again", 70));
    let mut told = 0;
    loop {
        let ran = place.run(&["run"]);
        if ran.exit == 0 {
            ran.says("balanced ✓");
            break;
        }
        told += 1;
        assert!(told <= 3, "the advice does not help: {}", ran.err);
        let ran = ran.says("it was recreated");
        let help = ran.err.split("  = to continue with what is there:  anabranch ").nth(1).expect("says what to do");
        place.run(&help.split_whitespace().collect::<Vec<_>>()).exits(0);
    }
    assert_eq!((count("out"), count("beside"), count("told")), (120, 120, 2));
    let last = place.run(&["consume", "told", "-q"]).out;
    assert!(last.lines().last().expect("told").contains("\"count\":70"), "{last}");
}

/// Two flows that begin at once on one output: one of them is refused, whoever it is.
#[test]
fn of_two_flows_that_begin_at_once_on_one_topic_one_is_refused() {
    let cluster = Cluster::start(1);
    let place = Place::new().on(cluster.bootstrap());
    place.run(&["streams", "create", "in", "--partitions", "1"]).exits(0);
    produce(&place, &lines("item", 10));
    for round in 0..6 {
        let flow = |name: &str| {
            format!(
                "flow: {name}-{round}\nstreams: {{ in: {{}}, to-{round}: {{ partitions: 1 }} }}\nsteps: {{ c: {{ copy: in, to: to-{round} }} }}\n"
            )
        };
        let start = |name: &str| {
            place.write(&format!("{name}.yaml"), flow(name));
            place.command(&["run", &format!("{name}.yaml")]).spawn().expect("starts")
        };
        let both = [start("a"), start("b")].map(|c| common::Ran::from(c.wait_with_output().expect("ends")));
        let mut exits = both.each_ref().map(|r| r.exit);
        exits.sort();
        assert_eq!(exits, [0, 2], "{both:?}");
        let refused = both.into_iter().find(|r| r.exit == 2).expect("one");
        refused.says(&format!("the stream to-{round} is written by the flow"));
        let stream = format!("to-{round}");
        assert_eq!(place.run(&["consume", &stream, "-q"]).out.lines().count(), 10);
    }
}

/// A dead letter is written however large its item is; where its stream does not take it, what was cut is said.
#[test]
fn dead_letters_larger_than_a_topic_usually_takes() {
    let flow = "
flow: large
streams: { in: { format: text }, out: { format: text } }
steps: { out: { filter: in, where: '1 / (size(item) - size(item)) > 0', to: out } }
";
    let cluster = Cluster::start(1);
    let place = Place::with(flow, &[]).on(cluster.bootstrap());
    let large = ["--config", "max.message.bytes=3000000"];
    place.run(&[&["streams", "create", "in", "--partitions", "1"][..], &large].concat()).exits(0);
    produce(&place, &["z".repeat(2_000_000)]);
    place.run(&["run"]).exits(3).says("balanced ✓");
    let small = [
        "--alter",
        "--entity-type",
        "topics",
        "--entity-name",
        "anabranch.large.dead",
        "--add-config",
        "max.message.bytes=1000000",
    ];
    let done = cluster.tool("configs", &small, "");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    produce(&place, &["y".repeat(2_000_000)]);
    place.run(&["run"]).exits(3).says("balanced ✓");
    let list = place.run(&["dead", "list", "--json"]).exits(0).out;
    let all: Vec<serde_json::Value> = serde_json::from_str(&list).expect("json");
    let sizes: Vec<usize> = all.iter().map(|l| l["value"].as_str().expect("text").len()).collect();
    assert_eq!(sizes, [2_000_000, 4_096]);
}
