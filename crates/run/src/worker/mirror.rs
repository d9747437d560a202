//! Consumer groups: a mirror of the positions for people's tools, never the truth.

use crate::context::Spot;
use crate::ledger::Standing;
use anabranch_flow::model::Writer;
use anabranch_flow::plan::Node;
use std::collections::{BTreeMap, BTreeSet};

/// Groups that could not be set: they are told of once, and left alone then.
pub type LeftAlone = BTreeSet<String>;

/// Writes how far the readers of logged streams are into their groups; what people should know of that. A run goes on
/// whatever comes of it: the positions are in the accounts.
pub fn mirror(standing: Standing<'_>, left: &mut LeftAlone) -> Vec<String> {
    let Standing { context, record, .. } = standing;
    let mut notes = vec![];
    if record.repair.is_some() {
        return notes; // the positions are those of a batch of long ago
    }
    let mut groups: BTreeMap<&str, BTreeMap<Spot, i64>> = BTreeMap::new();
    for unit in &context.plan.units {
        for root in &unit.roots {
            let Node::Step(s) = root.node else { continue };
            if context.flow.streams[root.from].writer != Writer::Outside && !context.flow.streams[root.from].is_public()
            {
                continue;
            }
            let Some(group) = context.flow.steps[s].groups.get(root.input) else { continue };
            for p in 0..context.partitions[root.from] {
                let next = standing.next(&context.reader(root, p));
                let spot = (context.flow.streams[root.from].at.clone(), p);
                // a step that reaches a partition in two ways has read it as far as the slower one
                groups.entry(group).or_default().entry(spot).and_modify(|n| *n = next.min(*n)).or_insert(next);
            }
        }
    }
    for (group, offsets) in &groups {
        if left.contains(*group) {
            continue;
        }
        let offsets: Vec<_> = offsets.iter().map(|((stream, p), next)| (stream.clone(), *p, *next)).collect();
        if let Err(e) = context.engine.set_group(group, &offsets) {
            left.insert(group.to_string());
            notes.push(format!("the group {group} does not show how far this run is ({})", e.text));
        }
    }
    notes
}
