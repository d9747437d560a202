//! Kills workers and brokers again and again, at random, while several processes work one flow on three brokers. Kafka's
//! own reader then looks for every item, and every report must balance.
//!
//! `cargo run --release -p anabranch-testkit --bin storm -- --kills 200`
//!
//! With `--clocks LIBRARY`, one that is preloaded and shifts clocks (libfaketime), the clocks of the workers are hours or days
//! off, or three times too slow, and workers are also stopped for a while. What the library does to the clock that nobody
//! can set is up to it: `FAKETIME_DONT_FAKE_MONOTONIC=1` leaves that one alone.

mod rounds;
mod work;

use anabranch_testkit::trial;
use rounds::Rounds;
use std::process::ExitCode;

fn main() -> ExitCode {
    trial::main(|asked| storm(asked.number("--kills", 200), asked.number("--seed", 1), asked.text("--clocks")))
}

fn storm(kills: u64, seed: u64, clocks: Option<&str>) -> Result<bool, String> {
    let mut rounds = Rounds::new(seed, clocks)?;
    while rounds.found.kills() < kills {
        rounds.next(kills - rounds.found.kills())?;
        eprintln!("{} of {kills} kills, {} reports", rounds.found.kills(), rounds.found.reports);
    }
    rounds.compare()?;
    let found = rounds.found;
    println!(
        "{} kills ({} of workers, {} of brokers), {}{} reports, {} items found by Kafka's reader: {} lost, {} twice, {}",
        found.kills(),
        found.workers,
        found.brokers,
        clocks.map_or(String::new(), |_| format!("{} stops, ", found.stops)),
        found.reports,
        found.compared.items,
        found.compared.lost,
        found.compared.twice,
        if found.unbalanced == 0 { "all balanced".to_string() } else { format!("{} not balanced", found.unbalanced) }
    );
    Ok(found.sound())
}
