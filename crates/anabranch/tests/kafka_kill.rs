//! Exactly once on real brokers, wherever a process dies: killed before each request, and before each answer, alone and
//! while another process takes its lane.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use anabranch_testkit::cluster::Cluster;
use common::{Place, sorted};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

/// The action keeps the run at work for a while, with a commit for nearly every item.
const FLOW: &str = "
flow: killed
streams: { in: { partitions: 3, format: text }, out: { partitions: 3, format: text }, sums: { sink: out/sums.jsonl } }
steps:
  out: { work: in, exec: [sh, -c, 'sleep 0.02; cat'], concurrency: 1 }
  sums: { reduce: out, value: count() }
";

/// Items of a round.
const ITEMS: usize = 10;

/// Runs the flow, and kills it when one of its threads makes a call for the nth time; false if it ended well before.
fn killed_at(place: &Place, thread: &str, call: &str, n: usize) -> bool {
    let mut run = place.command(&["run", "-q"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
    let of_thread = loop {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", run.id())).into_iter().flatten().flatten();
        let found = tasks
            .map(|t| t.path())
            .find(|t| std::fs::read_to_string(t.join("comm")).is_ok_and(|name| name.trim() == thread));
        match found {
            Some(task) => break task.file_name().expect("a number").to_string_lossy().into_owned(),
            None if run.try_wait().expect("waits").is_some() => return false,
            None => std::hint::spin_loop(),
        }
    };
    let inject = format!("inject={call}:signal=KILL:when={n}");
    let traced = Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "-p", &of_thread, "-e", &format!("trace={call}"), "-e", &inject])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut traced = traced.expect("strace is needed: install it");
    let status = run.wait().expect("waits");
    let _ = traced.kill();
    let _ = traced.wait();
    assert!(status.signal() == Some(9) || status.success(), "{thread} {call} {n}: {status}");
    !status.success()
}

/// Kills a process at each call of one of its threads in turn. Every second time another process takes its lane.
fn each_item_once(thread: &str, call: &str, step: usize) {
    let cluster = Cluster::start(1);
    let place = Place::with(FLOW, &[]).on(cluster.bootstrap());
    place.run(&["streams", "create", "in", "--partitions", "3"]).exits(0);
    let (mut produced, mut kills, mut tries) = (vec![], 0, 0);
    for n in (1..40).step_by(step) {
        let items: Vec<String> = (0..ITEMS).map(|i| format!("{n}-{i}")).collect();
        place.feed(&["produce", "in", "-q"], (items.join("\n") + "\n").as_bytes()).exits(0);
        produced.extend(items);
        let other = (n / step).is_multiple_of(2).then(|| place.command(&["run", "-q"]).spawn().expect("starts"));
        tries += 1;
        kills += usize::from(killed_at(&place, thread, call, n));
        if let Some(other) = other {
            let ended = other.wait_with_output().expect("ends");
            assert!(ended.status.success(), "{call} {n}: {}", String::from_utf8_lossy(&ended.stderr));
        }
        place.run(&["run"]).exits(0).says("balanced ✓");
    }
    assert!(kills * 3 > tries, "only {kills} kills in {tries} tries");
    let seen = sorted(&cluster.committed("out", &[], produced.len()));
    produced.sort();
    assert_eq!(seen.len(), produced.len(), "{kills} kills");
    assert_eq!(seen, produced, "{kills} kills");
}

#[test]
fn killed_before_each_request_of_a_commit() {
    each_item_once("lane 0", "sendto", 1);
}

#[test]
fn killed_before_each_answer_of_a_commit() {
    each_item_once("lane 0", "recvfrom", 2);
}

#[test]
fn killed_before_each_request_of_the_run() {
    each_item_once("anabranch", "sendto", 3);
}
