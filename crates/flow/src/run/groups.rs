//! Consumer groups: a mirror of the positions for people's tools, never the truth.

use super::{Shared, facts};
use crate::model::Writer;
use crate::plan::{Node, name};
use anabranch_engine::{Account, Kind as ErrorKind, Result, RunRecord};
use std::collections::BTreeMap;

/// Writes how far the readers of logged streams are into their groups.
pub fn mirror(shared: &Shared, accounts: &[Account], record: &RunRecord) -> Result<()> {
    if record.repair.is_some() {
        return Ok(()); // the positions are those of a batch of long ago
    }
    let mut groups: BTreeMap<&str, Vec<(anabranch_engine::StreamName, u32, i64)>> = BTreeMap::new();
    for unit in &shared.plan.units {
        for root in &unit.roots {
            let Node::Step(s) = root.node else { continue };
            if shared.flow.streams[root.from].writer != Writer::Outside && !shared.flow.streams[root.from].declared {
                continue;
            }
            let Some(group) = shared.flow.steps[s].groups.get(root.input) else { continue };
            for p in 0..shared.partitions[root.from] {
                let spot = shared.spot(root.how, root.from, p);
                let next = facts::next(accounts, record, &name(&shared.flow, root.node), &spot);
                groups.entry(group).or_default().push((shared.flow.streams[root.from].at.clone(), p, next));
            }
        }
    }
    for (group, offsets) in &groups {
        match shared.engine.set_group(group, offsets) {
            Err(e) if e.kind == ErrorKind::Busy => {} // people's consumers are in it: the positions are ours all the same
            other => other?,
        }
    }
    Ok(())
}
