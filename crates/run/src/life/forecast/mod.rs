//! What a run would do if it began now. Nothing is opened, made or written.

mod bounds;

use crate::context::RunContext;
use crate::context::sinks::FileOf;
use crate::ledger::Ledger;
use crate::life::books::{BatchBooks, batches};
use crate::life::changed::{Change, Difference, Sort, for_batch, for_run};
use crate::life::manifests::{line_reader, stored_manifests, survey};
use crate::life::prepare::{name_run, prepare};
use crate::life::record::{Begins, blank, seal};
use crate::life::reports::any_report;
use crate::life::{look, open};
use crate::world::{Manifest, World};
use anabranch_engine::{Account, At, Cursor, Desk, Phase, Result, RunRecord, StreamName, chunks};
use anabranch_flow::model::{Flow, Mode, SourceAt, Writer};
use anabranch_flow::number::StreamNo;
use anabranch_flow::plan::{Node, ReadFrom, Root, name, plan};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Name and version of its JSON.
pub const SCHEMA: &str = "anabranch.plan/1";

/// What a run would do if it began now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The flow.
    pub flow: String,
    /// The run that would work.
    pub run: u64,
    /// What it would be.
    pub what: What,
    /// Why it would be refused.
    pub refused: Option<String>,
    /// What would be read.
    pub sources: Vec<Reads>,
    /// Which steps would call something, and how often.
    pub calls: Vec<Calls>,
    /// What would be written outside.
    pub sinks: Vec<Writes>,
    /// Batches that are held, and would stay so.
    pub held: Vec<Waits>,
    /// In what the flow differs from the one that began an open run, or that a batch was worked on with.
    pub differences: Vec<Difference>,
    /// What else is good to know.
    pub notes: Vec<String>,
}

/// What a run would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A new one.
    New,
    /// The one that is open goes on.
    GoesOn,
    /// None: it would be refused.
    Refused,
}

/// What would be read of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reads {
    /// The stream.
    pub stream: String,
    /// The step that reads it, where each has a position of its own.
    pub step: Option<String>,
    /// Where it comes from: a pattern of files, or `log`, `stdin`, `items`.
    pub from: String,
    /// Files.
    pub files: Option<u64>,
    /// Their bytes.
    pub bytes: Option<u64>,
    /// Items; none where that is not known before.
    pub items: Option<u64>,
    /// Whether these are all of them, or at most so many.
    pub exact: bool,
}

/// A step that calls something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Calls {
    /// The step.
    pub step: String,
    /// What it calls, as far as it is the same for all items.
    pub program: Option<String>,
    /// Items that come to it at most; none where that is not known before.
    pub items: Option<u64>,
    /// Calls for each of them, at most.
    pub attempts: u32,
}

/// A file that would be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Writes {
    /// The stream.
    pub stream: String,
    /// Its path; none is standard output.
    pub path: Option<String>,
    /// What becomes of what is there.
    pub how: How,
}

/// What becomes of what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// Nothing is there.
    Made,
    /// It is replaced when the run is done.
    Replaced,
    /// It is added to.
    AddedTo,
    /// It goes through.
    Printed,
}

/// A batch that is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waits {
    /// The batch.
    pub batch: u64,
    /// The gate that holds it.
    pub step: String,
    /// Failed items that hold it.
    pub dead: u64,
}

/// Lines of files are counted up to so many bytes.
const COUNTED_BYTES: u64 = 256 << 20;
/// Items of a log that has to be read to count them are counted over so many offsets at most.
const COUNTED_OFFSETS: i64 = 1_000_000;

/// What a run of a flow would do if it began now. It costs a pass over the files of its sources, if these are not large, and
/// on an engine whose offsets are not all items one over the items that are not read yet.
///
/// # Errors
///
/// A run could not begin: as it would say itself.
pub fn forecast(flow: Arc<Flow>, engine: Arc<dyn Desk>, world: impl Into<World>) -> Result<Forecast> {
    let world = world.into();
    let accounts = engine.accounts(&flow.name, &mut Cursor::default(), std::time::Duration::ZERO)?;
    let chair = accounts.iter().find(|a| a.lane == 0).cloned().unwrap_or_default();
    let open = chair.record.clone().filter(|r| !r.phase.closed());
    let several = chair.record.as_ref().is_none_or(|r| r.lanes > 1);
    let context = prepare(flow.clone(), plan(&flow, several), engine.clone(), world.clone())?;
    let run = chair.record.as_ref().map_or(1, |r| if r.phase.closed() { r.number + 1 } else { r.number });
    let what = if open.is_some() { What::GoesOn } else { What::New };
    let flow = context.flow.clone();
    let mut told = Forecast {
        schema: SCHEMA,
        flow: flow.name.to_string(),
        run,
        what,
        refused: None,
        sources: vec![],
        calls: vec![],
        sinks: vec![],
        held: held(chair.record.as_ref()),
        differences: vec![],
        notes: vec![],
    };
    for batch in batches(&*engine, &flow.name, None)? {
        if is_to_be_settled(&batch.books) {
            told.differences.extend(for_batch(&context, &batch.books));
        }
    }
    match open {
        Some(record) => of_open(context, &mut told, &record, accounts)?,
        None => of_new(context, &mut told, &chair)?,
    }
    Ok(told)
}

/// Whether something can still be done for a batch.
fn is_to_be_settled(books: &BatchBooks) -> bool {
    let dead = || books.account.tally.values().any(|t| t.dead > 0);
    books.phase == Phase::Held || (books.phase == Phase::Dead && dead())
}

fn held(record: Option<&RunRecord>) -> Vec<Waits> {
    let all = record.iter().flat_map(|r| &r.held);
    all.map(|h| Waits { batch: h.batch, step: h.step.clone(), dead: h.dead }).collect()
}

/// A new run.
fn of_new(mut context: RunContext, told: &mut Forecast, chair: &Account) -> Result<()> {
    open::may_open(&context, chair)?;
    let manifests = survey(&context.flow, &context.plan, &context.world)?;
    manifests.values().flat_map(|m| &m.notes).for_each(|note| told.notes.push(note.clone()));
    let last = chair.record.as_ref();
    let mut record = blank(&context, last, last.map_or_else(BTreeMap::new, |r| r.ids.clone()));
    name_run(&mut context, &record, None)?;
    let flow = context.flow.clone();
    for (s, of) in flow.numbered_streams().filter(|(s, of)| of.writer == Writer::Outside && context.plan.logged[*s]) {
        match context.engine.partitions(&of.at)? {
            Some(_) => seal(&mut record, &of.at, context.engine.span(&of.at)?),
            None => {
                let text = format!("there is no stream {}: it would be made, and is empty", of.at);
                told.notes.push(text);
                seal(&mut record, &of.at, vec![0..0; context.partitions[s] as usize]);
            }
        }
    }
    let mut begins = Begins::new(&context, chair);
    let all = of_files(&context, &manifests, None)?.into_iter();
    told.sources.extend(all);
    for root in outside(&context) {
        let mut spans = vec![];
        for p in 0..context.partitions[root.from] {
            let end = record.seals.get(&(flow.streams[root.from].at.clone(), p)).copied().unwrap_or(0);
            spans.push(begins.of(root, p, &record)?..end);
        }
        told.sources.push(of_log(&context, root, &spans)?);
    }
    written(&context, told)?;
    told.calls = bounds::calls(&flow, &told.sources);
    Ok(())
}

/// The run that is open goes on.
fn of_open(mut context: RunContext, told: &mut Forecast, record: &RunRecord, accounts: Vec<Account>) -> Result<()> {
    let began = any_report(&*context.engine, &context.flow.name, record.number)?;
    if let Some(began) = began.filter(|began| !began.parts.is_empty()) {
        told.differences.extend(for_run(record.number, (&began.parts, &began.free), &context.flow));
    }
    if accounts.iter().any(|a| a.lane == 0 && open::fits(&context, record, a).is_err()) {
        told.what = What::Refused;
        let text = format!("run {} is open, and was begun with another version of the flow", record.number);
        told.refused = Some(format!("{text}: finish it with the flow as it was, or abandon it with  --fresh"));
        return Ok(());
    }
    name_run(&mut context, record, None)?;
    let manifests = stored_manifests(&context, record)?;
    let ledger = Ledger::new(record.number, accounts);
    let standing = ledger.standing(&context, record);
    if record.repair.is_none() {
        for (s, manifest) in manifests.iter().filter(|(_, m)| !m.files.is_empty()) {
            if let Some(e) = line_reader(&context, *s, manifest).err() {
                told.differences.push(Difference {
                    of: format!("run {}", record.number),
                    path: format!("streams.{}", context.flow.streams[*s].name),
                    sort: Sort::Differs,
                    verdict: Change::NeedsFresh,
                    why: e.text.clone(),
                });
                (told.what, told.refused) = (What::Refused, Some(e.to_string()));
                return Ok(());
            }
        }
        let read = |s: StreamNo| {
            let root =
                context.plan.units.iter().flat_map(|u| &u.roots).find(|r| r.from == s && r.how == ReadFrom::Lines);
            root.map_or(0, |root| standing.next(&context.reader(root, 0)) as u64)
        };
        told.sources.extend(of_files(&context, &manifests, Some(&read))?);
        for root in outside(&context) {
            let span = |p| {
                let reader = context.reader(root, p);
                standing.next(&reader)..standing.written(&(reader.stream.clone(), p))
            };
            let spans: Vec<Range<i64>> = (0..context.partitions[root.from]).map(span).collect();
            told.sources.push(of_log(&context, root, &spans)?);
        }
    } else {
        told.notes.push(format!("run {} works for batch {} again", record.number, record.batch));
    }
    written(&context, told)
}

/// The roots that read the log from outside.
fn outside(context: &RunContext) -> impl Iterator<Item = &Root> {
    let roots = context.plan.units.iter().flat_map(|u| &u.roots);
    roots.filter(|r| r.how == ReadFrom::Log && context.flow.streams[r.from].writer == Writer::Outside)
}

/// What is read of files, of a list in the flow, and of standard input; behind what is read already.
fn of_files(
    context: &RunContext,
    manifests: &BTreeMap<StreamNo, Manifest>,
    read: Option<&dyn Fn(StreamNo) -> u64>,
) -> Result<Vec<Reads>> {
    let mut out = vec![];
    for (s, of) in context.flow.numbered_streams() {
        let Some(source) = &of.source else { continue };
        let line = |from: &str| Reads {
            stream: of.name.clone(),
            step: None,
            from: from.into(),
            files: None,
            bytes: None,
            items: None,
            exact: false,
        };
        match (&source.from, manifests.get(&s)) {
            (SourceAt::Stdin, _) => out.push(line("stdin")),
            (from, Some(manifest)) => {
                let begin = read.map_or(0, |read| read(s));
                let bytes = manifest.bytes().saturating_sub(begin);
                let mut items = None;
                if bytes <= COUNTED_BYTES {
                    let mut n = 0;
                    line_reader(context, s, manifest)?.read(begin, manifest.bytes(), &mut |line| {
                        n += u64::from(!source.holds.is_blank(line.text));
                        Ok(())
                    })?;
                    items = Some(n);
                }
                let exact = items.is_some();
                out.push(match from {
                    SourceAt::Files(pattern) => {
                        let (files, bytes) = (Some(manifest.files.len() as u64), Some(bytes));
                        Reads { files, bytes, items, exact, ..line(pattern) }
                    }
                    _ => Reads { items, exact, ..line("items") },
                });
            }
            _ => {}
        }
    }
    Ok(out)
}

/// What is read of a stream of the log.
fn of_log(context: &RunContext, root: &Root, spans: &[Range<i64>]) -> Result<Reads> {
    let at = &context.flow.streams[root.from].at;
    let offsets: i64 = spans.iter().map(|s| (s.end - s.start).max(0)).sum();
    let counts = context.engine.counts_by_offset();
    let exact = counts || offsets <= COUNTED_OFFSETS;
    // a pair takes no more than the other side has, and a gate may stay shut
    let all =
        root.gates.is_empty() && context.plan.units.iter().all(|u| u.pairs.is_none_or(|s| Node::Step(s) != root.node));
    let items = match exact && !counts {
        true => counted(context, at, spans)?,
        false => offsets as u64,
    };
    Ok(Reads {
        stream: context.flow.streams[root.from].name.clone(),
        step: Some(name(&context.flow, root.node)),
        from: "log".into(),
        files: None,
        bytes: None,
        items: Some(items),
        exact: exact && all,
    })
}

/// Items between offsets.
fn counted(context: &RunContext, stream: &StreamName, spans: &[Range<i64>]) -> Result<u64> {
    let mut n = 0;
    for (p, span) in spans.iter().enumerate().filter(|(_, span)| !span.is_empty()) {
        let at = At { stream: stream.clone(), partition: p as u32, offset: span.start };
        for chunk in chunks(&*context.engine, at, span.end) {
            for handle in &chunk?.batches {
                let is_whole = handle.at.offset >= span.start && handle.end <= span.end;
                n += match is_whole {
                    true => u64::from(handle.count),
                    false => {
                        let batch = handle.load()?;
                        let offset = |delta: u32| handle.at.offset + i64::from(delta);
                        batch.records()?.iter().filter(|r| span.contains(&offset(r.delta()))).count() as u64
                    }
                };
            }
        }
    }
    Ok(n)
}

/// The files that are written.
fn written(context: &RunContext, told: &mut Forecast) -> Result<()> {
    look::sinks(&context.flow, &context.world)?;
    for (s, of) in context.flow.numbered_streams() {
        let Some(sink) = &of.sink else { continue };
        let path = context.sink_path(&FileOf::only(s))?;
        let how = match (&path, sink.mode) {
            (None, _) => How::Printed,
            (Some(path), Mode::Append) if context.world.sinks.exists(path) => How::AddedTo,
            (Some(path), Mode::Fail) if told.what == What::New && context.world.sinks.exists(path) => {
                return Err(look::is_there_already(path));
            }
            (Some(path), Mode::Replace) if context.world.sinks.exists(path) => How::Replaced,
            _ => How::Made,
        };
        told.sinks.push(Writes { stream: of.name.clone(), path, how });
    }
    Ok(())
}
