//! Mutates flow files, expressions and inputs, checks and runs them in folders of their own, and looks for what must
//! never be: a panic, an exit status that the contract does not have, a report that does not balance, a run that does not
//! end, memory over its limit.
//!
//! `cargo run --release -p anabranch-testkit --bin fuzz -- --minutes 60`: as long as that; `--rounds N`: so many rounds.
//! `--seed N --rounds 1` plays round N again. What is found is kept in `target/fuzz/N`, made as small as it can be.

mod bytes;
mod case;
mod flow;
mod guard;
mod keep;
mod play;
mod process;
mod seeds;
mod shrink;
mod sweep;
mod tokens;
mod words;

use anabranch_testkit::trial::{self, Asked};
use case::Case;
use play::{Finding, play};
use process::Machine;
use seeds::Seed;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// No command of a round takes as long as this.
const LONGEST: Duration = Duration::from_secs(20);
/// The most memory that a command may have, in MiB.
const MEMORY: u64 = 400;
/// How long a finding is made smaller, in seconds.
const SHRINK: u64 = 120;

/// Kinds of refusals that are told at the end.
const REFUSED: usize = 12;

/// What was found.
#[derive(Debug, Default)]
struct Found {
    rounds: u64,
    commands: u64,
    runs: u64,
    left_out: u64,
    checked: u64,
    peak: u64,
    /// By what it is: how many rounds show it.
    findings: BTreeMap<String, u64>,
    /// What runs refused that the check had accepted, and how often: mostly files that are not there.
    refused: BTreeMap<String, u64>,
}

fn main() -> ExitCode {
    if let Some(exit) = guard::child() {
        return exit;
    }
    if let Some(exit) = sweep::child() {
        return exit;
    }
    trial::main(fuzz)
}

fn fuzz(asked: &Asked) -> Result<bool, String> {
    let minutes = asked.number("--minutes", 0);
    let first = asked.number("--seed", 1);
    let until = Instant::now() + Duration::from_secs(60 * minutes.max(1));
    let timed = minutes > 0;
    let rounds = if timed { u64::MAX } else { asked.number("--rounds", 1000) };
    let machine = Machine::new(LONGEST, asked.number("--memory", MEMORY) << 10)?;
    let shrink = Duration::from_secs(asked.number("--shrink", SHRINK));
    let seeds = seeds::all()?;
    let (found, next) = (Mutex::new(Found::default()), AtomicU64::new(0));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let work = || -> Result<(), String> {
            loop {
                let round = next.fetch_add(1, Ordering::Relaxed);
                if round >= rounds || (timed && Instant::now() > until) {
                    return Ok(());
                }
                one(first.wrapping_add(round), &seeds, &machine, shrink, &found)?;
                if round % sweep::EVERY == 0 {
                    swept(first.wrapping_add(round), &seeds, &machine, shrink, &found)?;
                }
            }
        };
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        all.into_iter().try_for_each(|t| t.join().unwrap_or_else(|_| Err("a thread of the trial died".into())))
    })?;
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut refused: Vec<_> = found.refused.iter().collect();
    refused.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
    for (what, n) in refused.iter().take(REFUSED) {
        eprintln!("accepted by the check and refused by the run, {n} times: {what}");
    }
    println!(
        "{} rounds, {} commands, {} runs of accepted flows, {} rounds left out, at most {} MiB; {} more flows checked: {} findings",
        found.rounds,
        found.commands,
        found.runs,
        found.left_out,
        found.peak >> 10,
        found.checked,
        found.findings.len()
    );
    Ok(found.findings.is_empty())
}

/// Plays a round and tells what it finds, if that is new.
fn one(number: u64, seeds: &[Seed], machine: &Machine, shrink: Duration, found: &Mutex<Found>) -> Result<(), String> {
    let case = Case::draw(number, seeds);
    let played = play(&case, machine).map_err(|e| format!("round {number}: {e}"))?;
    {
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        found.rounds += 1;
        found.commands += played.commands;
        found.runs += played.runs;
        found.left_out += u64::from(played.left_out);
        found.peak = found.peak.max(played.peak);
        if found.rounds.is_multiple_of(1000) {
            eprintln!("{} rounds, {} runs, {} findings", found.rounds, found.runs, found.findings.len());
        }
        played.refused.into_iter().for_each(|what| *found.refused.entry(what).or_default() += 1);
        let Some(finding) = &played.finding else { return Ok(()) };
        let rounds = found.findings.entry(finding.what.clone()).or_default();
        *rounds += 1;
        if *rounds > 1 {
            return Ok(());
        }
    }
    if let Some(finding) = played.finding {
        told(number, case, &finding, machine, shrink)?;
    }
    Ok(())
}

/// Sweeps over flows that are only checked. What is found is played as a round of its own.
fn swept(round: u64, seeds: &[Seed], machine: &Machine, time: Duration, found: &Mutex<Found>) -> Result<(), String> {
    let dies = sweep::sweep(round)?;
    found.lock().unwrap_or_else(PoisonError::into_inner).checked += sweep::FLOWS;
    let Some((number, said)) = dies else { return Ok(()) };
    println!("round {number}: a check in a sweep: {said}");
    found.lock().unwrap_or_else(PoisonError::into_inner).findings.insert("a check in a sweep".into(), 1);
    one(number, seeds, machine, time, found)
}

/// Makes a finding small, keeps it, and tells of it.
fn told(number: u64, case: Case, finding: &Finding, machine: &Machine, time: Duration) -> Result<(), String> {
    println!("round {number}: {} (`{}`); it is made smaller", finding.what, finding.command);
    let small = shrink::Shrink::run(case, finding, machine, Instant::now() + time);
    let folder = keep::keep(number, &small, finding).map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&small.seed.flow).into_owned();
    let said: String = finding.said.chars().take(2_000).collect();
    println!("round {number}: {}\nkept in {}\n{text}\n{said}", finding.what, folder.display());
    Ok(())
}
