//! `anabranch plan`: what a run would do if it began now.

use super::args::{Args, FlowArg};
use super::{Exit, place, print, screen};
use crate::Local;
use anabranch_engine::Result;
use anabranch_run::pages::plan::draw;
use anabranch_run::{What, forecast};
use std::io::stdout;
use std::sync::Arc;

/// Says what a run would do. The exit status is 2 if it would be refused.
pub fn plan(args: &Args, arg: &FlowArg) -> Result<Exit> {
    let Some(flow) = place::flow(args, arg)? else { return Ok(2) };
    let engine = place::engine_to_look(args, &arg.flow)?;
    let world = Local::new(&place::folder(&arg.flow)).with_data(&place::of_flow(args, &arg.flow));
    let told = forecast(flow, engine, Arc::new(world))?;
    if args.json {
        print::document(&told);
    } else {
        print::show(&draw(&told, screen::width(stdout())));
    }
    Ok(if told.what == What::Refused { 2 } else { 0 })
}
