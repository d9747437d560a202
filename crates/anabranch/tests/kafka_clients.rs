//! Clients of Kafka that are neither ours nor Kafka's own read what we wrote, and we read what they wrote.
//!
//! They are kafka-python, which `scripts/kafka-python` installs, and kcat. Without them a test fails and says what to
//! install; none is skipped.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use anabranch_testkit::cluster::Cluster;
use common::{Place, sorted};
use std::process::Command;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// Loops end by themselves a while after the last item; this only ends what hangs.
const LONGEST_S: &str = "90";

/// Runs a program to its end, and returns what it printed.
#[track_caller]
fn said(program: &str, args: &[&str]) -> String {
    let out = Command::new("timeout").arg(LONGEST_S).arg(program).args(args).output().expect("timeout starts");
    let (said, errors) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{program} {} failed:\n{said}{errors}", args.join(" "));
    said.into_owned()
}

/// Runs one of the loops of the hands-on in Python.
#[track_caller]
fn python(script: &str, args: &[&str]) -> String {
    let found = Command::new(format!("{ROOT}/scripts/kafka-python")).output().expect("scripts/kafka-python starts");
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    let interpreter = String::from_utf8(found.stdout).expect("a path");
    let script = format!("{ROOT}/crates/anabranch/tests/kafka_clients/{script}");
    said(interpreter.trim_end(), &[&[script.as_str()], args].concat())
}

/// Everything of a topic that is committed, with kcat.
#[track_caller]
fn kcat(brokers: &str, topic: &str) -> String {
    let there = Command::new("kcat").arg("-V").output();
    assert!(there.is_ok(), "kcat is missing. Install it (Debian: apt install kcat).");
    let all = ["-o", "beginning", "-e", "-q", "-X", "isolation.level=read_committed"];
    said("kcat", &[&["-C", "-b", brokers, "-t", topic][..], &all].concat())
}

#[test]
fn python_and_kcat_read_what_we_wrote_and_we_what_they_wrote() {
    let cluster = Cluster::start(1);
    let brokers = cluster.bootstrap();
    let place = Place::example("01-copier").on(brokers);
    place.write("flow.yaml", place.read("flow.yaml").replace(", replication-factor: 3", ""));
    for topic in ["photos-topic", "photos-topic-2", "photos-topic-3", "pairs"] {
        place.run(&["streams", "create", topic, "--partitions", "10"]).exits(0);
    }
    // our producer and our copier; a second run has its own transactions between the items
    let mut photos: Vec<String> = (0..2_000).map(|i| format!("photo-{i}.jpg")).collect();
    photos.sort();
    for half in photos.chunks(1_000) {
        for some in half.chunks(100) {
            place.feed(&["produce", "photos-topic"], some.join("\n").as_bytes()).exits(0);
        }
        place.run(&["run"]).exits(0).says("balanced ✓");
    }
    // what we wrote, read by others
    for isolation in ["read_committed", "read_uncommitted"] {
        assert_eq!(sorted(&python("read.py", &[brokers, "photos-topic-2", isolation])), photos, "{isolation}");
    }
    assert_eq!(sorted(&kcat(brokers, "photos-topic-2")), photos);
    // what they wrote, read by us
    python("copier.py", &[brokers, "photos-topic-2", "photos-topic-3"]);
    let ours = place.run(&["consume", "photos-topic-3", "--from-beginning"]).exits(0);
    assert_eq!(sorted(&ours.out), photos);
    assert_eq!(sorted(&kcat(brokers, "photos-topic-3")), photos);
    // both, paired by two groups
    python("reduce.py", &[brokers, "photos-topic-2", "photos-topic-3", "pairs"]);
    let pairs = kcat(brokers, "pairs");
    let (left, right): (Vec<&str>, Vec<&str>) = pairs.lines().map(|l| l.split_once(' ').expect("a pair")).unzip();
    assert_eq!(sorted(&left.join("\n")), photos);
    assert_eq!(sorted(&right.join("\n")), photos);
    assert_eq!(sorted(&place.run(&["consume", "pairs", "--from-beginning"]).exits(0).out), sorted(&pairs));
}

/// Our copier takes what Python produced, and our reduce pairs what Python's copier wrote.
#[test]
fn our_flows_read_what_python_wrote() {
    let cluster = Cluster::start(1);
    let brokers = cluster.bootstrap();
    let place = Place::example("01-copier").on(brokers);
    place.write("flow.yaml", place.read("flow.yaml").replace(", replication-factor: 3", ""));
    for topic in ["first", "photos-topic", "photos-topic-2"] {
        place.run(&["streams", "create", topic, "--partitions", "10"]).exits(0);
    }
    place.feed(&["produce", "first"], place.read("photos.txt").as_bytes()).exits(0);
    python("copier.py", &[brokers, "first", "photos-topic"]);
    place.run(&["run"]).exits(0).says("balanced ✓");
    let photos = sorted(&place.read("photos.txt"));
    assert_eq!(sorted(&python("read.py", &[brokers, "photos-topic-2", "read_committed"])), photos);
    place.write("reduce.yaml", Place::example("02-reduce").read("flow.yaml"));
    place.run(&["run", "reduce.yaml"]).exits(0).says("balanced ✓");
    assert_eq!(place.read("out/pairs.jsonl").lines().count(), photos.len());
}
