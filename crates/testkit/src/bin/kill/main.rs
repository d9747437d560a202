//! Kills a running process again and again, at random points, and compares what
//! came out with the naive model: nothing lost, nothing twice, every report balanced.
//!
//! `cargo run --release -p anabranch-testkit --bin kill -- --kills 1000`

mod cases;
mod drive;

use drive::{Drive, Found};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args: Vec<std::ffi::OsString> = std::env::args_os().collect();
    if args.get(1).is_some_and(|a| a == drive::CHILD) {
        args.remove(1);
        return anabranch::cli::run_as(args); // the process that is killed is the command line itself
    }
    let number = |name: &str, usual: u64| {
        let at = args.iter().position(|a| a == name).and_then(|i| args.get(i + 1));
        at.and_then(|v| v.to_str()).and_then(|v| v.parse().ok()).unwrap_or(usual)
    };
    let (kills, seed) = (number("--kills", 1000), number("--seed", 1));
    let only = args.iter().position(|a| a == "--case").and_then(|i| args.get(i + 1)).and_then(|c| c.to_str());
    match run(kills, seed, only) {
        Ok(found) if found.lost + found.twice + found.unbalanced == 0 && found.kills >= kills => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
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
            if found.lost + found.twice + found.unbalanced > 0 {
                eprintln!("{} with seed {}: {found:?}", case.name, seed + round);
            }
            all.add(&found);
        }
        round += 1;
        eprintln!("{} of {kills} kills, {} runs, {} items compared", all.kills, all.runs, all.items);
    }
    println!(
        "{} kills in {} runs over every pattern, {} items compared with the naive model: {} lost, {} twice, {}",
        all.kills,
        all.runs,
        all.items,
        all.lost,
        all.twice,
        if all.unbalanced == 0 { "all balanced".to_string() } else { format!("{} not balanced", all.unbalanced) }
    );
    Ok(all)
}
