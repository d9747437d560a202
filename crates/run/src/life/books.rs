//! The books of a batch that is held or has dead letters: what all its runs did, over all lanes. Beside them lies what its
//! repairs chose.

use crate::context::RunContext;
use crate::context::choices::{self, Choices, Revision};
use crate::context::sinks::FileOf;
use crate::ledger::Ledger;
use crate::ledger::report::Gate;
use crate::life::patience::Patience;
use anabranch_engine::account::ACCOUNT_VERSION;
use anabranch_engine::{
    Account, At, BatchRef, Desk, Dest, Error, Extent, FlowId, Item, Packer, Phase, Placed, Put, RepairRecord, Result,
    RunRecord, StreamName, items, limits,
};
use anabranch_flow::model::Writer;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::LazyLock;

/// The books of a batch that is held, or has dead letters, or was repaired: what all its runs did, over all lanes.
#[derive(Serialize, Deserialize)]
pub struct BatchBooks {
    /// The record of the last run that worked for it.
    pub record: RunRecord,
    /// The sum of the accounts of all lanes.
    pub account: Account,
    /// How that run closed.
    pub phase: Phase,
    /// Books are numbered as they are written.
    pub no: u64,
    /// The flow that it ran: [`Flow::parts`](anabranch_flow::model::Flow::parts).
    pub parts: BTreeMap<String, String>,
    /// Gates that hold it, and what they say.
    #[serde(default)]
    pub gates: BTreeMap<String, Gate>,
}

impl BatchBooks {
    /// What was done for the batch so far.
    pub fn mending(&self) -> &RepairRecord {
        static NOTHING: LazyLock<RepairRecord> = LazyLock::new(RepairRecord::default);
        self.record.repair.as_ref().unwrap_or(&NOTHING)
    }
}

/// Where the books are kept.
pub fn stream(flow: &FlowId) -> Result<StreamName> {
    flow.own("held")
}

/// The books of a batch whose run closes.
/// Its sinks `aside` had begun files that wait for the repair.
pub fn books(
    context: &RunContext,
    ledger: &Ledger,
    closing: (&RunRecord, Phase, BTreeMap<String, Gate>),
    aside: &[FileOf],
    placed: Vec<Placed>,
) -> Result<Vec<Put>> {
    let (closing, phase, gates) = closing;
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
    for again in std::mem::take(&mut mending.again) {
        match mending.before.iter_mut().find(|b| b.step == again.step && b.of == again.of) {
            Some(before) => before.letters += again.letters,
            None => mending.before.push(again),
        }
    }
    (mending.choices, mending.late, mending.extended) = (0, vec![], vec![]);
    (mending.carry, mending.waited, mending.gaps) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let parts = context.flow.parts.clone();
    let json = serde_json::to_vec(&BatchBooks { no: record.books, record, account, phase, parts, gates })
        .map_err(|e| Error::bug(e.to_string()))?;
    let mut packer = Packer::default();
    let key = Some(closing.batch.to_string().into());
    packer.push_item(&Item { key, ..Item::of(json, closing.started) });
    puts(&context.flow.name, packer)
}

/// A batch whose failed items can be taken up again: its newest books, and what was chosen in the runs that worked for it.
pub struct Batch {
    /// Its books.
    pub books: BatchBooks,
    /// What its repairs chose, oldest first.
    pub settled: Vec<(u64, Choices)>,
}

impl Batch {
    /// The run that settled a letter, and how.
    pub fn settled(&self, partition: u32, offset: i64) -> Option<Settled> {
        let (run, of) = self.settled.iter().find(|(_, of)| of.has(partition, offset))?;
        let how = match of.revised.get(&(partition, offset)) {
            _ if of.skip.has(partition, offset) => "skipped",
            None => "retried",
            Some(Revision::Value(_)) => "edited",
            Some(Revision::Answer(_)) => "settled",
        };
        Some(Settled { run: *run, how })
    }

    /// Where its dead letters lie, partition by partition.
    pub fn letters<'b>(&'b self, dead: &'b StreamName) -> impl Iterator<Item = (u32, Extent)> + 'b {
        let of = self.books.record.extents.iter().filter(move |((stream, _), _)| stream == dead);
        of.flat_map(|((_, p), extents)| extents.iter().map(move |extent| (*p, *extent)))
    }
}

/// How a dead letter was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// The run that did so.
    pub run: u64,
    /// In a word: `retried`, `edited`, `settled` or `skipped`.
    pub how: &'static str,
}

/// The batches whose failed items can be taken up again, or this one of them, oldest first.
///
/// # Errors
///
/// Their books cannot be read.
pub fn batches(engine: &dyn Desk, flow: &FlowId, only: Option<u64>) -> Result<Vec<Batch>> {
    let held = stream(flow)?;
    if engine.partitions(&held)?.is_none() {
        return Ok(vec![]);
    }
    let mut found: BTreeMap<u64, Bytes> = BTreeMap::new();
    each(engine, &held, |_, item| {
        let batch = batch_of(&item).filter(|batch| only.is_none_or(|only| only == *batch));
        found.extend(batch.map(|batch| (batch, item.value.unwrap_or_default())));
        Ok(())
    })?;
    let mut all = vec![];
    for (batch, json) in found {
        let books: BatchBooks = serde_json::from_slice(&json)
            .map_err(|e| Error::corrupt(format!("the records of batch {batch} cannot be read: {e}")))?;
        all.push(Batch { books, settled: vec![] });
    }
    each(engine, &held, |_, item| {
        let Some(run) = choices::run_of(&item) else { return Ok(()) };
        for batch in all.iter_mut().filter(|b| b.books.mending().runs.contains(&run)) {
            if batch.settled.last().is_none_or(|(last, _)| *last != run) {
                batch.settled.push((run, Choices::default()));
            }
            if let Some((_, choices)) = batch.settled.last_mut() {
                choices.take(run, &item)?;
            }
        }
        Ok(())
    })?;
    Ok(all)
}

/// A batch whose failed items can be taken up again, as the run with this record found it: with all books that were written
/// before.
pub fn find(context: &RunContext, batch: u64, record: &RunRecord) -> Result<Option<Batch>> {
    let newest = |item: &Item| {
        let of_books = batch_of(item).is_some();
        let books = serde_json::from_slice::<BatchBooks>(item.value.as_deref().unwrap_or_default());
        of_books && books.is_ok_and(|books| books.no >= record.books)
    };
    if record.books > 0 && !context.engine.counts_by_offset() {
        Patience::of(context, limits::MARKERS_WAIT, limits::SEEN_EVERY).look(|| {
            let mut is_seen = false;
            each(&*context.engine, &stream(&context.flow.name)?, |_, item| {
                is_seen |= newest(&item);
                Ok(())
            })?;
            Ok(((), is_seen))
        })?;
    }
    Ok(batches(&*context.engine, &context.flow.name, Some(batch))?.pop())
}

/// The choices of a run that is open.
pub fn choices_of(context: &RunContext, record: &RunRecord) -> Result<Choices> {
    let wanted = record.repair.as_ref().map_or(0, |mending| mending.choices);
    let ((choices, items), is_whole) = Patience::of(context, limits::MARKERS_WAIT, limits::SEEN_EVERY).look(|| {
        let (mut choices, mut items) = (Choices::default(), 0);
        each(&*context.engine, &stream(&context.flow.name)?, |_, item| {
            items += u64::from(choices.take(record.number, &item)?);
            Ok(())
        })?;
        Ok(((choices, items), items == wanted))
    })?;
    let text = || format!("{wanted} items say what run {} is to do, {items} of them are there", record.number);
    if is_whole { Ok(choices) } else { Err(Error::corrupt(text())) }
}

/// The choices of a run, to be kept.
pub fn keep_choices(context: &RunContext, record: &RunRecord, choices: &Choices) -> Result<(Vec<Put>, u64)> {
    let items = choices.to_items(record.number, record.started)?;
    let mut packer = Packer::default();
    items.iter().for_each(|item| packer.push_item(item));
    Ok((puts(&context.flow.name, packer)?, items.len() as u64))
}

fn puts(flow: &FlowId, packer: Packer) -> Result<Vec<Put>> {
    let to = Dest { stream: stream(flow)?, partition: 0 };
    Ok(packer.finish().into_iter().map(|b| Put { to: to.clone(), batch: BatchRef::Fresh(b) }).collect())
}

/// The batch whose books an item is.
fn batch_of(item: &Item) -> Option<u64> {
    std::str::from_utf8(item.key.as_deref()?).ok()?.parse().ok()
}

/// Where the books begin that are still of use: those of batches that are held, and of the newest ones.
pub fn books_from(context: &RunContext, record: &RunRecord) -> Result<Option<At>> {
    let stream = stream(&context.flow.name)?;
    let is_of_use =
        |batch: u64| record.held.iter().any(|h| h.batch == batch) || batch + limits::BATCHES_KEPT > record.number;
    let Some(span) = context.engine.span(&stream)?.into_iter().next() else { return Ok(None) };
    let (start, mut first) = (At { stream: stream.clone(), partition: 0, offset: span.start }, None);
    let _ = items(&*context.engine, start, span.end, |offset, item| {
        first = batch_of(&item).is_some_and(is_of_use).then_some(offset);
        Ok(if first.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(Some(At { stream, partition: 0, offset: first.unwrap_or(span.end) }))
}

/// Every item of a stream, with its offset.
pub fn each(engine: &dyn Desk, stream: &StreamName, mut f: impl FnMut(i64, Item) -> Result<()>) -> Result<()> {
    for (p, span) in engine.span(stream)?.into_iter().enumerate() {
        let at = At { stream: stream.clone(), partition: p as u32, offset: span.start };
        let _ = items(engine, at, span.end, |offset, item| f(offset, item).map(ControlFlow::Continue))?;
    }
    Ok(())
}
