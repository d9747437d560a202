//! Exactly once on real brokers, wherever a process dies: killed before each request, and before each answer, alone and
//! while another process takes its lane.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use anabranch_testkit::cluster::Cluster;
use common::{Place, sorted};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

const FLOW: &str = "
flow: killed
streams: { in: { partitions: 3 }, out: { partitions: 3 }, sums: { sink: out/sums.jsonl } }
steps:
  out: { copy: in, to: out }
  sums: { reduce: out, value: count() }
";

/// Items of a round.
const ITEMS: usize = 12;

/// Runs the flow under a tracer that kills it at the nth call; false if it made fewer calls and ended well.
fn killed_at(place: &Place, call: &str, n: usize) -> bool {
    let run = place.command(&["run", "-q"]);
    let mut traced = Command::new("strace");
    traced.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    traced.args(["-e", &format!("inject={call}:signal=KILL:when={n}")]);
    traced.arg(run.get_program()).args(run.get_args()).current_dir(place.path());
    traced.envs(run.get_envs().filter_map(|(k, v)| Some((k, v?)))).stdin(Stdio::null());
    let status = traced.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("strace is needed: install it");
    let killed = status.signal() == Some(9) || status.code() == Some(137);
    assert!(killed || status.success(), "{call} {n}: {status}");
    killed
}

#[test]
fn each_item_once_wherever_a_process_is_killed() {
    let cluster = Cluster::start(1);
    let place = Place::with(FLOW, &[]).on(cluster.bootstrap());
    place.run(&["streams", "create", "in", "--partitions", "3"]).exits(0);
    let (mut produced, mut kills) = (vec![], 0);
    for call in ["sendto", "recvfrom"] {
        for n in 1.. {
            let items: Vec<String> = (0..ITEMS).map(|i| format!("{call}-{n}-{i}")).collect();
            place.feed(&["produce", "in", "-q"], (items.join("\n") + "\n").as_bytes()).exits(0);
            produced.extend(items);
            // every second time another process takes the lane meanwhile
            let other = (n % 2 == 0).then(|| place.command(&["run", "-q"]).spawn().expect("starts"));
            let killed = killed_at(&place, call, n);
            if let Some(other) = other {
                let ended = other.wait_with_output().expect("ends");
                assert!(ended.status.success(), "{call} {n}: {}", String::from_utf8_lossy(&ended.stderr));
            }
            place.run(&["run"]).exits(0).says("balanced ✓");
            kills += usize::from(killed);
            if !killed {
                break;
            }
        }
    }
    assert!(kills > 80, "only {kills} kills");
    let read = ["--topic", "out", "--from-beginning", "--isolation-level", "read_committed", "--timeout-ms", "8000"];
    let seen = cluster.tool("console-consumer", &read, "");
    let seen = sorted(&String::from_utf8_lossy(&seen.stdout));
    produced.sort();
    assert_eq!(seen.len(), produced.len(), "{kills} kills");
    assert_eq!(seen, produced, "{kills} kills");
    eprintln!("{kills} kills, {} items, each once", produced.len());
}
