//! `anabranch run`

use super::args::{Args, Run};
use super::progress::Progress;
use super::{Exit, place, print, report};
use crate::Local;
use anabranch_engine::{Error, Kind, Result};
use anabranch_flow::run::{self, Options, Outcome};
use signal_hook::consts::{SIGINT, SIGTERM};
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
    let progress = Arc::new(Mutex::new(Progress::new(&a.progress, args.quiet || args.json)));
    let (shown, quiet) = (progress.clone(), args.quiet);
    let options = Options {
        stop,
        fresh: a.fresh,
        repair,
        workers: 0,
        progress: Some(Box::new(move |view| shown.lock().unwrap_or_else(PoisonError::into_inner).show(view))),
        note: Some(Box::new(move |text| {
            if !quiet {
                tell!("note: {text}")
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
        print::tell(&report::draw(&report, &a.flow.flow));
    } else if ended.is_none() && report.exit != 0 {
        tell!("{}", report::in_short(&report)); // who hears of nothing else hears of this
    }
    Ok(ended.unwrap_or(report.exit))
}

/// The first Ctrl-C or SIGTERM stops the run safely; the second one ends it at once.
fn signals() -> Result<(Arc<AtomicBool>, Arc<AtomicUsize>)> {
    let (stop, which) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    for signal in [SIGINT, SIGTERM] {
        let register = || -> std::io::Result<()> {
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, stop.clone())?;
            signal_hook::flag::register_usize(signal, which.clone(), signal as usize)?;
            signal_hook::flag::register(signal, stop.clone())?;
            Ok(())
        };
        register().map_err(|e| Error::machine(format!("cannot watch for signals: {e}")))?;
    }
    Ok((stop, which))
}
