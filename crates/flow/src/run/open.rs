//! Opening a run, or taking up the one that is open. Nothing is touched before everything was looked at.

use super::io::{Goal, Manifest, World};
use super::manifests::{readings, stored_manifests};
use super::record::{is_anew, record};
use super::{Options, Shared, look, marks, repair, sinks};
use crate::expr::{RunVars, Zone};
use crate::model::{Flow, Kind, Mode, Writer};
use crate::patterns::{Pattern, Vars};
use crate::plan::{How, Node, Plan};
use anabranch_engine::{
    Account, Admin, BatchRef, Commit, Dest, Error, FlowId, Item, Kind as ErrorKind, Lane, Next, Packer, Phase, Put,
    Result, RunKind, RunRecord, StreamName, StreamSpec, account::ACCOUNT_VERSION, limits,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A stream of our own that belongs to a flow: `dead`, `manifest`.
pub fn own_stream(flow: &FlowId, what: &str) -> Result<StreamName> {
    flow.own(what)
}

/// What every run of a flow needs to know, before there is a run.
pub fn prepare(flow: Arc<Flow>, plan: Plan, engine: Arc<dyn Admin>, world: Arc<dyn World>) -> Result<Shared> {
    let looks = plan.units.iter().map(|u| u.nodes.iter().any(|n| looks(&flow, *n))).collect();
    let headers = looks_at_headers(&flow);
    let mut shared = Shared {
        partitions: vec![0; flow.streams.len()],
        vars: Vars { env: flow.env.clone(), ..Vars::default() },
        number: 0,
        lanes: 1,
        looks,
        with_headers: plan.logged.iter().map(|logged| *logged || headers).collect(),
        with_numbers: headers,
        dead: flow.name.own("dead")?,
        manifest: flow.name.own("manifest")?,
        again: None,
        beside: BTreeMap::new(),
        readings: BTreeMap::new(),
        plan,
        engine,
        world,
        flow,
    };
    let mut known: Vec<Option<u32>> = vec![None; shared.flow.streams.len()];
    for s in 0..known.len() {
        shared.partitions[s] = count(&shared, s, &mut known)?;
    }
    pairs_fit(&shared)?;
    Ok(shared)
}

/// Items are paired partition by partition, so both sides need equally many.
fn pairs_fit(shared: &Shared) -> Result<()> {
    for (unit, step) in shared.plan.units.iter().filter_map(|u| u.pairs.map(|s| (u, s))) {
        let side = |root: &crate::plan::Root| (&shared.flow.streams[root.from].name, shared.partitions[root.from]);
        let sides: Vec<_> = unit.roots.iter().map(side).collect();
        if let [(a, n), (b, m)] = sides.as_slice()
            && n != m
        {
            let name = &shared.flow.steps[step].name;
            return Err(Error::usage(format!("{name} pairs partition by partition, but {a} has {n} and {b} has {m}"))
                .help("give both streams the same number of partitions"));
        }
        if sides.len() != 2 {
            return Err(look::pairs_of(&shared.flow, step, sides.len()).1);
        }
    }
    Ok(())
}

/// An open run is given up if that is asked for, or if whoever gave it up did not come to the end of it: a lane is
/// ahead; its names are on what was prepared then, so nothing comes back. Else the flow must be the one that began it.
/// `others` are the accounts of the other lanes.
pub fn give_up(
    mut shared: Shared,
    lane: &mut dyn Lane,
    others: &[Account],
    options: &mut Options,
) -> Result<Option<Shared>> {
    let Some(record) = lane.account().record.clone().filter(|r| !r.phase.closed()) else { return Ok(Some(shared)) };
    if !options.fresh && others.iter().all(|a| a.run <= record.number) {
        return fits(&shared, &record, lane.account()).map(|()| Some(shared));
    }
    name_run(&mut shared, &record); // its files have its name
    abandon(&shared, lane, &record)?;
    let again = match record.repair {
        Some(_) => "its batch is held as before",
        None if reads_stdin(&shared) => "what it read from standard input is gone; its other items are read again",
        None => "its items are read again",
    };
    options.note(&format!("run {} is abandoned: {again}; what was already published stays", record.number));
    Ok(None)
}

fn reads_stdin(shared: &Shared) -> bool {
    shared.plan.units.iter().flat_map(|u| &u.roots).any(|r| r.how == How::Stdin)
}

/// Opens a run: the record is committed when this returns.
pub fn open(
    mut shared: Shared,
    lane: &mut dyn Lane,
    options: &mut Options,
    manifests: BTreeMap<usize, Manifest>,
) -> Result<Shared> {
    let resumed = lane.account().record.clone().filter(|r| !r.phase.closed());
    let manifests = match &resumed {
        Some(record) => {
            repair::is_open(options.repair.as_ref(), record)?;
            options.note(&format!("continuing run {}", record.number));
            if shared.lanes > 1 {
                commit(lane, |_| {})?; // who else took this lane just now learns that he lost it
            }
            stored_manifests(&shared, record)?
        }
        None if let Some(wanted) = options.repair.clone() => {
            let ids = ensure(&shared, options)?;
            let mut account = repair::open(&shared, lane, &wanted, &ids)?;
            let record = account.record.clone().ok_or_else(|| Error::bug("a repair without a record"))?;
            name_run(&mut shared, &record);
            lengths(&shared, &record, &mut account)?;
            let manifests = stored_manifests(&shared, &record)?;
            readings(&shared, &account, &manifests)?; // a file that is needed and has changed: nothing is opened
            commit(lane, |of_lane| *of_lane = account)?;
            manifests
        }
        None => {
            may_open(&shared, lane.account())?;
            super::lanes::entries_fit(&shared)?;
            let ids = ensure(&shared, options)?;
            let is_anew = |at| lane.account().record.as_ref().is_some_and(|last| is_anew(last, &ids, at));
            let own = shared.flow.streams.iter().filter(|s| s.writer != Writer::Outside);
            for stream in own.filter(|s| is_anew(&s.at)) {
                options.note(&format!("{} was recreated: what earlier runs wrote is gone", stream.name));
            }
            let record = record(&shared, lane, ids, &manifests)?;
            begin(&mut shared, lane, record, &manifests)?;
            manifests
        }
    };
    let record = lane.account().record.clone().ok_or_else(|| Error::bug("a run without a record"))?;
    name_run(&mut shared, &record);
    repair::bring_back(&shared, &record)?;
    shared.readings = readings(&shared, lane.account(), &manifests)?;
    Ok(shared)
}

/// A flow holds a bounded number of batches: each keeps its items and all that lies behind them.
fn may_open(shared: &Shared, account: &Account) -> Result<()> {
    let held = account.record.as_ref().map_or(&[][..], |r| &r.held);
    let [first, .., last] = held else { return Ok(()) };
    if held.len() < limits::HELD_BATCHES {
        return Ok(());
    }
    let items: i64 = held.iter().flat_map(|h| &h.extents).map(|(_, _, from, to)| to - from).sum();
    let dead: u64 = held.iter().map(|h| h.dead).sum();
    let (flow, n) = (&shared.flow.name, held.len());
    let text = format!(
        "{n} batches of {flow} are held, from {} to {}: no run begins before some of them are settled. They keep {items} items and {dead} failed ones",
        first.batch, last.batch
    );
    let help = format!(
        "anabranch dead list  shows what failed. Skip what holds a batch:  anabranch dead skip --batch {}",
        first.batch
    );
    Err(Error::new(ErrorKind::Held, text).help(help))
}

/// Takes part in a run that another process has opened.
pub fn take_part(shared: &mut Shared, record: &RunRecord, accounts: &[Account]) -> Result<()> {
    if let Some(chair) = accounts.iter().find(|a| a.lane == 0) {
        fits(shared, record, chair)?;
    }
    name_run(shared, record);
    Ok(())
}

/// An open run goes on only with the flow that began it.
fn fits(shared: &Shared, record: &RunRecord, chair: &Account) -> Result<()> {
    if chair.flow_hash == shared.flow.hash {
        return Ok(());
    }
    let text = format!(
        "run {} of {} is open, and was begun with another version of the flow",
        record.number, shared.flow.name
    );
    Err(Error::usage(text).help("finish it with the flow as it was, or abandon it with  --fresh"))
}

/// Commits the account of a lane with a change.
pub fn commit(lane: &mut dyn Lane, change: impl FnOnce(&mut Account)) -> Result<()> {
    commit_with(lane, vec![], change)
}

/// The same, together with batches.
pub fn commit_with(lane: &mut dyn Lane, puts: Vec<Put>, change: impl FnOnce(&mut Account)) -> Result<()> {
    let mut account = lane.account().clone();
    change(&mut account);
    account.seq += 1;
    lane.submit(Commit { puts, account })?;
    lane.settle()?;
    Ok(())
}

fn looks(flow: &Flow, node: Node) -> bool {
    match node {
        Node::Step(s) => flow.steps[s].pattern().is_none_or(Pattern::looks),
        Node::Publish(_) => false,
        Node::Source(_) | Node::Sink(_) => true,
    }
}

/// Whether a step, or a sink of whole items, looks at headers.
fn looks_at_headers(flow: &Flow) -> bool {
    let steps = flow.steps.iter().any(|s| match &s.kind {
        Kind::Filter(f) => f.reads.headers,
        Kind::Split(x) => x.reads.headers,
        Kind::Shard(x) => x.reads.headers,
        Kind::Reduce(r, _) => r.reads.headers,
        Kind::Work(w) => w.reads.headers,
        Kind::Act(a) => a.work.reads.headers,
        Kind::Copy(_) | Kind::Merge(_) | Kind::Join(_) | Kind::Pair(_) => false,
    });
    let entries = flow.streams.iter().any(|s| s.entry.reads.headers);
    steps || entries || flow.streams.iter().any(|s| s.sink.as_ref().is_some_and(|s| s.whole))
}

/// What is fixed for a run is taken from its record.
pub fn name_run(shared: &mut Shared, record: &RunRecord) {
    shared.number = record.number;
    let started = jiff::Timestamp::from_millisecond(record.started).unwrap_or_default();
    let first = record.repair.as_ref().and_then(|r| r.runs.first()).unwrap_or(&record.number);
    let zone = jiff::tz::TimeZone::get(&shared.flow.timezone).unwrap_or(jiff::tz::TimeZone::UTC);
    shared.vars.run = RunVars { id: first.to_string(), date: record.date.clone(), started, zone: Zone(zone) };
    shared.lanes = record.lanes;
    for (s, stream) in shared.flow.streams.iter().enumerate().filter(|(s, _)| shared.plan.logged[*s]) {
        let of_stream = (stream.at.clone(), 0)..=(stream.at.clone(), u32::MAX);
        let partitions = record.starts.range(of_stream).count() as u32;
        if partitions > 0 {
            shared.partitions[s] = partitions; // of a topic that got more of them meanwhile the new ones come next time
        }
    }
    repair::extend(shared, record);
}

/// Partitions of a stream: as declared, as found, or as its writer's largest input.
fn count(shared: &Shared, s: usize, known: &mut Vec<Option<u32>>) -> Result<u32> {
    if let Some(n) = known[s] {
        return Ok(n);
    }
    let stream = &shared.flow.streams[s];
    let n = match (stream.partitions, stream.writer) {
        (Some(n), _) => n,
        (None, Writer::Outside) => shared.engine.span(&stream.at)?.len() as u32,
        (None, Writer::Source) => 1,
        // one that is there is left as it is, also when its writer's inputs got more partitions
        (None, Writer::Step(..))
            if shared.plan.logged[s]
                && let Some(n) = shared.engine.partitions(&stream.at)? =>
        {
            n
        }
        (None, Writer::Step(w, port)) => {
            let step = &shared.flow.steps[w];
            match &step.kind {
                Kind::Shard(shard) if !shard.streams && port == 0 => shard.shards.len() as u32,
                _ if step.shards.is_some() => count(shared, step.inputs[port], known)?,
                _ => {
                    let inputs = step.inputs.iter().map(|i| count(shared, *i, known)).collect::<Result<Vec<_>>>()?;
                    inputs.into_iter().max().unwrap_or(1)
                }
            }
        }
    };
    known[s] = Some(n);
    Ok(n)
}

/// Makes or checks the streams that the run needs; gives their ids.
fn ensure(shared: &Shared, options: &mut Options) -> Result<BTreeMap<StreamName, String>> {
    let flow = &shared.flow;
    let kept = |name: &StreamName, partitions| {
        let spec = StreamSpec::new(name.clone(), partitions);
        StreamSpec { config: for_good(BTreeMap::new()), ..spec }
    };
    let (mut own, mut others) = (
        vec![kept(&repair::stream(&flow.name)?, 1), kept(&shared.dead, shared.lanes), kept(&shared.manifest, 1)],
        vec![],
    );
    for (s, stream) in flow.streams.iter().enumerate().filter(|(s, _)| shared.plan.logged[*s]) {
        let config = stream.config.clone();
        let spec = StreamSpec {
            name: stream.at.clone(),
            partitions: Some(shared.partitions[s]),
            replication_factor: stream.replication_factor,
            config: if stream.is_public() { config } else { for_good(config) },
        };
        if stream.writer == Writer::Outside { others.push(spec) } else { own.push(spec) }
    }
    let shapes = shared.engine.ensure(Some(&flow.name), &own)?;
    let of_others = shared.engine.ensure(None, &others)?;
    for (spec, _) in others.iter().zip(&of_others).filter(|(_, shape)| shape.created) {
        options.note(&format!("there was no stream {}: it is made now, and is empty", spec.name));
    }
    let all = own.iter().zip(&shapes).chain(others.iter().zip(&of_others));
    let ids = all.map(|(spec, shape)| (spec.name.clone(), shape.id.clone()));
    let ids = ids.filter(|(_, id)| !id.is_empty()).collect();
    for note in shapes.into_iter().chain(of_others).filter_map(|s| s.note) {
        options.note(&note);
    }
    Ok(ids)
}

/// What a flow keeps for itself stays until it lets it go, whatever is usual where it is kept: its items can be old.
fn for_good(mut config: BTreeMap<String, String>) -> BTreeMap<String, String> {
    for key in ["retention.ms", "retention.bytes"] {
        config.entry(key.into()).or_insert_with(|| "-1".into());
    }
    config
}

/// Commits the record, the manifest and the lengths of files that are added to.
fn begin(
    shared: &mut Shared,
    lane: &mut dyn Lane,
    mut record: RunRecord,
    manifests: &BTreeMap<usize, Manifest>,
) -> Result<()> {
    name_run(shared, &record);
    let mut account = Account {
        version: ACCOUNT_VERSION,
        flow_hash: shared.flow.hash.clone(),
        run: record.number,
        ..Account::default()
    };
    account.read.extend(record.from.iter().map(|(key, from)| (key.clone(), Next { next: *from, items: 0 })));
    for root in shared.plan.units.iter().flat_map(|u| &u.roots) {
        if let Node::Step(s) = root.node
            && let Some(group) = shared.flow.steps[s].groups.get(root.input).filter(|_| shared.is_carried(root))
        {
            account.groups.insert((shared.flow.steps[s].name.clone(), root.taken.clone()), group.clone());
        }
    }
    lengths(shared, &record, &mut account)?;
    let mut puts = vec![];
    let stream = shared.manifest.clone();
    let mut lists = Packer::default();
    for manifest in manifests.values().filter(|m| !m.files.is_empty()) {
        let json = serde_json::to_vec(manifest).map_err(|e| Error::bug(e.to_string()))?;
        lists.push_item(&Item::of(json, record.started));
    }
    let lists = lists.finish();
    if !lists.is_empty() {
        let start = shared.engine.span(&stream)?.first().map_or(0, |s| s.end);
        record.manifest = Some((start, start + lists.iter().map(|b| b.count() as i64).sum::<i64>()));
        let to = Dest { stream, partition: 0 };
        puts.extend(lists.into_iter().map(|b| Put { to: to.clone(), batch: BatchRef::Fresh(b) }));
    }
    account.record = Some(record);
    lane.submit(Commit { puts, account })?;
    lane.settle()?;
    Ok(())
}

/// Notes where the files of sinks begin that this run will write.
fn lengths(shared: &Shared, record: &RunRecord, account: &mut Account) -> Result<()> {
    let paths = (0..shared.flow.streams.len()).map(|s| sinks::path(shared, s)).collect::<Result<Vec<_>>>()?;
    look::apart(&shared.flow, &*shared.world, &paths).map_err(|(_, e)| e)?;
    for (s, stream) in shared.flow.streams.iter().enumerate() {
        let Some(sink) = &stream.sink else { continue };
        let Some(path) = sinks::path(shared, s)? else { continue };
        if sink.mode == Mode::Fail && record.kind != RunKind::Repair && shared.world.exists(&path) {
            return Err(Error::usage(format!("the sink {path} is there already"))
                .help("`mode: fail` does not touch it: move it away, or write  mode: replace"));
        }
        let length = match sink.mode {
            Mode::Append if matches!(shared.world.goal(&path, false)?, Goal::File(..)) => {
                shared.world.sink(&path, false, record.number, None)?.sync()?
            }
            // a repair goes on with the file that its batch had begun
            _ => account.marks.get(&marks::length(shared, s)).copied().unwrap_or(0),
        };
        account.marks.insert(marks::length(shared, s), length);
    }
    Ok(())
}

/// Takes the other lanes, and tells them the number of the next run: nobody works them for this one any more. Their
/// accounts as they were.
pub fn fence(shared: &Shared, record: &RunRecord) -> Result<Vec<Account>> {
    let mut accounts = vec![];
    for other in 1..shared.lanes {
        let mut other = shared.engine.claim(&shared.flow.name, other)?;
        accounts.push(other.account().clone());
        commit(&mut *other, |account| {
            let (lane, seq) = (account.lane, account.seq);
            *account = Account { version: ACCOUNT_VERSION, lane, seq, run: record.number + 1, ..Account::default() };
        })?;
    }
    Ok(accounts)
}

/// Closes an open run as abandoned: the readers of source streams go back to where it began.
fn abandon(shared: &Shared, lane: &mut dyn Lane, record: &RunRecord) -> Result<()> {
    fence(shared, record)?;
    repair::put_back(shared, record)?;
    let begun = record.repair.as_ref().map_or(&[][..], |mending| &mending.aside);
    commit(lane, |account| {
        match &record.repair {
            Some(mending) => account.read.clone_from(&mending.carry),
            None => {
                let back = record.from.iter().map(|(key, from)| (key.clone(), Next { next: *from, items: 0 }));
                account.read.extend(back);
            }
        }
        let mut given_up = RunRecord { phase: Phase::Abandoned, ..record.clone() };
        given_up.put_back_what_waits();
        account.record = Some(given_up);
    })?;
    for (s, stream) in shared.flow.streams.iter().enumerate() {
        let replaces = stream.sink.as_ref().is_some_and(|s| s.mode != Mode::Append);
        if replaces
            && !begun.contains(&stream.name)
            && let Some(path) = sinks::path(shared, s)?
        {
            shared.world.discard(&path)?;
        }
    }
    Ok(())
}
