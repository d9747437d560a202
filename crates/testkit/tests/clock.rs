//! A clock that goes backwards changes timestamps, and nothing else.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

use anabranch::flow::check::check_text;
use anabranch::run::world::{Clock, Moment, World};
use anabranch::run::{Options, Outcome, run};
use anabranch::{Embedded, Local};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

/// An hour earlier at each look.
struct Backwards(AtomicI64, Instant);

impl Clock for Backwards {
    fn now(&self) -> i64 {
        self.0.fetch_sub(3_600_000, Ordering::Relaxed)
    }
    fn moment(&self) -> Moment {
        self.1.elapsed()
    }
    fn pause(&self) {}
}

const FLOW: &str = "
flow: clock
streams:
  all: { source: in.jsonl }
  kept: { partitions: 1 }
  out: { sink: out/out.jsonl }
steps:
  kept: { filter: all, where: item > 1 }
  each: { work: kept, exec: [cat], to: done }
  gate: { join: done }
  out: { reduce: gate, value: { n: count(), last: last(item) } }
";

#[test]
fn runs_go_on_when_the_clock_goes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("in.jsonl"), "1\n2\n3\n").expect("writes");
    let engine = Arc::new(Embedded::open(&folder.path().join("data")).expect("opens"));
    let clock = Arc::new(Backwards(AtomicI64::new(1_700_000_000_000), Instant::now()));
    let world = World { clock, ..World::from(Arc::new(Local::new(folder.path()))) };
    for number in 1..=3 {
        let flow = Arc::new(check_text(FLOW, &|_| None).flow.expect("can run"));
        let outcome = run(flow, engine.clone(), world.clone(), Options::default()).expect("runs");
        let Outcome::Closed(report) = outcome else { panic!("nobody stopped it") };
        assert!(report.balanced && report.exit == 0 && report.run == number, "{report:?}");
        assert_eq!(report.seconds, 0.0, "no time is less than none");
        let out = std::fs::read_to_string(folder.path().join("out/out.jsonl")).expect("reads");
        assert_eq!(out, "{\"n\":2,\"last\":3}\n");
    }
}
