//! The runs of a flow that are kept.

use super::args::{Args, FlowArg};
use super::place;
use crate::Local;
use anabranch_engine::Result;
use anabranch_flow::model::Flow;
use anabranch_run::{Report, inspect, saved_reports};
use std::sync::Arc;

/// The runs that are kept, newest first, with the one that is open.
pub fn kept(args: &Args, arg: &FlowArg, flow: &Arc<Flow>) -> Result<Vec<Report>> {
    let engine = place::engine_of(args, &arg.flow)?;
    let all = saved_reports(&*engine, &flow.name)?;
    let world = Arc::new(Local::new(&place::folder(&arg.flow)));
    let open = inspect(flow.clone(), engine, world)?.filter(|seen| !seen.phase.closed()).map(|seen| seen.report);
    Ok(open.into_iter().chain(all).collect())
}
