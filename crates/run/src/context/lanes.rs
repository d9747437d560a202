//! Which lane has what.

use crate::context::RunContext;
use anabranch_engine::{Error, Result, limits, partition};
use anabranch_flow::model::{Flow, Kind, Writer};
use anabranch_flow::number::{StreamNo, UnitNo};
use anabranch_flow::plan::Plan;
use std::collections::{BTreeMap, BTreeSet};

/// Lanes that are wanted for a flow: as many as its widest stream has partitions, or a sharder has shards.
pub fn wanted(flow: &Flow, plan: &Plan, partitions: &[u32]) -> u32 {
    let logged = partitions.iter().enumerate().filter(|(s, _)| plan.logged[*s]).map(|(_, n)| *n);
    let shards =
        flow.steps.iter().map(|s| if let Kind::Shard(shard) = &s.kind { shard.shards.len() as u32 } else { 1 });
    logged.chain(shards).max().unwrap_or(1).clamp(1, limits::LANES)
}

impl RunContext {
    /// The lane that a partition of a unit's root belongs to.
    pub fn lane_of(&self, unit: UnitNo, root: usize, partition: u32) -> u32 {
        let unit = &self.plan.units[unit];
        if unit.has_seat() {
            return 0;
        }
        // the two sides of a pair must meet
        let shift = if unit.pairs.is_some() { 0 } else { self.shard_of(unit.roots[root].from) };
        (partition + shift) % self.lanes.max(1)
    }

    /// The number of the shard that a stream is, if it is one of several.
    fn shard_of(&self, stream: StreamNo) -> u32 {
        match self.flow.streams[stream].writer {
            Writer::Step(w, port) => {
                let step = &self.flow.steps[w];
                let shards = matches!(&step.kind, Kind::Shard(shard) if shard.streams);
                if shards || step.shards.is_some() { port as u32 } else { 0 }
            }
            _ => 0,
        }
    }

    /// How many lanes have a part in a unit.
    pub fn lanes_of(&self, unit: UnitNo) -> usize {
        let roots = self.plan.units[unit].roots.iter().enumerate();
        let lanes = roots.flat_map(|(r, root)| (0..self.partitions[root.from]).map(move |p| (r, p)));
        lanes.map(|(r, p)| self.lane_of(unit, r, p)).collect::<std::collections::BTreeSet<_>>().len()
    }
}

/// The account of each lane has an entry for each partition that it reads or writes. A flow that has too many is refused
/// before anything is done.
pub fn entries_fit(context: &RunContext) -> Result<()> {
    let mut of_lanes: BTreeMap<u32, (usize, BTreeSet<(StreamNo, u32)>)> = BTreeMap::new();
    for (u, unit) in context.plan.numbered_units() {
        let written: Vec<StreamNo> = context
            .flow
            .stream_nos()
            .filter(|s| context.plan.logged[*s] && context.plan.writers[*s] == Some(u))
            .collect();
        for (r, root) in unit.roots.iter().enumerate() {
            for p in 0..context.partitions[root.from] {
                let (readers, ends) = of_lanes.entry(context.lane_of(u, r, p)).or_default();
                *readers += 1;
                ends.extend(written.iter().map(|s| (*s, partition::through(p, context.partitions[*s]))));
            }
        }
        // by key, or by hash: any partition
        let anywhere = |s: &&StreamNo| match context.flow.streams[**s].writer {
            Writer::Step(w, port) => match &context.flow.steps[w].kind {
                Kind::Shard(shard) => !shard.streams && port == 0,
                kind => matches!(kind, Kind::Reduce(..)),
            },
            _ => false,
        };
        for s in written.iter().filter(anywhere) {
            let (_, ends) = of_lanes.entry(0).or_default();
            ends.extend((0..context.partitions[*s]).map(|p| (*s, p)));
        }
    }
    let most = of_lanes.values().map(|(readers, ends)| readers + ends.len()).max().unwrap_or(0);
    if most <= limits::ACCOUNT_ENTRIES {
        return Ok(());
    }
    let text =
        format!("the flow has {most} readers and written partitions, at most {} are possible", limits::ACCOUNT_ENTRIES);
    Err(Error::usage(text).help("use fewer partitions or shards"))
}
