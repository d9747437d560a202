//! Flows on a log in memory, in an order that a seed decides. `scripts/simulate` runs more of them.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

use anabranch_simulator::Setup;

/// Seeds that are run: about a minute.
const SEEDS: u64 = 1_600;

/// Seeds that found something, and what that was.
const FOUND: [(u64, &str); 8] = [
    (14, "a list of files that is committed and not seen yet was taken as missing"),
    (1_123, "a chair that had stood still cut what later commits had added to a file"),
    (3_639, "who waited for a run that was being given up ended before its crew had noticed that the chair was dead"),
    (26_994, "a pair took what a run that was given up had written for it"),
    (39_182, "a file that is added to kept the uncommitted end of a run that was given up"),
    (73_160, "what a run that was given up had written was taken as the next one's, as it was not seen yet"),
    (61_735, "a chair that took up a run while it closed did not know yet how far other lanes had read"),
    (59_509, "the model paired what a gate kept apart"),
];

/// The same of flows that are repaired.
const FOUND_IN_REPAIRS: [(u64, &str); 3] = [
    (160_349, "a batch that had failed in a repair was repaired again, and what it had published came twice"),
    (311_559, "a chair that had stood still removed what the next run had written, as its own file was in place"),
    (185_159, "the model put files in place of a repair that fails"),
];

/// The same of flows with gates that somebody opens.
const FOUND_BY_HAND: [(u64, &str); 1] =
    [(60_055, "a file in memory that was put aside was held for ever by a process that had it open")];

#[test]
fn what_was_found_stays_mended() {
    for (seed, what) in FOUND {
        let found = Setup::of(seed).without_repairs(); // there were none then
        found.run().unwrap_or_else(|why| panic!("seed {seed}, {what}: {why}"));
    }
    for (seed, what) in FOUND_IN_REPAIRS {
        let mut found = Setup::of(seed);
        found.shape.by_hand.clear(); // there were none then
        found.run().unwrap_or_else(|why| panic!("seed {seed}, {what}: {why}"));
    }
    for (seed, what) in FOUND_BY_HAND {
        Setup::of(seed).run().unwrap_or_else(|why| panic!("seed {seed}, {what}: {why}"));
    }
}

#[test]
fn what_a_plan_foretells_comes_true() {
    for seed in 0..400 {
        let of = Setup::of(seed);
        let setup = Setup { foretold: true, fresh: false, ..of };
        setup.run().unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
}

#[test]
fn nothing_is_lost_or_twice_and_every_run_ends() {
    let half = |first: u64| {
        for seed in (first..SEEDS).step_by(2) {
            if let Err(why) = Setup::of(seed).run() {
                panic!("cargo run -p anabranch-simulator -- --seed {seed} --shrink\n{why}");
            }
        }
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| half(1));
        half(0);
        other.join().expect("the other half");
    });
}

#[test]
fn the_same_seed_is_the_same_course() {
    let of = |seed: u64| {
        let course = Setup::of(seed).run().expect("as it should be");
        (course.trace, course.calls, course.runs, course.starts)
    };
    for seed in 0..100 {
        assert_eq!(of(seed), of(seed), "seed {seed}");
    }
}
