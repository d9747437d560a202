//! A run seen from beside it, as its accounts tell.

use crate::ledger::report::Report;
use crate::ledger::view::{RunView, StepView};
use crate::ledger::{Ledger, facts, report};
use crate::life::prepare;
use crate::world::World;
use anabranch_engine::{Cursor, Desk, Result};
use anabranch_flow::model::Flow;
use anabranch_flow::number::StepNo;
use anabranch_flow::plan::{Node, plan};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A run seen from beside it, as its accounts tell.
#[derive(Debug)]
pub struct Inspection {
    /// How far the run is.
    pub phase: anabranch_engine::Phase,
    /// What became of everything so far.
    pub report: Report,
    /// How far the steps are.
    pub steps: Vec<StepView>,
    progress: BTreeMap<String, facts::Progress>,
}

impl Inspection {
    /// How far a step is; a join has no work of its own.
    pub fn progress(&self, step: &str) -> Option<facts::Progress> {
        self.progress.get(step).copied()
    }
}

/// Looks at the newest run of a flow without touching it; `None` if there was none.
///
/// # Errors
///
/// The accounts cannot be read, or the flow is not what they are of.
pub fn inspect(flow: Arc<Flow>, engine: Arc<dyn Desk>, world: impl Into<World>) -> Result<Option<Inspection>> {
    let world = world.into();
    let accounts = engine.accounts(&flow.name, &mut Cursor::default(), std::time::Duration::ZERO)?;
    let Some(record) = accounts.iter().find_map(|a| a.record.clone()) else { return Ok(None) };
    let mut context = prepare::prepare(flow.clone(), plan(&flow, record.lanes > 1), engine, world)?;
    prepare::name_run(&mut context, &record, None)?;
    let ledger = Ledger::new(record.number, accounts);
    let standing = ledger.standing(&context, &record);
    let facts = standing.derive();
    let now = context.world.clock.now();
    let report = report::report(standing, &facts, now);
    let steps = RunView::of(standing, &facts, now, std::time::Duration::ZERO, &BTreeMap::new()).steps;
    let node = |i: StepNo| context.plan.unit_of(Node::Step(i)).map(|u| facts.units[u]);
    let progress = flow.numbered_steps().filter_map(|(i, s)| Some((s.name.clone(), node(i)?))).collect();
    Ok(Some(Inspection { phase: record.phase, report, steps, progress }))
}
