//! Processes that share one flow: they come, give lanes away, are stopped and killed, and each item is there once.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use anabranch_testkit::cluster::Cluster;
use common::{Place, Ran, sorted};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The action is as slow as the file `pace` says.
const FLOW: &str = "
flow: shared
streams:
  in: { partitions: 8, format: text }
  mid: { partitions: 8, format: text }
  out: { partitions: 8, format: text }
  sums: { sink: out/sums.jsonl }
steps:
  mid: { copy: in, to: mid }
  out: { work: mid, exec: [sh, -c, 'sleep $(cat pace); cat'], concurrency: 2 }
  sums: { reduce: out, value: count() }
";

const ITEMS: usize = 300;

struct Crew {
    cluster: Cluster,
    place: Place,
    produced: Vec<String>,
}

impl Crew {
    fn new() -> Crew {
        let cluster = Cluster::start(1);
        let place = Place::with(FLOW, &[]).on(cluster.bootstrap());
        place.run(&["streams", "create", "in", "--partitions", "8"]).exits(0);
        Crew { cluster, place, produced: vec![] }
    }

    /// New items, and an action that is slow from now on.
    fn fill(&mut self, name: &str) {
        self.place.write("pace", "0.3");
        let items: Vec<String> = (0..ITEMS).map(|i| format!("{name}-{i}")).collect();
        self.place.feed(&["produce", "in", "-q"], (items.join("\n") + "\n").as_bytes()).exits(0);
        self.produced.extend(items);
    }

    fn start(&self) -> Child {
        self.place.command(&["run", "--json"]).stderr(Stdio::null()).spawn().expect("starts")
    }

    /// Who has which lanes, as `explain` says.
    fn lanes(&self) -> Vec<String> {
        let said = self.place.run(&["explain"]);
        let at_work = |l: &&str| l.starts_with("process ");
        said.out.lines().filter(at_work).map(|l| l.split(" · ").nth(1).expect("lanes").to_string()).collect()
    }

    /// Waits until the lanes are shared like this.
    fn until(&self, wanted: &[&str]) {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let lanes = self.lanes();
            if lanes == wanted {
                return;
            }
            assert!(Instant::now() < end, "{lanes:?}, not {wanted:?}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Kafka's own reader finds each item once.
    fn holds(&mut self) {
        let seen = self.cluster.committed("out", &[], self.produced.len());
        self.produced.sort();
        assert_eq!(sorted(&seen), self.produced);
    }
}

fn end(child: Child) -> Ran {
    Ran::from(child.wait_with_output().expect("ends"))
}

fn killed(mut child: Child) {
    child.kill().expect("kills");
    child.wait().expect("waits");
}

#[test]
fn one_two_then_four_share_the_lanes_and_are_killed_to_the_last() {
    let mut crew = Crew::new();
    crew.fill("killed");
    let first = crew.start();
    crew.until(&["lanes 0-7"]);
    let second = crew.start();
    crew.until(&["lanes 0-3", "lanes 4-7"]);
    let (third, fourth) = (crew.start(), crew.start());
    crew.until(&["lanes 0-1", "lanes 2-3", "lanes 4-5", "lanes 6-7"]);
    killed(first); // it has the chair
    let three = Instant::now();
    while crew.lanes().len() != 3 {
        assert!(three.elapsed() < Duration::from_secs(60), "{:?}", crew.lanes());
        std::thread::park_timeout(Duration::from_millis(50));
    }
    killed(second);
    killed(third);
    crew.until(&["lanes 0-7"]);
    crew.place.write("pace", "0");
    let report = end(fourth).exits(0);
    assert!(report.out.contains("\"balanced\":true"), "{}", report.out);
    assert_eq!(crew.place.read("out/sums.jsonl").trim(), ITEMS.to_string());
    crew.holds();

    // all that are there at the end have the same report; who is stopped gives its lanes away
    crew.fill("stopped");
    let (one, two, three) = (crew.start(), crew.start(), crew.start());
    let shared = Instant::now();
    while crew.lanes().len() != 3 || crew.lanes().iter().any(|l| l == "stands by") {
        assert!(shared.elapsed() < Duration::from_secs(60), "{:?}", crew.lanes());
        std::thread::park_timeout(Duration::from_millis(50));
    }
    assert!(Command::new("kill").args(["-INT", &two.id().to_string()]).status().expect("kill").success());
    assert_eq!(end(two).exit, 130);
    while crew.lanes().len() != 2 {
        assert!(shared.elapsed() < Duration::from_secs(60), "{:?}", crew.lanes());
    }
    crew.place.write("pace", "0");
    let (one, three) = (end(one).exits(0), end(three).exits(0));
    assert_eq!(one.out, three.out);
    assert!(one.out.contains("\"balanced\":true") && one.out.contains("\"run\":2"), "{}", one.out);
    crew.holds();
}
