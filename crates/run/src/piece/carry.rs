//! Carrying a piece of input through the steps of a unit.

use crate::context::RunContext;
use crate::context::sinks::FileOf;
use crate::ledger::marks;
use crate::piece::letter::{Failed, Reason};
use crate::piece::log::ItemLog;
use crate::piece::outcome::Outcome;
use anabranch_engine::{Error, Item, Result, partition};
use anabranch_flow::expr::Fault;
use anabranch_flow::format::Format;
use anabranch_flow::format::convert;
use anabranch_flow::model::{OnError, Step};
use anabranch_flow::number::{StepNo, StreamNo};
use anabranch_flow::patterns::{Body, Effects, Origin, Part, View, What};
use anabranch_flow::plan::{Node, name};
use std::sync::Arc;

/// Carries parts through a unit.
pub struct Carrier<'c> {
    context: &'c RunContext,
    /// What came of it.
    pub out: Outcome,
}

impl<'c> Carrier<'c> {
    /// A carrier with nothing done.
    pub fn new(context: &'c RunContext) -> Carrier<'c> {
        Carrier { context, out: Outcome::default() }
    }

    /// A node takes a part of the stream `of` through its input `input`.
    pub fn deliver(&mut self, node: Node, input: usize, of: StreamNo, part: &Part) -> Result<()> {
        if part.count() == 0 || self.out.stop.is_some() {
            return Ok(());
        }
        match node {
            Node::Step(i) if self.context.again.as_ref().is_some_and(|again| again.late.contains(&i)) => {
                let (step, n) = (&self.context.flow.steps[i], part.count());
                let tally = self.out.tally(&step.name);
                *tally.took.entry(self.context.flow.streams[of].name.clone()).or_default() += n;
                tally.skipped += n;
                Ok(())
            }
            Node::Step(i) => self.step(i, input, of, part),
            Node::Sink(s) => self.sink(s, part),
            Node::Publish(s) => {
                let n = part.count();
                let tally = self.out.tally(&name(&self.context.flow, node));
                *tally.took.entry(self.context.flow.streams[of].name.clone()).or_default() += n;
                tally.passed += n;
                self.put(s, part.partition, part)
            }
            Node::Source(_) => Err(Error::bug("items came to a source")),
        }
    }

    fn step(&mut self, i: StepNo, input: usize, of: StreamNo, part: &Part) -> Result<()> {
        let context = self.context;
        let step = &context.flow.steps[i];
        let pattern = step.pattern();
        let pattern =
            pattern.ok_or_else(|| Error::bug(format!("items came to {} in memory, which reads the log", step.name)))?;
        let format = context.flow.streams[of].format;
        if step.routes() && step.outputs.iter().any(|o| convert::is_needed(format, context.flow.streams[*o].format)) {
            let (good, failed) = convert::fit(part, format)?;
            if !failed.is_empty() {
                let view = view(context, part, format, None)?;
                let tally = self.out.tally(&step.name);
                *tally.took.entry(context.flow.streams[of].name.clone()).or_default() += failed.len() as u64;
                self.failed(step, of, part, &view, failed)?;
                return self.deliver(Node::Step(i), input, of, &part.select(good));
            }
        }
        let nothing = anabranch_engine::batch::Records::default();
        let records = if pattern.looks() { part.body.records()? } else { &nothing };
        let shard = step.shards.as_ref().and_then(|s| s.get(input)).map(String::as_str);
        let view = View { part, records, vars: &context.vars, format, shard };
        let mut effects = Effects::default();
        let mut scratch = self.out.scratch.remove(&i).unwrap_or_default();
        pattern.apply(input, &view, &mut scratch, &mut effects);
        if !scratch.stripes.is_empty() {
            self.out.scratch.insert(i, scratch);
        }
        let tally = self.out.tally(&step.name);
        *tally.took.entry(context.flow.streams[of].name.clone()).or_default() += effects.taken;
        tally.passed += effects.passed;
        tally.filtered += effects.filtered;
        tally.folded += effects.folded;
        self.failed(step, of, part, &view, std::mem::take(&mut effects.failed))?;
        let parent = Arc::new(part.clone());
        for emit in effects.emits {
            let stream = step.output(input, emit.port);
            let stream =
                stream.ok_or_else(|| Error::bug(format!("{} made items for an output that it has not", step.name)))?;
            let mut next = match emit.what {
                What::Whole => part.clone(),
                // all rows of a whole batch are the batch
                What::Rows(rows) if part.rows.is_none() && rows.count() == part.body.count() => part.clone(),
                What::Rows(rows) => part.select(rows),
                What::New(batch, from) => {
                    let origin = Origin::Made { parent: parent.clone(), from: Arc::new(from) };
                    Part { body: Body::Ready(batch), rows: None, origin, partition: part.partition }
                }
            };
            next.partition =
                emit.partition.unwrap_or_else(|| partition::through(part.partition, context.partitions[stream]));
            let to = context.flow.streams[stream].format;
            if step.routes() && convert::is_needed(format, to) {
                let parts = convert::converted(&next, format)?;
                parts.iter().try_for_each(|next| self.emit(&step.name, stream, next))?;
            } else {
                self.emit(&step.name, stream, &next)?;
            }
        }
        Ok(())
    }

    /// A node made a part for a stream.
    pub fn emit(&mut self, by: &str, stream: StreamNo, part: &Part) -> Result<()> {
        let context = self.context;
        let s = &context.flow.streams[stream];
        *self.out.tally(by).made.entry(s.name.clone()).or_default() += part.count();
        if context.plan.logged[stream] && !context.is_view(stream) {
            self.put(stream, part.partition, part)?;
        }
        for (node, input) in context.plan.fused(stream) {
            self.deliver(node, input, stream, part)?;
        }
        Ok(())
    }

    fn put(&mut self, stream: StreamNo, p: u32, part: &Part) -> Result<()> {
        let p = partition::through(p, self.context.partitions[stream]);
        self.out.puts.entry((stream, p)).or_default().add(part)
    }

    /// Items that failed get the disposition that the step's policy gives them.
    fn failed(
        &mut self,
        step: &Step,
        of: StreamNo,
        part: &Part,
        view: &View<'_>,
        failed: Vec<(usize, Fault)>,
    ) -> Result<()> {
        if failed.is_empty() {
            return Ok(());
        }
        let mut records = view.items();
        for (row, fault) in failed {
            let record = records.by_ref().find(|r| r.row() == row);
            let record = record
                .ok_or_else(|| Error::bug(format!("an item that failed at {} is not in its batch", step.name)))?;
            let name = &self.context.flow.streams[of].name;
            let reason = Reason::of(part, row, record.delta(), name, fault.to_string());
            self.fail(step, reason, || record.to_item());
        }
        Ok(())
    }

    /// One failed item of a step.
    pub fn fail(&mut self, step: &Step, reason: Reason, item: impl FnOnce() -> Item) {
        self.fail_at(&step.name, step.on_error, reason, item);
    }

    /// The same, with what the calls for it wrote. Of one that is skipped it is kept, too.
    pub fn fail_with(&mut self, step: &Step, reason: Reason, item: Item, log: Option<ItemLog>) {
        let before = self.out.dead.len();
        self.fail(step, reason, || item);
        match self.out.dead.get_mut(before) {
            Some(failed) => failed.log = log.map(Box::new),
            None => self.out.logs.extend(log),
        }
    }

    /// A final that a reduce cannot say. Its items are folded; so it is counted by itself, under the node `finals:STEP`.
    pub fn lost_final(&mut self, step: &Step, key: &str, fault: Fault, item: Item) {
        let node = marks::finals(&step.name);
        *self.out.tally(&node).took.entry(step.name.clone()).or_default() += 1;
        let reason = Reason::at(format!("r{}/{key}", self.context.number), fault.to_string());
        self.fail_at(&node, step.on_error, reason, || item);
    }

    fn fail_at(&mut self, node: &str, on_error: OnError, mut reason: Reason, item: impl FnOnce() -> Item) {
        reason.place = format!("{}/{node}/{}", self.context.flow.name, reason.place);
        match on_error {
            OnError::Skip => self.out.tally(node).skipped += 1,
            OnError::DeadLetter => {
                self.out.tally(node).dead += 1;
                self.out.dead.push(Failed { step: node.to_string(), reason, item: item(), log: None });
            }
            OnError::Fail => {
                let stop = Error::machine(format!("the step {node} failed at {}: {}", reason.place, reason.error));
                self.out.stop.get_or_insert(stop.help("`on-error: fail` stops the run there; nothing of that item is committed, and `run` continues with it"));
            }
        }
    }

    fn sink(&mut self, s: StreamNo, part: &Part) -> Result<()> {
        let stream = &self.context.flow.streams[s];
        let Some(sink) = &stream.sink else { return Ok(()) };
        let records = part.body.records()?;
        let node = name(&self.context.flow, Node::Sink(s));
        let file = FileOf::only(s);
        let mut bytes = self.out.sinks.remove(&file).unwrap_or_default();
        bytes.reserve(records.bytes());
        let (mut taken, mut failed) = (0, vec![]);
        for record in records.iter().filter(|r| part.rows.as_ref().is_none_or(|rows| rows.has(r.row()))) {
            taken += 1;
            let before = bytes.len();
            match sink.holds.write(&mut bytes, sink.whole, stream.format, &record) {
                Ok(()) => {}
                Err(fault) => {
                    bytes.truncate(before);
                    failed.push((part.place(record.row(), record.delta()), fault, record.to_item()));
                }
            }
        }
        self.out.sinks.insert(file, bytes);
        let tally = self.out.tally(&node);
        *tally.took.entry(stream.name.clone()).or_default() += taken;
        tally.passed += taken - failed.len() as u64;
        tally.dead += failed.len() as u64;
        for (place, fault, item) in failed {
            let place = format!("{}/{node}/{place}", self.context.flow.name);
            let reason = Reason::at(place, fault.to_string());
            self.out.dead.push(Failed { step: node.clone(), reason, item, log: None });
        }
        Ok(())
    }
}

/// A view of a part that only reads its items.
pub fn view<'v>(context: &'v RunContext, part: &'v Part, format: Format, shard: Option<&'v str>) -> Result<View<'v>> {
    Ok(View { part, records: part.body.records()?, vars: &context.vars, format, shard })
}
