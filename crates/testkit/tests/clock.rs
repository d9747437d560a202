//! A clock that goes backwards changes timestamps, and nothing else.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

use anabranch::engine::Result;
use anabranch::flow::check::check_text;
use anabranch::flow::model::{Act, Source};
use anabranch::run::world::{Goal, Input, LineReader, Manifest, Replies, Seat, Session, SinkFile, World, Written};
use anabranch::run::{Options, Outcome, run};
use anabranch::{Embedded, Local};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The local machine, an hour earlier at each look at the clock.
struct Backwards {
    local: Local,
    now: AtomicI64,
}

impl World for Backwards {
    fn survey(&self, source: &Source, written: &[Written]) -> Result<Manifest> {
        self.local.survey(source, written)
    }
    fn input(&self) -> Input {
        self.local.input()
    }
    fn lines(&self, manifest: &Manifest) -> Result<Arc<dyn LineReader>> {
        self.local.lines(manifest)
    }
    fn redirected(&self) -> [Option<(u64, u64)>; 2] {
        self.local.redirected()
    }
    fn stdin(&self) -> Result<Box<dyn std::io::Read + Send>> {
        self.local.stdin()
    }
    fn sink(&self, path: &str, replace: bool, run: u64, resume: Option<u64>) -> Result<Box<dyn SinkFile>> {
        self.local.sink(path, replace, run, resume)
    }
    fn stdout(&self) -> Result<Box<dyn SinkFile>> {
        self.local.stdout()
    }
    fn pause(&self) {
        self.local.pause();
    }
    fn goal(&self, path: &str, replace: bool) -> Result<Goal> {
        self.local.goal(path, replace)
    }
    fn program(&self, path: &str, starts: bool) -> Option<String> {
        self.local.program(path, starts)
    }
    fn publish(&self, path: &str, length: u64) -> Result<()> {
        self.local.publish(path, length)
    }
    fn put_aside(&self, path: &str, to: &str) -> Result<()> {
        self.local.put_aside(path, to)
    }
    fn discard(&self, path: &str) -> Result<()> {
        self.local.discard(path)
    }
    fn exists(&self, path: &str) -> bool {
        self.local.exists(path)
    }
    fn action(&self, act: &Act, seat: Seat, replies: Replies) -> Result<Box<dyn Session>> {
        self.local.action(act, seat, replies)
    }
    fn now(&self) -> i64 {
        self.now.fetch_sub(3_600_000, Ordering::Relaxed)
    }
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
    let world = Arc::new(Backwards { local: Local::new(folder.path()), now: AtomicI64::new(1_700_000_000_000) });
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
