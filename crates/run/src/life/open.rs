//! Opening a run, or taking up the one that is open. Nothing is touched before everything was looked at.

use crate::context::RunContext;
use crate::context::sinks::FileOf;
use crate::ledger::marks::Mark;
use crate::ledger::report::report;
use crate::ledger::{Ledger, Standing};
use crate::life::close::{add_gap, ends};
use crate::life::commit::{commit, commit_closed, commit_with, fence};
use crate::life::manifests::{readings, stored_manifests};
use crate::life::prepare::{ensure, name_run};
use crate::life::record::{is_another, record};
use crate::life::repair::Opened;
use crate::life::reports::{finished, kept};
use crate::life::{look, repair};
use crate::options::Options;
use crate::worker::lane::still_held;
use crate::world::{Goal, Manifest, Opening};
use anabranch_engine::account::{ACCOUNT_VERSION, Reader};
use anabranch_engine::{
    Account, BatchRef, Commit, Dest, Error, Item, KeptReport, Kind as ErrorKind, Lane, Next, Packer, Phase, Put,
    Result, RunKind, RunRecord, limits,
};
use anabranch_flow::model::{Mode, Writer};
use anabranch_flow::number::StreamNo;
use anabranch_flow::plan::{Node, ReadFrom};
use std::collections::BTreeMap;
use std::ops::Range;

/// An open run is given up if that is asked for, or if whoever gave it up did not come to the end of it: a lane is
/// ahead; its names are on what was prepared then, so nothing comes back. Else the flow must be the one that began it.
/// `others` are the accounts of the other lanes.
pub fn give_up(
    mut context: RunContext,
    lane: &mut dyn Lane,
    others: &[Account],
    options: &mut Options,
) -> Result<Option<RunContext>> {
    let Some(record) = lane.account().record.clone().filter(|r| !r.phase.closed()) else { return Ok(Some(context)) };
    if !options.fresh && others.iter().all(|a| a.run <= record.number) {
        return fits(&context, &record, lane.account()).map(|()| Some(context));
    }
    name_run(&mut context, &record, None)?; // its files have its name
    abandon(&context, lane, &record)?;
    let again = match record.repair {
        Some(_) => "its batch is as it was before",
        None if reads_stdin(&context) => "what it read from standard input is gone; its other items are read again",
        None => "its items are read again",
    };
    options.note(&format!("run {} is abandoned: {again}; what was already published stays", record.number));
    Ok(None)
}

fn reads_stdin(context: &RunContext) -> bool {
    context.plan.units.iter().flat_map(|u| &u.roots).any(|r| r.how == ReadFrom::Stdin)
}

/// Opens a run: the record is committed when this returns.
pub fn open(
    mut context: RunContext,
    lane: &mut dyn Lane,
    options: &mut Options,
    manifests: BTreeMap<StreamNo, Manifest>,
) -> Result<RunContext> {
    let resumed = lane.account().record.clone().filter(|r| !r.phase.closed());
    let manifests = match &resumed {
        Some(record) => {
            repair::is_open(&context, options.repair.as_ref(), record)?;
            options.note(&format!("continuing run {}", record.number));
            if context.lanes > 1 {
                commit(lane, |_| {})?; // who else took this lane just now learns that he lost it
            }
            stored_manifests(&context, record)?
        }
        None if let Some(wanted) = options.repair.clone() => {
            let ids = ensure(&context, options)?;
            let Opened { mut account, choices, puts, notes } = repair::open(&context, lane, &wanted, &ids)?;
            notes.iter().for_each(|note| options.note(note));
            let record = account.record.clone().ok_or_else(|| Error::bug("a repair without a record"))?;
            name_run(&mut context, &record, Some(choices))?;
            lengths(&context, &record, &mut account)?;
            let manifests = stored_manifests(&context, &record)?;
            readings(&context, &account, &manifests)?; // a file that is needed and has changed: nothing is opened
            repair::go_on(&context, lane, &record)?;
            let told = opening(&context, &account, &record);
            commit_with(lane, puts, told, |of_lane| *of_lane = account)?;
            manifests
        }
        None => {
            may_open(&context, lane.account())?;
            crate::context::lanes::entries_fit(&context)?;
            let ids = ensure(&context, options)?;
            let is_another = |at| lane.account().record.as_ref().is_some_and(|last| is_another(last, &ids, at));
            let own = context.flow.streams.iter().filter(|s| s.writer != Writer::Outside);
            for stream in own.filter(|s| is_another(&s.at)) {
                options.note(&format!("{} was recreated: what earlier runs wrote is gone", stream.name));
            }
            let record = record(&context, lane.account(), ids, &manifests)?;
            begin(&mut context, lane, record, &manifests)?;
            manifests
        }
    };
    let record = lane.account().record.clone().ok_or_else(|| Error::bug("a run without a record"))?;
    name_run(&mut context, &record, None)?;
    repair::bring_back(&context, &record)?;
    context.readings = readings(&context, lane.account(), &manifests)?;
    Ok(context)
}

/// A flow holds a bounded number of batches: each keeps its items and all that lies behind them.
pub fn may_open(context: &RunContext, account: &Account) -> Result<()> {
    let held = account.record.as_ref().map_or(&[][..], |r| &r.held);
    let [first, .., last] = held else { return Ok(()) };
    if held.len() < limits::HELD_BATCHES {
        return Ok(());
    }
    let items: i64 = held.iter().flat_map(|h| &h.extents).map(|(_, _, from, to)| to - from).sum();
    let dead: u64 = held.iter().map(|h| h.dead).sum();
    let (flow, n) = (&context.flow.name, held.len());
    let text = format!(
        "{n} batches of {flow} are held, from {} to {}: no run begins before some of them are settled. They keep {items} items and {dead} failed ones",
        first.batch, last.batch
    );
    let help = format!(
        "anabranch dead list  shows what failed. Try again what holds a batch, or give it up:  anabranch dead retry|skip --batch {}",
        first.batch
    );
    Err(Error::new(ErrorKind::Held, text).help(help))
}

/// Takes part in a run that another process has opened.
pub fn take_part(context: &mut RunContext, record: &RunRecord, accounts: &[Account]) -> Result<()> {
    if let Some(chair) = accounts.iter().find(|a| a.lane == 0) {
        fits(context, record, chair)?;
    }
    name_run(context, record, None)
}

/// An open run goes on only with the flow that began it.
pub fn fits(context: &RunContext, record: &RunRecord, chair: &Account) -> Result<()> {
    if chair.flow_hash == context.flow.hash {
        return Ok(());
    }
    let text = format!(
        "run {} of {} is open, and was begun with another version of the flow",
        record.number, context.flow.name
    );
    Err(Error::usage(text).help("finish it with the flow as it was, or abandon it with  --fresh"))
}

/// Commits the record, the manifest and the lengths of files that are added to.
fn begin(
    context: &mut RunContext,
    lane: &mut dyn Lane,
    mut record: RunRecord,
    manifests: &BTreeMap<StreamNo, Manifest>,
) -> Result<()> {
    name_run(context, &record, None)?;
    let mut account = Account {
        version: ACCOUNT_VERSION,
        flow_hash: context.flow.hash.clone(),
        run: record.number,
        ..Account::default()
    };
    account.read.extend(record.from.iter().map(|(key, from)| (key.clone(), Next { next: *from, items: 0 })));
    for root in context.plan.units.iter().flat_map(|u| &u.roots) {
        if let Node::Step(s) = root.node
            && let Some(group) = context.flow.steps[s].groups.get(root.input).filter(|_| context.is_carried(root))
        {
            account.groups.insert((context.flow.steps[s].name.clone(), root.taken.clone()), group.clone());
        }
    }
    lengths(context, &record, &mut account)?;
    let mut puts = vec![];
    let stream = context.manifest.clone();
    let mut lists = Packer::default();
    for manifest in manifests.values().filter(|m| !m.files.is_empty()) {
        let json = serde_json::to_vec(manifest).map_err(|e| Error::bug(e.to_string()))?;
        lists.push_item(&Item::of(json, record.started));
    }
    let lists = lists.finish();
    if !lists.is_empty() {
        let start = context.engine.span(&stream)?.first().map_or(0, |s| s.end);
        record.manifest = Some((start, start + lists.iter().map(|b| b.count() as i64).sum::<i64>()));
        let to = Dest { stream, partition: 0 };
        puts.extend(lists.into_iter().map(|b| Put { to: to.clone(), batch: BatchRef::Fresh(b) }));
    }
    let told = opening(context, &account, &record);
    account.record = Some(record);
    lane.submit(Commit { puts, account, report: Some(told) })?;
    lane.settle()?;
    Ok(())
}

/// What is kept of a run that opens: with which flow it does.
fn opening(context: &RunContext, account: &Account, record: &RunRecord) -> KeptReport {
    let ledger = Ledger::new(record.number, [account.clone()]);
    let standing = ledger.standing(context, record);
    KeptReport { run: record.number, json: kept(&report(standing, &standing.derive(), context.world.clock.now())) }
}

/// Notes where the files of sinks begin that this run will write.
fn lengths(context: &RunContext, record: &RunRecord, account: &mut Account) -> Result<()> {
    let paths = context.flow.stream_nos().map(|s| context.sink_path(&FileOf::only(s))).collect::<Result<Vec<_>>>()?;
    look::apart(&context.flow, &context.world, &paths).map_err(|(_, e)| e)?;
    for file in context.files() {
        let Some(sink) = &context.flow.streams[file.sink].sink else { continue };
        let Some(path) = context.sink_path(&file)? else { continue };
        if sink.mode == Mode::Fail && record.kind != RunKind::Repair && context.world.sinks.exists(&path) {
            return Err(look::is_there_already(&path));
        }
        let length = match sink.mode {
            Mode::Append if matches!(context.world.sinks.goal(&path, false)?, Goal::File(..)) => {
                let file = Opening { path: &path, replace: false, run: record.number, resume: None };
                context.world.sinks.open(file, &mut || Ok(()))?.sync()? // nothing of it is cut
            }
            // a repair goes on with the file that its batch had begun
            _ => Mark::length(context, &file).of(account).unwrap_or(0),
        };
        account.marks.insert(Mark::length(context, &file).to_string(), length);
    }
    Ok(())
}

/// Closes an open run as abandoned: the readers of source streams go back to where it began.
fn abandon(context: &RunContext, lane: &mut dyn Lane, record: &RunRecord) -> Result<()> {
    let others = fence(context, record)?;
    let ledger = Ledger::new(record.number, others.into_iter().chain([lane.account().clone()]));
    let standing = ledger.standing(context, record);
    let (ends, gaps) = (ends(standing), left_behind(standing));
    for file in context.files() {
        if context.flow.streams[file.sink].sink.as_ref().is_some_and(|s| s.mode == Mode::Append) {
            cut(standing, lane, &file)?;
        }
    }
    repair::put_back(context, record)?;
    let begun = record.repair.as_ref().map_or(&[][..], |mending| &mending.aside);
    let mut given_up = RunRecord { phase: Phase::Abandoned, ends, gaps, ..record.clone() };
    let (of_it, now) = (ledger.standing(context, &given_up), context.world.clock.now());
    let facts = of_it.derive();
    let told = finished(of_it, &facts).unwrap_or_else(|_| report(of_it, &facts, now)); // its letters may be gone
    given_up.put_back_what_waits();
    commit_closed(lane, vec![], &told, |account| {
        match &record.repair {
            Some(mending) => account.read.clone_from(&mending.carry),
            None => {
                let back = record.from.iter().map(|(key, from)| (key.clone(), Next { next: *from, items: 0 }));
                account.read.extend(back);
            }
        }
        account.record = Some(given_up);
    })?;
    for file in context.files() {
        let stream = &context.flow.streams[file.sink];
        let Some(path) = context.sink_path(&file)? else { continue };
        if !begun.contains(&stream.name) && stream.sink.as_ref().is_some_and(|s| s.mode != Mode::Append) {
            context.world.sinks.discard(&path)?;
        }
    }
    Ok(())
}

/// What was added to a file and never committed does not stay: the next run adds behind what was.
fn cut(standing: Standing<'_>, lane: &mut dyn Lane, file: &FileOf) -> Result<()> {
    let Standing { context, record, .. } = standing;
    let Some(path) = &context.sink_path(file)? else { return Ok(()) };
    let (sinks, length) = (&context.world.sinks, standing.mark(Mark::length(context, file)));
    if !matches!(sinks.goal(path, false)?, Goal::File(..)) || sinks.length(path).is_none_or(|is| is <= length) {
        return Ok(());
    }
    let how = Opening { path, replace: false, run: record.number, resume: Some(length) };
    sinks.open(how, &mut || still_held(context, lane, &mut 0)).map(drop)
}

/// What a run that is given up has written for pairs stands between what waits for them and what the next run writes: it is
/// not for them.
fn left_behind(standing: Standing<'_>) -> BTreeMap<Reader, Vec<Range<i64>>> {
    let Standing { context, record, .. } = standing;
    let mut gaps = record.gaps.clone();
    let pairs = context.plan.units.iter().filter(|u| u.pairs.is_some()).flat_map(|u| &u.roots);
    let own = pairs.filter(|r| context.is_carried(r) && context.flow.streams[r.from].writer != Writer::Outside);
    for root in own {
        for p in 0..context.partitions[root.from] {
            let spot = (context.flow.streams[root.from].at.clone(), p);
            let written = record.starts.get(&spot).copied().unwrap_or(0)..standing.written(&spot);
            if !written.is_empty() {
                add_gap(gaps.entry(context.reader(root, p)).or_default(), written);
            }
        }
    }
    gaps
}
