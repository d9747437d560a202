//! Many flows that are only checked, planned and drawn, in one process: a thousand times as many as rounds can run.

use super::case::Case;
use super::seeds::Seed;
use anabranch::flow::{check::check_text, draw, plan::plan};
use anabranch_testkit::rng::Rng;
use std::ffi::OsString;
use std::panic::catch_unwind;
use std::process::{Command, ExitCode};

/// The first argument of a process that sweeps.
const CHILD: &str = "--sweep";
/// Flows of one sweep.
pub const FLOWS: u64 = 500;
/// Rounds from one sweep to the next.
pub const EVERY: u64 = 25;
/// Where the numbers of swept flows begin: behind those of rounds.
const FIRST: u64 = 1 << 40;

/// The sweep, if this process was started for one: it ends badly at the first flow that makes it panic.
pub fn child() -> Option<ExitCode> {
    let args: Vec<OsString> = std::env::args_os().collect();
    if args.get(1).is_none_or(|a| a != CHILD) {
        return None;
    }
    let number = |i: usize| args.get(i).and_then(|a| a.to_str()?.parse::<u64>().ok()).unwrap_or(0);
    let seeds = super::seeds::all().unwrap_or_default();
    let well = (number(2)..number(3)).all(|n| catch_unwind(|| one(n, &seeds)).is_ok());
    Some(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn one(number: u64, seeds: &[Seed]) {
    let seed = Case::flow(&mut Rng::new(number), seeds);
    let text = String::from_utf8_lossy(&seed.flow).into_owned();
    let checked = check_text(&text, &|_| None);
    checked.draw("flow.yaml", &text);
    if let Some(flow) = &checked.flow {
        plan(flow, false);
        plan(flow, true);
        draw::text(flow);
    }
}

/// Sweeps flows that belong to a round: the number of the first that makes the check panic or die, and what was said.
pub fn sweep(round: u64) -> Result<Option<(u64, String)>, String> {
    let start = FIRST.wrapping_add(round.wrapping_mul(FLOWS));
    let numbers = start..start.saturating_add(FLOWS);
    let (mut from, mut part) = (numbers.start, FLOWS);
    while from < numbers.end {
        let to = (from + part).min(numbers.end);
        let mut command = Command::new(std::env::current_exe().unwrap_or_default());
        let said = command.args([CHILD, &from.to_string(), &to.to_string()]).output().map_err(|e| e.to_string())?;
        match (said.status.success(), to - from) {
            (true, _) => from = to,
            (false, 1) => {
                let err = String::from_utf8_lossy(&said.stderr).into_owned();
                return Ok(Some((from, format!("{}\n{err}", said.status))));
            }
            (false, n) => part = n.div_ceil(2),
        }
    }
    Ok(None)
}
