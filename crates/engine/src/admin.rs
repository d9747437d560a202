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
    ///
    /// # Errors
    ///
    /// The group cannot be read.
    fn group(&self, name: &str) -> Result<Group>;
    /// Sets offsets of a group.
    ///
    /// # Errors
    ///
    /// Members are active in the group, or it cannot be written.
    fn set_group(&self, group: &str, offsets: &[(StreamName, Partition, Offset)]) -> Result<()>;
    /// Reports of a flow that are kept, oldest first: number of the run and JSON.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    fn reports(&self, flow: &FlowId) -> Result<Vec<(u64, String)>>;
    /// The report of one run, if it is kept.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    fn report(&self, flow: &FlowId, run: u64) -> Result<Option<String>>;
}

/// What people's tools need beside it. No run sees this.
pub trait Admin: Desk {
    /// All streams.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    fn streams(&self) -> Result<Vec<StreamInfo>>;
    /// Deletes a stream and its items.
    ///
    /// # Errors
    ///
    /// There is no such stream, or it cannot be deleted.
    fn delete(&self, stream: &StreamName) -> Result<()>;
    /// Appends items from outside any flow, as one commit.
    ///
    /// # Errors
    ///
    /// There is no such stream or partition, a flow writes it, an item is too large, or it cannot be written. Then
    /// none of the items is there.
    fn append(&self, stream: &StreamName, items: &[(Partition, Item)]) -> Result<()>;
    /// All groups and their offsets.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    fn groups(&self) -> Result<Vec<Group>>;
    /// Flows that have an account here.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    fn flows(&self) -> Result<Vec<FlowId>>;
    /// The processes that work a flow now, as far as the engine knows of them.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    fn workers(&self, flow: &FlowId) -> Result<Vec<Worker>>;
}
