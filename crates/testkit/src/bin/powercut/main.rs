//! `powercut`: proves that what the embedded engine acknowledged survives a power cut.
//!
//! A workload runs under `strace`. From the trace it is known what was written, what was synced, and when each
//! commit was acknowledged. At each point of it the power may fail: what no sync covered is lost in several ways,
//! and what is left is laid out as a data directory, opened, and compared with what was acknowledged by then.
//!
//! | module | holds |
//! |---|---|
//! | `story` | what each commit holds |
//! | `workload`, `note` | the program that makes the commits, and what it says of itself |
//! | `record`, `call`, `trace`, `replay`, `ops` | from a running program to a list of operations |
//! | `disk`, `image` | what is durable, and what a power cut may leave |
//! | `check` | what must be found |
//! | `schedule`, `drive` | which cuts are tried, and all of them together |

mod call;
mod check;
mod disk;
mod drive;
mod image;
mod note;
mod ops;
mod record;
mod replay;
mod schedule;
mod story;
mod trace;
mod workload;

use disk::Broken;
use drive::Asked;
use std::path::PathBuf;
use std::process::ExitCode;

/// The result of what may fail here.
pub type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const USAGE: &str = "powercut [--images N] [--seed N] [--keep DIR]";

enum Job {
    Drive(Asked),
    Work { dir: PathBuf, notes: PathBuf },
}

fn main() -> ExitCode {
    let done = job(std::env::args().skip(1)).and_then(|job| match job {
        Job::Drive(asked) => drive::drive(&asked),
        Job::Work { dir, notes } => workload::run(&dir, &notes).map(|()| true),
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("powercut: {e}");
            ExitCode::from(2)
        }
    }
}

fn job(mut args: impl Iterator<Item = String>) -> Fallible<Job> {
    let mut asked = Asked { images: 10_000, seed: 1, broken: None, keep: None };
    let (mut dir, mut notes) = (None, None);
    while let Some(arg) = args.next() {
        let value = args.next().ok_or_else(|| format!("{arg} needs a value: {USAGE}"))?;
        match arg.as_str() {
            "--images" => asked.images = value.parse()?,
            "--seed" => asked.seed = value.parse()?,
            "--keep" => asked.keep = Some(value.into()),
            "--workload" => dir = Some(value.into()), // given by the tool to itself
            "--notes" => notes = Some(value.into()),
            "--break-rule" => {
                // for the test of the tool: it must find the loss
                let broken = Broken::ALL.iter().find(|(name, _)| *name == value);
                asked.broken = Some(broken.ok_or_else(|| format!("there is no rule {value}"))?.1);
            }
            _ => return Err(format!("{arg} is not known: {USAGE}").into()),
        }
    }
    match (dir, notes) {
        (Some(dir), Some(notes)) => Ok(Job::Work { dir, notes }),
        (None, None) => Ok(Job::Drive(asked)),
        _ => Err("--workload and --notes go together".into()),
    }
}
