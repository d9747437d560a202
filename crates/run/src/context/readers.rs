//! The readers of a run, by name.

use crate::context::RunContext;
use anabranch_engine::account::Reader;
use anabranch_flow::model::Writer;
use anabranch_flow::number::StepNo;
use anabranch_flow::plan::{Reach, Root};

impl RunContext {
    /// The reader of a partition of a root.
    pub fn reader(&self, root: &Root, p: u32) -> Reader {
        let (stream, partition) = self.spot(root.how, root.from, p);
        Reader { step: anabranch_flow::plan::name(&self.flow, root.node), taken: root.taken.clone(), stream, partition }
    }
}

impl RunContext {
    /// A join as a reader of a partition of what it is a view of. It reads nothing; but where its batch begins in a stream
    /// from outside is a position of its own.
    pub fn viewer(&self, join: StepNo, reach: &Reach, partition: u32) -> Reader {
        let stream = self.flow.streams[reach.from].at.clone();
        Reader { step: self.flow.steps[join].name.clone(), taken: reach.taken.clone(), stream, partition }
    }

    /// What joins view of streams from outside, partition by partition.
    pub fn viewers(&self) -> impl Iterator<Item = (StepNo, &Reach, Reader)> {
        let all = self.plan.views.iter().flat_map(|(join, view)| view.iter().map(move |reach| (*join, reach)));
        let outside = all.filter(|(_, reach)| self.flow.streams[reach.from].writer == Writer::Outside);
        outside.flat_map(move |(join, reach)| {
            (0..self.partitions[reach.from]).map(move |p| (join, reach, self.viewer(join, reach, p)))
        })
    }
}
