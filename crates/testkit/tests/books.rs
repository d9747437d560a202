//! The books: one count that is wrong, and the edge is named.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

use anabranch::engine::{Account, Commit, Engine, Phase};
use anabranch::flow::check::check_text;
use anabranch::flow::model::Flow;
use anabranch::run::{Options, Outcome, Status, inspect, run};
use anabranch::{Embedded, Local};
use std::sync::Arc;

const FLOW: &str = "
flow: books
streams:
  all: { source: { items: [{ n: 1 }, { n: 2 }, { n: 3 }] } }
  kept: { partitions: 2 }
  sum: { partitions: 1 }
steps:
  kept: { filter: all, where: item.n > 1 }
  gate: { join: kept }
  sum: { reduce: gate, value: sum(item.n) }
";

struct Ran {
    folder: tempfile::TempDir,
    flow: Arc<Flow>,
    engine: Arc<Embedded>,
}

impl Ran {
    fn new() -> Ran {
        let folder = tempfile::tempdir().expect("a folder");
        let checked = check_text(FLOW, &|_| None);
        let flow = Arc::new(checked.flow.unwrap_or_else(|| panic!("{:?}", checked.diagnostics)));
        let engine = Arc::new(Embedded::open(&folder.path().join("data")).expect("opens"));
        let ran = Ran { folder, flow, engine };
        match run(ran.flow.clone(), ran.engine.clone(), ran.world(), Options::default()).expect("runs") {
            Outcome::Closed(report) => assert!(report.balanced && report.exit == 0, "{report:?}"),
            Outcome::Stopped(_) => panic!("nobody stopped it"),
        }
        ran
    }

    fn world(&self) -> Arc<Local> {
        Arc::new(Local::new(self.folder.path()))
    }

    /// Changes one count of the account and gives what the report names.
    fn corrupted(&self, change: impl FnOnce(&mut Account)) -> Vec<String> {
        let mut lane = self.engine.claim(&self.flow.name, 0).expect("claims");
        let mut account = lane.account().clone();
        change(&mut account);
        lane.submit(Commit { account, ..Commit::default() }).expect("takes it");
        lane.settle().expect("settles");
        drop(lane);
        inspect(self.flow.clone(), self.engine.clone(), self.world()).expect("looks").expect("a run").report.imbalance
    }
}

#[test]
fn an_item_taken_too_much_is_named() {
    let named =
        Ran::new().corrupted(|a| *a.tally.get_mut("kept").expect("a tally").took.get_mut("all").expect("an edge") += 1);
    assert!(named.contains(&"source:all → all → kept: 3 made, but 4 taken".to_string()), "{named:?}");
    assert!(named.contains(&"kept: 4 taken, but 3 settled".to_string()), "{named:?}");
}

#[test]
fn an_item_made_too_little_is_named() {
    let named = Ran::new()
        .corrupted(|a| *a.tally.get_mut("source:all").expect("a tally").made.get_mut("all").expect("an edge") -= 1);
    assert!(named.contains(&"source:all → all → kept: 2 made, but 3 taken".to_string()), "{named:?}");
}

#[test]
fn an_item_that_never_reached_the_log_is_named() {
    let named = Ran::new()
        .corrupted(|a| *a.tally.get_mut("kept").expect("a tally").made.get_mut("kept").expect("an edge") += 1);
    assert!(named.iter().any(|n| n.starts_with("kept → kept") && n.contains("3 made, but 2 appended")), "{named:?}");
}

#[test]
fn a_disposition_that_is_missing_is_named() {
    let named = Ran::new().corrupted(|a| a.tally.get_mut("sum").expect("a tally").folded -= 1);
    assert!(named.contains(&"sum: 2 taken, but 1 settled".to_string()), "{named:?}");
}

#[test]
fn a_run_that_does_not_balance_is_closed_as_failed() {
    let ran = Ran::new();
    let mut lane = ran.engine.claim(&ran.flow.name, 0).expect("claims");
    let mut account = lane.account().clone();
    account.tally.get_mut("sum").expect("a tally").folded -= 1;
    account.record.as_mut().expect("a record").phase = Phase::Open;
    lane.submit(Commit { account, ..Commit::default() }).expect("takes it");
    lane.settle().expect("settles");
    drop(lane);
    match run(ran.flow.clone(), ran.engine.clone(), ran.world(), Options::default()).expect("runs") {
        Outcome::Closed(report) => {
            assert_eq!((report.status, report.exit, report.balanced), (Status::Failed, 1, false))
        }
        Outcome::Stopped(_) => panic!("nobody stopped it"),
    }
}
