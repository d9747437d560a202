//! Kills a running process again and again, at random points, and compares what
//! came out with the naive model: nothing lost, nothing twice, every report balanced.
//!
//! `cargo run --release -p anabranch-testkit --bin kill -- --kills 1000`

mod cases;
mod drive;

use anabranch_testkit::trial;
use drive::{Drive, Found};
use std::process::ExitCode;

fn main() -> ExitCode {
    trial::main(|asked| {
        let kills = asked.number("--kills", 1000);
        let found = run(kills, asked.number("--seed", 1), asked.text("--case"))?;
        Ok(found.wrong() == 0 && found.kills >= kills)
    })
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
