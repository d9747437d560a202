//! What trials share that kill processes: the command line in a process of its own, and what is lost or there twice.

use crate::rng::Rng;
pub use anabranch_simulator::Asked;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// The first argument of a process that stands for the command line.
const CHILD: &str = "--as-the-command";

/// Runs a trial, which says whether all was well; or the command line, in a process that it started.
pub fn main(trial: impl FnOnce(&Asked) -> Result<bool, String>) -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    if args.get(1).is_some_and(|a| a == CHILD) {
        args.remove(1);
        return anabranch::cli::run_as(args); // the process that is killed is the command line itself
    }
    match trial(&Asked(args)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

/// The command line with these arguments, in a folder.
pub fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap_or_default());
    command.arg(CHILD).args(args).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Whether a process is at work.
pub fn at_work(child: &mut Child) -> bool {
    child.try_wait().is_ok_and(|s| s.is_none())
}

/// Waits for the end of a process; false if it was killed since it did not come to one.
pub fn ends(child: &mut Child, until: Instant) -> bool {
    while at_work(child) {
        if Instant::now() > until {
            let _ = child.kill();
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    true
}

/// Runs the flow of a folder, killed at random moments of the time that it usually takes and started again, `most` times at
/// most; how often it was killed, and the report of the process that came to the end. No run takes `longest`.
///
/// # Errors
///
/// It does not end in time, or ends as it should not.
pub fn to_the_end(
    folder: &Path,
    dice: &mut Rng,
    usual: Duration,
    most: u64,
    longest: Duration,
) -> Result<(u64, serde_json::Value), String> {
    let mut kills = 0;
    loop {
        let mut child = command(folder, &["run", "--json"]).spawn().map_err(|e| e.to_string())?;
        let until = Instant::now() + Duration::from_micros(dice.below(usual.as_micros() as u64 * 5 / 4));
        while kills < most && Instant::now() < until && at_work(&mut child) {
            std::hint::spin_loop();
        }
        if kills < most && at_work(&mut child) {
            child.kill().and_then(|()| child.wait()).map_err(|e| e.to_string())?;
            kills += 1;
            continue;
        }
        if !ends(&mut child, Instant::now() + longest) {
            return Err("the run does not end".into());
        }
        let output = child.wait_with_output().map_err(|e| e.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr);
        let report = serde_json::from_slice(&output.stdout).map_err(|e| format!("no report ({e}): {said}"))?;
        return Ok((kills, report));
    }
}
