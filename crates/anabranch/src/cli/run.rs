//! `anabranch run`

use super::args::{Args, Run};
use super::progress::Progress;
use super::{Exit, place, print, report, screen};
use crate::Local;
use anabranch_engine::{Error, Kind, Result};
use anabranch_flow::model::To;
use anabranch_flow::run::{self, Options, Outcome};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Runs a flow to its end.
pub fn run(args: &Args, a: &Run) -> Result<Exit> {
    once(args, a, None)
}

/// One run, for a new batch or to repair one.
pub fn once(args: &Args, a: &Run, repair: Option<run::Repair>) -> Result<Exit> {
    let Some(flow) = place::flow(args, &a.flow)? else { return Ok(2) };
    let (stop, signal) = signals()?;
    let engine = place::engine_to_run(args, &a.flow.flow)?;
    let file = &a.flow.flow;
    let world = Local::new(&place::folder(file)).with_data(&place::of_flow(args, file)).until(stop.clone());
    let world = match place::kafka_is_meant(args) {
        true => world,
        false => world.noting(&place::of_flow(args, file))?,
    };
    let prints = flow.streams.iter().any(|s| s.sink.as_ref().is_some_and(|s| matches!(s.to, To::Stdout)));
    let progress = Arc::new(Mutex::new(Progress::new(&a.progress, args.quiet || args.json, prints)));
    let (shown, noting, quiet) = (progress.clone(), progress.clone(), args.quiet);
    let options = Options {
        stop,
        fresh: a.fresh,
        repair,
        workers: 0,
        progress: Some(Box::new(move |view| shown.lock().unwrap_or_else(PoisonError::into_inner).show(view))),
        note: Some(Box::new(move |text| {
            if !quiet {
                noting.lock().unwrap_or_else(PoisonError::into_inner).clear();
                tell!("note: {text}");
            }
        })),
    };
    let outcome = run::run(flow, engine, Arc::new(world), options);
    progress.lock().unwrap_or_else(PoisonError::into_inner).clear();
    let stopped = || 128 + signal.load(Ordering::Relaxed) as u8;
    let (report, ended) = match outcome {
        Ok(Outcome::Closed(report)) => (report, None),
        Ok(Outcome::Stopped(report)) => (report, Some(stopped())),
        Err(e) if e.kind == Kind::Stopped => {
            if !args.quiet {
                tell!("stopped: {e}");
            }
            return Ok(stopped());
        }
        Err(e) => return Err(e),
    };
    if args.json {
        print::document(&report);
    } else if !args.quiet {
        print::tell(&report::draw(&report, &a.flow.flow, screen::width(std::io::stderr())));
    } else if ended.is_none() && report.exit != 0 {
        tell!("{}", report::in_short(&report)); // who hears of nothing else hears of this
    }
    Ok(ended.unwrap_or(report.exit))
}

/// The first Ctrl-C, SIGTERM or SIGHUP stops the run safely; a second Ctrl-C or SIGTERM ends it at once. A terminal that
/// is closed may send SIGHUP twice; under `nohup` it means nothing.
fn signals() -> Result<(Arc<AtomicBool>, Arc<AtomicUsize>)> {
    let (stop, which) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|s| *s != SIGHUP || !is_ignored(*s)) {
        let register = || -> std::io::Result<()> {
            if signal != SIGHUP {
                signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, stop.clone())?;
            }
            signal_hook::flag::register_usize(signal, which.clone(), signal as usize)?;
            signal_hook::flag::register(signal, stop.clone())?;
            Ok(())
        };
        register().map_err(|e| Error::machine(format!("cannot watch for signals: {e}")))?;
    }
    // who ignores the end of children never hears how they ended
    if is_ignored(SIGCHLD) {
        let heard = signal_hook::flag::register(SIGCHLD, Arc::default());
        heard.map_err(|e| Error::machine(format!("cannot watch for the end of children: {e}")))?;
    }
    // where files may not grow any more, a write fails and says so; without this the process would end without a word
    let limit = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
    limit.map_err(|e| Error::machine(format!("cannot watch for signals: {e}")))?;
    Ok((stop, which))
}

/// Whether this process was started with a signal ignored.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|l| l.strip_prefix("SigIgn:")).map(str::trim);
    mask.and_then(|mask| u64::from_str_radix(mask, 16).ok()).is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
