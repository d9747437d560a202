//! `anabranch run`

use super::args::{Args, Run};
use super::progress::{Progress, Shown};
use super::{Exit, place, print, report, screen, signals};
use crate::Local;
use anabranch_engine::{Kind, Result};
use anabranch_flow::model::SinkAt;
use anabranch_run::show::report::in_short;
use anabranch_run::{self as run, Options, Outcome};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

/// Runs a flow to its end.
pub fn run(args: &Args, a: &Run) -> Result<Exit> {
    let (exit, report) = once(args, a, None)?;
    if args.json {
        report.iter().for_each(print::document);
    }
    Ok(exit)
}

/// One run, for a new batch or to repair one: its exit status, and its report, which is told to people.
pub fn once(args: &Args, a: &Run, repair: Option<run::Repair>) -> Result<(Exit, Option<run::Report>)> {
    let Some(flow) = place::flow(args, &a.flow)? else { return Ok((2, None)) };
    let (stop, signal) = signals::watch()?;
    signals::hear_of_children()?;
    let engine = place::engine_to_run(args, &a.flow.flow)?;
    let file = &a.flow.flow;
    let world = Local::new(&place::folder(file)).with_data(&place::of_flow(args, file)).until(stop.clone());
    let world = match place::kafka_is_meant(args) {
        true => world,
        false => world.noting(&place::of_flow(args, file))?,
    };
    let prints = flow.streams.iter().any(|s| s.sink.as_ref().is_some_and(|s| matches!(s.to, SinkAt::Stdout)));
    let shown = Shown::begin(Progress::new(&a.progress, args.quiet || args.json, prints))?;
    let (noting, quiet) = (shown.picture(), args.quiet);
    let options = Options {
        stop,
        fresh: a.fresh,
        repair,
        workers: 0,
        watch: Some(shown.watch()),
        note: Some(Box::new(move |text| {
            if !quiet {
                noting.lock().unwrap_or_else(PoisonError::into_inner).clear();
                tell!("note: {text}");
            }
        })),
    };
    let outcome = run::run(flow, engine, Arc::new(world), options);
    shown.end();
    let stopped = || 128 + signal.load(Ordering::Relaxed) as u8;
    let (report, ended) = match outcome {
        Ok(Outcome::Closed(report)) => (report, None),
        Ok(Outcome::Stopped(report)) => (report, Some(stopped())),
        Err(e) if e.kind == Kind::Stopped => {
            if !args.quiet {
                tell!("stopped: {e}");
            }
            return Ok((stopped(), None));
        }
        Err(e) => return Err(e),
    };
    if args.json {
        return Ok((ended.unwrap_or(report.exit), Some(report)));
    }
    if !args.quiet {
        print::tell(&report::draw(&report, &a.flow.flow, screen::width(std::io::stderr())));
    } else if ended.is_none() && report.exit != 0 {
        tell!("{}", in_short(&report)); // who hears of nothing else hears of this
    }
    Ok((ended.unwrap_or(report.exit), Some(report)))
}
