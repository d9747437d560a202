//! The examples and the hands-on on real brokers: the same flow files, the same output.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use anabranch_testkit::cluster::Cluster;
use common::{Place, as_expected, sorted};

fn examples(brokers: &str) {
    for example in ["03-new-user-sign-up", "04-word-count", "05-barrier"] {
        let place = Place::example(example).on(brokers);
        for _ in 0..2 {
            place.run(&["run"]).exits(0).says("balanced ✓");
            as_expected(&place);
        }
        let mut child = place.command(&["run"]).spawn().expect("starts");
        std::fs::remove_dir_all(place.path().join("out")).expect("was there");
        while !place.has("out") && child.try_wait().expect("waits").is_none() {
            std::hint::spin_loop();
        }
        child.kill().expect("kills");
        child.wait().expect("waits");
        place.run(&["run"]).exits(0).says("balanced ✓");
        as_expected(&place);
    }
}

#[test]
fn examples_on_one_broker() {
    let cluster = Cluster::start(1);
    examples(cluster.bootstrap());
    common::a_bad_part_is_taken_up(&Place::example("05-barrier").on(cluster.bootstrap()));
}

/// The hands-on on three brokers with everything three times, with Kafka's own tools on both ends.
#[test]
fn examples_and_hands_on_on_three_brokers() {
    let cluster = Cluster::start(3);
    examples(cluster.bootstrap());
    let place = Place::example("01-copier").on(cluster.bootstrap());
    let text = |o: std::process::Output| String::from_utf8_lossy(&o.stdout).into_owned();
    place.run(&["streams", "create", "photos-topic", "--partitions", "10", "--replication-factor", "3"]).exits(0);
    let described = text(cluster.tool("topics", &["--describe", "--topic", "photos-topic"], ""));
    assert!(described.contains("PartitionCount: 10") && described.contains("ReplicationFactor: 3"), "{described}");
    // Kafka's producer, our copier, Kafka's consumer
    cluster.tool("console-producer", &["--topic", "photos-topic"], &place.read("photos.txt"));
    for _ in 0..2 {
        place.run(&["run"]).exits(0).says("balanced ✓");
    }
    let copied = cluster.committed("photos-topic-2", &[], place.read("photos.txt").lines().count());
    assert_eq!(sorted(&copied), sorted(&place.read("photos.txt")), "copied once");
    let group = text(cluster.tool("consumer-groups", &["--describe", "--group", "group1"], ""));
    let rows: Vec<Vec<&str>> = group.lines().map(|l| l.split_whitespace().collect()).collect();
    let lags: Vec<&str> = rows.iter().filter(|r| r.first() == Some(&"group1")).map(|r| r[5]).collect();
    assert_eq!(lags, ["0"; 10], "{group}");
    // our producer, both consumers
    place.feed(&["produce", "photos-topic"], b"photo-6.jpg\n").exits(0).says("Produced 1 item");
    place.run(&["run"]).exits(0).says("balanced ✓");
    let ours =
        place.run(&["consume", "photos-topic-2", "--from-beginning"]).exits(0).says("Processed a total of 6 messages");
    let theirs = cluster.committed("photos-topic-2", &[], 6);
    assert_eq!(sorted(&ours.out), sorted(&theirs));
    // the reduce pairs two topics in lock step
    place.write("reduce.yaml", Place::example("02-reduce").read("flow.yaml"));
    place.run(&["run", "reduce.yaml"]).exits(0).says("balanced ✓");
    assert_eq!(place.read("out/pairs.jsonl").lines().count(), 6);
    place.feed(&["produce", "photos-topic-2"], b"x\n").exits(2).says("is written by the flow copier");
}
