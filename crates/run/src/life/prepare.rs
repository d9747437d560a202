//! What is known before there is a run, and the streams that it needs.

use crate::context::RunContext;
use crate::context::choices::Choices;
use crate::life::{books, look, repair};
use crate::options::Options;
use crate::world::World;
use anabranch_engine::{Desk, Error, Result, RunRecord, StreamName, StreamSpec};
use anabranch_flow::expr::{RunVars, Zone};
use anabranch_flow::model::{Flow, Kind, Writer};
use anabranch_flow::number::StreamNo;
use anabranch_flow::patterns::{Pattern, Vars};
use anabranch_flow::plan::{Node, Plan};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What every run of a flow needs to know, before there is a run.
pub fn prepare(flow: Arc<Flow>, plan: Plan, engine: Arc<dyn Desk>, world: World) -> Result<RunContext> {
    let looks = plan.units.iter().map(|u| u.nodes.iter().any(|n| looks(&flow, *n))).collect();
    let headers = looks_at_headers(&flow);
    let mut context = RunContext {
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
    let mut known: Vec<Option<u32>> = vec![None; context.flow.streams.len()];
    for s in context.flow.stream_nos() {
        context.partitions[s] = count(&context, s, &mut known)?;
    }
    pairs_fit(&context)?;
    Ok(context)
}

/// Items are paired partition by partition, so both sides need equally many.
pub fn pairs_fit(context: &RunContext) -> Result<()> {
    for (unit, step) in context.plan.units.iter().filter_map(|u| u.pairs.map(|s| (u, s))) {
        let side =
            |root: &anabranch_flow::plan::Root| (&context.flow.streams[root.from].name, context.partitions[root.from]);
        let sides: Vec<_> = unit.roots.iter().map(side).collect();
        if let [(a, n), (b, m)] = sides.as_slice()
            && n != m
        {
            let name = &context.flow.steps[step].name;
            return Err(Error::usage(format!("{name} pairs partition by partition, but {a} has {n} and {b} has {m}"))
                .help("give both streams the same number of partitions"));
        }
        if sides.len() != 2 {
            return Err(look::pairs_of(&context.flow, step, sides.len()).1);
        }
    }
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
        Kind::Copy(_) | Kind::Merge(_) | Kind::Barrier(_) | Kind::Pair(_) => false,
    });
    let entries = flow.streams.iter().any(|s| s.entry.reads.headers);
    steps || entries || flow.streams.iter().any(|s| s.sink.as_ref().is_some_and(|s| s.whole))
}

/// What is fixed for a run is taken from its record. What a repair chose is read, if it is not given.
pub fn name_run(context: &mut RunContext, record: &RunRecord, choices: Option<Choices>) -> Result<()> {
    context.number = record.number;
    let started = jiff::Timestamp::from_millisecond(record.started).unwrap_or_default();
    let first = record.repair.as_ref().and_then(|r| r.runs.first()).unwrap_or(&record.number);
    let zone = jiff::tz::TimeZone::get(&context.flow.timezone).unwrap_or(jiff::tz::TimeZone::UTC);
    context.vars.run = RunVars { id: first.to_string(), date: record.date.clone(), started, zone: Zone(zone) };
    context.lanes = record.lanes;
    for (s, stream) in context.flow.numbered_streams().filter(|(s, _)| context.plan.logged[*s]) {
        let of_stream = (stream.at.clone(), 0)..=(stream.at.clone(), u32::MAX);
        let partitions = record.starts.range(of_stream).count() as u32;
        if partitions > 0 {
            context.partitions[s] = partitions; // of a topic that got more of them meanwhile the new ones come next time
        }
    }
    repair::extend(context, record, choices)
}

/// Partitions of a stream: as declared, as found, or as its writer's largest input.
fn count(context: &RunContext, s: StreamNo, known: &mut Vec<Option<u32>>) -> Result<u32> {
    if let Some(n) = known[s] {
        return Ok(n);
    }
    let stream = &context.flow.streams[s];
    let n = match (stream.partitions, stream.writer) {
        (Some(n), _) => n,
        (None, Writer::Outside) => context.engine.span(&stream.at)?.len() as u32,
        (None, Writer::Source) => 1,
        // one that is there is left as it is, also when its writer's inputs got more partitions
        (None, Writer::Step(..))
            if context.plan.logged[s]
                && let Some(n) = context.engine.partitions(&stream.at)? =>
        {
            n
        }
        (None, Writer::Step(w, port)) => {
            let step = &context.flow.steps[w];
            match &step.kind {
                Kind::Shard(shard) if !shard.streams && port == 0 => shard.shards.len() as u32,
                _ if step.shards.is_some() => count(context, step.inputs[port], known)?,
                _ => {
                    let inputs = step.inputs.iter().map(|i| count(context, *i, known)).collect::<Result<Vec<_>>>()?;
                    inputs.into_iter().max().unwrap_or(1)
                }
            }
        }
    };
    known[s] = Some(n);
    Ok(n)
}

/// Makes or checks the streams that the run needs; gives their ids.
pub fn ensure(context: &RunContext, options: &mut Options) -> Result<BTreeMap<StreamName, String>> {
    let flow = &context.flow;
    let kept = |name: &StreamName, partitions| {
        let spec = StreamSpec::new(name.clone(), partitions);
        StreamSpec { config: for_good(BTreeMap::new()), ..spec }
    };
    let (mut own, mut others) = (
        vec![kept(&books::stream(&flow.name)?, 1), kept(&context.dead, context.lanes), kept(&context.manifest, 1)],
        vec![],
    );
    if let Some(logs) = context.logs()? {
        own.push(kept(&logs, context.lanes));
    }
    for (s, stream) in flow.numbered_streams().filter(|(s, _)| context.plan.logged[*s]) {
        let config = stream.config.clone();
        let spec = StreamSpec {
            name: stream.at.clone(),
            partitions: Some(context.partitions[s]),
            replication_factor: stream.replication_factor,
            config: if stream.is_public() { config } else { for_good(config) },
        };
        if stream.writer == Writer::Outside { others.push(spec) } else { own.push(spec) }
    }
    let shapes = context.engine.ensure(Some(&flow.name), &own)?;
    let of_others = context.engine.ensure(None, &others)?;
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
