//! What runs and people's tools need beside the streams and lanes of a flow.

use crate::engine::Engine;
use crate::error::Result;
use crate::item::Item;
use crate::name::{FlowId, StreamName};
use crate::types::{Group, Offset, Partition, StreamInfo, Worker};
use std::time::Duration;

/// What a run keeps for people beside its streams and lanes: consumer groups, as a mirror of its positions, and reports.
pub trait Desk: Engine {
    /// Waits for news of any stream, at most so long.
    fn wait(&self, longest: Duration);
    /// The offsets of one group; none if it has none or is not there.
    fn group(&self, name: &str) -> Result<Group>;
    /// Sets offsets of a group.
    fn set_group(&self, group: &str, offsets: &[(StreamName, Partition, Offset)]) -> Result<()>;
    /// Reports of a flow that are kept, oldest first: number of the run and JSON.
    fn reports(&self, flow: &FlowId) -> Result<Vec<(u64, String)>>;
    /// Keeps a report.
    fn keep_report(&self, flow: &FlowId, run: u64, json: &str) -> Result<()>;
}

/// What people's tools need beside it. No run sees this.
pub trait Admin: Desk {
    /// All streams.
    fn streams(&self) -> Result<Vec<StreamInfo>>;
    /// Deletes a stream and its items.
    fn delete(&self, stream: &StreamName) -> Result<()>;
    /// Appends items from outside any flow, as one commit.
    fn append(&self, stream: &StreamName, items: &[(Partition, Item)]) -> Result<()>;
    /// All groups and their offsets.
    fn groups(&self) -> Result<Vec<Group>>;
    /// Flows that have an account here.
    fn flows(&self) -> Result<Vec<FlowId>>;
    /// The processes that work a flow now, as far as the engine knows of them.
    fn workers(&self, flow: &FlowId) -> Result<Vec<Worker>>;
}
