//! Kills workers and brokers again and again, at random, while several processes work one flow on three brokers. Kafka's
//! own reader then looks for every item, and every report must balance.
//!
//! `cargo run --release -p anabranch-testkit --bin storm -- --kills 200`

mod trial;
mod work;

use std::process::ExitCode;
use trial::{Found, Trial};

fn main() -> ExitCode {
    let mut args: Vec<std::ffi::OsString> = std::env::args_os().collect();
    if args.get(1).is_some_and(|a| a == trial::CHILD) {
        args.remove(1);
        return anabranch::cli::run_as(args); // the process that is killed is the command line itself
    }
    let number = |name: &str, usual: u64| {
        let at = args.iter().position(|a| a == name).and_then(|i| args.get(i + 1));
        at.and_then(|v| v.to_str()).and_then(|v| v.parse().ok()).unwrap_or(usual)
    };
    match storm(number("--kills", 200), number("--seed", 1)) {
        Ok(found) if found.sound() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn storm(kills: u64, seed: u64) -> Result<Found, String> {
    let mut trial = Trial::new(seed)?;
    while trial.found.workers + trial.found.brokers < kills {
        trial.round(kills - trial.found.workers - trial.found.brokers)?;
        let found = &trial.found;
        eprintln!("{} of {kills} kills, {} reports", found.workers + found.brokers, found.reports);
    }
    trial.compare()?;
    let found = trial.found;
    println!(
        "{} kills ({} of workers, {} of brokers), {} reports, {} items found by Kafka's reader: {} lost, {} twice, {}",
        found.workers + found.brokers,
        found.workers,
        found.brokers,
        found.reports,
        found.items,
        found.lost,
        found.twice,
        if found.unbalanced == 0 { "all balanced".to_string() } else { format!("{} not balanced", found.unbalanced) }
    );
    Ok(found)
}
