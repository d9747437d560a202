//! Kills a running process again and again, at random points, and compares what
//! came out with the naive model: nothing lost, nothing twice, every report balanced.
//!
//! `cargo run --release -p anabranch-testkit --bin kill -- --kills 1000`: flows that are known, large batches.
//! `cargo run --release -p anabranch-testkit --bin kill -- --flows 2000`: flows that are drawn, every second one killed.
//! `cargo run --release -p anabranch-testkit --bin kill -- --crowd 300`: two flows and outsiders on one directory.

mod cases;
mod crowd;
mod drive;
mod random;

use anabranch_testkit::trial;
use drive::{Drive, Found};
use std::process::ExitCode;

fn main() -> ExitCode {
    trial::main(|asked| {
        if asked.text("--flows").is_some() {
            return Ok(flows(asked.number("--seed", 1), asked.number("--flows", 2000)));
        }
        if asked.text("--crowd").is_some() {
            return crowd(asked.number("--seed", 1), asked.number("--crowd", 300));
        }
        let kills = asked.number("--kills", 1000);
        let found = run(kills, asked.number("--seed", 1), asked.text("--case"))?;
        Ok(found.wrong() == 0 && found.kills >= kills)
    })
}

/// Whether what outsiders were acknowledged is there, and both flows have it.
fn crowd(seed: u64, calls: u64) -> Result<bool, String> {
    let found = crowd::run(seed, calls)?;
    println!(
        "{} items acknowledged to outsiders beside {} runs of two flows, {} processes killed: {} lost, {} twice",
        found.acknowledged, found.runs, found.kills, found.lost, found.twice
    );
    Ok(found.lost + found.twice == 0)
}

/// Whether flows that were drawn did what the model says.
fn flows(seed: u64, flows: u64) -> bool {
    let found = random::run(seed, flows);
    println!(
        "{} random flows, {} runs, {} kills, {} items compared with the naive model: {} flows differ or do not end {:?}",
        found.flows,
        found.runs,
        found.kills,
        found.compared.items,
        found.wrong.len(),
        found.wrong
    );
    found.wrong.is_empty()
}

fn run(kills: u64, seed: u64, only: Option<&str>) -> Result<Found, String> {
    let mut all = Found::default();
    let mut round = 0;
    while all.kills < kills {
        for case in cases::all().into_iter().filter(|c| only.is_none_or(|o| o == c.name)) {
            if all.kills >= kills {
                break;
            }
            let found = Drive::new(&case, seed + round)?.run(kills - all.kills)?;
            if found.wrong() > 0 {
                eprintln!("{} with seed {}: {found:?}", case.name, seed + round);
            }
            all.add(&found);
        }
        round += 1;
        eprintln!("{} of {kills} kills, {} runs, {} items compared", all.kills, all.runs, all.compared.items);
    }
    println!(
        "{} kills in {} runs over every pattern, {} items compared with the naive model: {} lost, {} twice, {}",
        all.kills,
        all.runs,
        all.compared.items,
        all.compared.lost,
        all.compared.twice,
        if all.unbalanced == 0 { "all balanced".to_string() } else { format!("{} not balanced", all.unbalanced) }
    );
    Ok(all)
}
