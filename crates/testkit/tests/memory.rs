//! The log in memory: the suite of all engines, in each manner.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

use anabranch_testkit::conformance::SUITE;
use anabranch_trial::faults::Faults;
use anabranch_trial::log::{Manner, MemoryLog};
use anabranch_trial::scheduler::Scheduler;
use std::time::Duration;

/// More calls than any case makes.
const CALLS: u64 = 1_000_000;

#[test]
fn conforms() {
    let late = Faults { late: Duration::from_millis(30), blind: 200, ..Faults::none() };
    let manners = [(Manner::embedded(), Faults::none()), (Manner { lanes: 8, gaps: true }, late)];
    for (seed, (manner, faults)) in (0..20).flat_map(|seed| manners.iter().map(move |m| (seed, *m))) {
        for (what, case) in SUITE {
            let process = Scheduler::new(seed, faults, CALLS).process();
            process.begin_alone();
            let log = MemoryLog::new(process, manner);
            case(&log).unwrap_or_else(|e| panic!("{manner:?}, seed {seed}: {what}: {e}"));
        }
    }
}
