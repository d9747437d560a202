//! Runs on a log in memory, each decided by a seed: `simulator [--seeds N] [--from S] [--minutes M]`. A seed that fails is
//! told with a flow that is as small as could be found: `simulator --seed S` does it again, `--told` call by call. With
//! `--first` it ends at the first seed that fails.

use anabranch_simulator::{Asked, Course, Setup, shrink};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let asked = Asked(std::env::args_os().collect());
    let went = match asked.text("--seed").map(str::parse) {
        Some(Ok(seed)) => one(seed, &asked),
        Some(Err(_)) => Err("--seed wants a number".to_string()),
        None => Ok(many(&asked)),
    };
    match went {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn one(seed: u64, asked: &Asked) -> Result<bool, String> {
    let setup = Setup::of(seed);
    println!("{}{setup:#?}", setup.shape.yaml());
    let (lines, wrong) = setup.told();
    if asked.has("--told") {
        lines.iter().for_each(|line| println!("{line}"));
    }
    match wrong {
        None => {
            println!("as it should be: {:x}", setup.run()?.trace);
            Ok(true)
        }
        Some(why) => {
            println!("{why}");
            if asked.has("--shrink") {
                let (small, why) = shrink(&setup, why);
                println!("{}{small:#?}\n{why}", small.shape.yaml());
            }
            Ok(false)
        }
    }
}

/// What all seeds came to.
#[derive(Default)]
struct Sum {
    seeds: u64,
    runs: u64,
    starts: u64,
    items: u64,
    calls: u64,
    wrong: Vec<(u64, String)>,
}

impl Sum {
    fn add(&mut self, seed: u64, went: Result<Course, String>) {
        self.seeds += 1;
        match went {
            Ok(course) => {
                self.runs += course.runs;
                self.starts += course.starts;
                self.items += course.items;
                self.calls += course.calls;
            }
            Err(why) => self.wrong.push((seed, why)),
        }
    }
}

/// Seeds that fail before it is enough.
const ENOUGH: usize = 20;

fn many(asked: &Asked) -> bool {
    let (from, seeds) = (asked.number("--from", 1), asked.number("--seeds", u64::MAX));
    let minutes = asked.number("--minutes", if seeds == u64::MAX { 1 } else { 24 * 60 });
    let until = Instant::now() + Duration::from_secs(60 * minutes);
    let first = asked.has("--first");
    let next = AtomicU64::new(0);
    let sum = Mutex::new(Sum::default());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let enough = sum.lock().unwrap_or_else(PoisonError::into_inner).wrong.len()
                        >= if first { 1 } else { ENOUGH };
                    if seed >= seeds || Instant::now() >= until || enough {
                        return;
                    }
                    let went = Setup::of(from + seed).run();
                    let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Err(why) = &went {
                        println!("seed {}: {}", from + seed, why.lines().next().unwrap_or_default());
                    }
                    sum.add(from + seed, went);
                }
            });
        }
    });
    let mut sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!(
        "{} seeds in {:.0} s: {} runs, {} starts of a process, {} calls of the log, {} items compared, {} seeds fail",
        sum.seeds,
        began.elapsed().as_secs_f64(),
        sum.runs,
        sum.starts,
        sum.calls,
        sum.items,
        sum.wrong.len()
    );
    sum.wrong.sort();
    if let Some((seed, why)) = sum.wrong.first().filter(|_| !first && !asked.has("--as-it-is")) {
        let (small, why) = shrink(&Setup::of(*seed), why.clone());
        println!("the first one, {seed}, made small:\n{}{small:#?}\n{why}", small.shape.yaml());
    }
    sum.wrong.is_empty()
}
