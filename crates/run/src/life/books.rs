//! The books of a batch that is held: what all its runs did, over all lanes.

use crate::context::RunContext;
use crate::context::sinks::FileOf;
use crate::ledger::Ledger;
use anabranch_engine::account::ACCOUNT_VERSION;
use anabranch_engine::{
    Account, At, BatchRef, Desk, Dest, Error, Extent, FlowId, Item, Packer, Placed, Put, Result, RunRecord, StreamName,
    items,
};
use anabranch_flow::model::Writer;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// The books of a batch that is held: what all its runs did, over all lanes.
#[derive(Serialize, Deserialize)]
pub struct HeldBooks {
    /// The record of the last run that worked for it.
    pub record: RunRecord,
    /// The sum of the accounts of all lanes.
    pub account: Account,
}

/// Where the books of held batches are kept.
pub fn stream(flow: &FlowId) -> Result<StreamName> {
    flow.own("held")
}

/// The books of a batch whose run closes as held.
/// Its sinks `aside` had begun files that wait for the repair.
pub fn books(
    context: &RunContext,
    ledger: &Ledger,
    closing: &RunRecord,
    aside: &[FileOf],
    placed: Vec<Placed>,
) -> Result<Vec<Put>> {
    let (flow_hash, read) = (context.flow.hash.clone(), ledger.positions());
    let mut account = Account { version: ACCOUNT_VERSION, flow_hash, read, ..Account::default() };
    for of_lane in ledger.all() {
        for (step, tally) in &of_lane.tally {
            account.tally.entry(step.clone()).or_default().add(tally);
        }
        for (mark, n) in &of_lane.marks {
            *account.marks.entry(mark.clone()).or_default() += n;
        }
    }
    let mut record = RunRecord { held: vec![], ..closing.clone() };
    let own = context.flow.numbered_streams();
    let own = own.filter(|(s, stream)| context.plan.logged[*s] && stream.writer != Writer::Outside);
    let own = own.map(|(s, stream)| (&stream.at, context.partitions[s]));
    for (at, partitions) in own.chain([(&context.dead, context.lanes)]) {
        for p in 0..partitions {
            let spot = (at.clone(), p);
            let from = record.starts.get(&spot).copied().unwrap_or(0);
            let ends = || ledger.all().iter().filter_map(|a| a.ends.get(&spot));
            let to = ends().map(|e| e.end).max().unwrap_or(from);
            let items = ends().map(|e| e.items).sum();
            if to > from {
                record.extents.entry(spot).or_default().push(Extent { from, to, items });
            }
        }
    }
    let mending = record.repair.get_or_insert_default();
    mending.runs.push(closing.number);
    mending.placed = placed;
    mending.aside = aside.iter().map(|file| context.flow.streams[file.sink].name.clone()).collect();
    (mending.again, mending.carry) = (vec![], BTreeMap::new());
    (mending.waited, mending.gaps) = (BTreeMap::new(), BTreeMap::new());
    let json = serde_json::to_vec(&HeldBooks { record, account }).map_err(|e| Error::bug(e.to_string()))?;
    let mut packer = Packer::default();
    let key = Some(closing.batch.to_string().into());
    packer.push_item(&Item { key, ..Item::of(json, closing.started) });
    let to = Dest { stream: stream(&context.flow.name)?, partition: 0 };
    Ok(packer.finish().into_iter().map(|b| Put { to: to.clone(), batch: BatchRef::Fresh(b) }).collect())
}

/// The newest books of a batch.
pub fn find(engine: &dyn Desk, flow: &FlowId, batch: u64) -> Result<HeldBooks> {
    let held = stream(flow)?;
    let mut found = None;
    each(engine, &held, |_, item| {
        if item.key.as_deref() == Some(batch.to_string().as_bytes()) {
            found = item.value;
        }
        Ok(())
    })?;
    let json = found.ok_or_else(|| Error::corrupt(format!("the records of batch {batch} are not in {held}")))?;
    serde_json::from_slice(&json)
        .map_err(|e| Error::corrupt(format!("the records of batch {batch} cannot be read: {e}")))
}

/// Where the books of the batches begin that are still held: what lies before is of no use any more.
pub fn books_from(context: &RunContext, record: &RunRecord) -> Result<Option<At>> {
    let stream = stream(&context.flow.name)?;
    let of_held = |item: &Item| record.held.iter().any(|h| item.key.as_deref() == Some(h.batch.to_string().as_bytes()));
    let mut first = None;
    each(&*context.engine, &stream, |offset, item| {
        if first.is_none() && of_held(&item) {
            first = Some(offset);
        }
        Ok(())
    })?;
    let end = context.engine.span(&stream)?.first().map(|span| span.end);
    Ok(first.or(end).map(|offset| At { stream, partition: 0, offset }))
}

/// Every item of a stream, with its offset.
pub fn each(engine: &dyn Desk, stream: &StreamName, mut f: impl FnMut(i64, Item) -> Result<()>) -> Result<()> {
    for (p, span) in engine.span(stream)?.into_iter().enumerate() {
        let at = At { stream: stream.clone(), partition: p as u32, offset: span.start };
        let _ = items(engine, at, span.end, |offset, item| f(offset, item).map(ControlFlow::Continue))?;
    }
    Ok(())
}
