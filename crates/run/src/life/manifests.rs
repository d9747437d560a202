//! The files of a run's sources: listed when it opens, kept as they were then, opened to be read.

use crate::context::RunContext;
use crate::ledger::marks::Mark;
use crate::life::look;
use crate::world::{LineReader, Listing, Manifest, Reading, World};
use anabranch_engine::{Account, At, Error, Result, RunRecord, chunks};
use anabranch_flow::model::{Flow, SourceAt};
use anabranch_flow::number::{StepNo, StreamNo};
use anabranch_flow::plan::{Plan, ReadFrom};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Lists the files of every source that is read. A missing one ends it here, with nothing touched, and so does a sink
/// that cannot be written.
pub fn survey(flow: &Flow, plan: &Plan, world: &World) -> Result<BTreeMap<StreamNo, Manifest>> {
    look::sinks(flow, world)?;
    let written = look::written(flow);
    let mut out = BTreeMap::new();
    for root in plan.units.iter().flat_map(|u| &u.roots).filter(|r| r.how == ReadFrom::Lines) {
        let stream = &flow.streams[root.from];
        if let Some(source) = &stream.source {
            let manifest = match &source.from {
                SourceAt::Items(items) => Manifest { files: vec![Listing::listed(items.len())], ..Manifest::default() },
                _ => world.sources.survey(source, &written)?,
            };
            out.insert(root.from, Manifest { stream: stream.name.clone(), ..manifest });
        }
    }
    Ok(out)
}

/// Opens the files of a run. A repair reads a file again only for a reduce that has not said its results.
pub fn readings(
    context: &RunContext,
    account: &Account,
    manifests: &BTreeMap<StreamNo, Manifest>,
) -> Result<BTreeMap<StreamNo, Reading>> {
    let is_repair = account.record.as_ref().is_some_and(|r| r.repair.is_some());
    let unsaid = |s: &StepNo| !Mark::Done(&context.flow.steps[*s].name).is_in(account);
    let mut out = BTreeMap::new();
    for (stream, manifest) in manifests {
        let unit =
            context.plan.units.iter().find(|u| u.roots.iter().any(|r| r.from == *stream && r.how == ReadFrom::Lines));
        if is_repair && !unit.is_some_and(|u| u.folds.iter().any(unsaid)) {
            continue;
        }
        let reader = line_reader(context, *stream, manifest)?;
        let left = last_lines(context, account, *stream, manifest);
        out.insert(*stream, Reading { files: manifest.files.clone(), reader, left });
    }
    Ok(out)
}

/// Reads the lines of the files of a source, or the list that stands in the flow.
pub fn line_reader(context: &RunContext, stream: StreamNo, manifest: &Manifest) -> Result<Arc<dyn LineReader>> {
    match context.flow.streams[stream].source.as_ref().map(|s| &s.from) {
        Some(SourceAt::Items(items)) => Ok(Arc::new(Listing::new(items))),
        _ => context.world.sources.lines(manifest),
    }
}

/// The files that are committed to their end, and whether their last line was left to the next run.
fn last_lines(context: &RunContext, account: &Account, stream: StreamNo, manifest: &Manifest) -> BTreeMap<usize, bool> {
    let mut roots =
        context.plan.units.iter().flat_map(|u| &u.roots).filter(|r| r.how == ReadFrom::Lines && r.from == stream);
    let reader = roots.next().map(|root| context.reader(root, 0));
    let read = reader.and_then(|reader| account.read.get(&reader)).map_or(0, |n| n.next as u64);
    let mut end = 0;
    let mut out = BTreeMap::new();
    for (i, file) in manifest.files.iter().enumerate() {
        end += file.length;
        if end <= read {
            out.insert(i, Mark::Left(&manifest.stream, i).is_in(account));
        }
    }
    out
}

/// The manifests of an open run, as they were when it opened.
pub fn stored_manifests(context: &RunContext, record: &RunRecord) -> Result<BTreeMap<StreamNo, Manifest>> {
    let mut out = BTreeMap::new();
    let lists = context.plan.units.iter().flat_map(|u| &u.roots).filter(|r| r.how == ReadFrom::Lines);
    for root in lists {
        let name = context.flow.streams[root.from].name.clone();
        out.insert(root.from, Manifest { stream: name, ..Manifest::default() });
    }
    let Some((start, end)) = record.manifest else { return Ok(out) };
    let at = At { stream: context.manifest.clone(), partition: 0, offset: start };
    let mut read_to = start;
    for chunk in chunks(&*context.engine, at, end) {
        let chunk = chunk?;
        for handle in &chunk.batches {
            for item in handle.load()?.records()?.iter() {
                let manifest: Manifest = serde_json::from_slice(item.value().unwrap_or_default()).map_err(|e| {
                    Error::corrupt(format!("the list of files of run {} cannot be read: {e}", record.number))
                })?;
                let stream = context.flow.stream_no(&manifest.stream);
                out.extend(stream.map(|s| (s, manifest)));
            }
        }
        read_to = chunk.next;
    }
    if read_to < end {
        let text = format!("the list of files of run {} is not in {}", record.number, context.manifest);
        return Err(Error::corrupt(text));
    }
    Ok(out)
}
