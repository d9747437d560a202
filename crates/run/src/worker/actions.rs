//! The window of an action step: items that were started and are not committed.

use crate::context::RunContext;
use crate::piece::call;
use crate::piece::carry::{Carrier, view};
use crate::piece::letter::Reason;
use crate::piece::log::{Calls, ItemLog};
use crate::piece::outcome::Outcome;
use crate::worker::reader::ReaderNo;
use crate::worker::trial::Trial;
use crate::world::{Again, Failure, Moment, Replies, Reply, Session};
use anabranch_engine::{Error, Item, Result, limits};
use anabranch_flow::call::Call;
use anabranch_flow::expr::{Value, json};
use anabranch_flow::format::convert;
use anabranch_flow::model::{Act, ActionSpec, Kind, Logs, Step};
use anabranch_flow::number::StepNo;
use anabranch_flow::patterns::{Body, Making, Origin, Part};
use anabranch_flow::plan::Root;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// The window of one action step.
pub struct Window {
    step: StepNo,
    session: Box<dyn Session>,
    /// Items that may be started and not committed.
    most: usize,
    /// It was filled, and has not enough room yet for it to be worth reading on.
    full: bool,
    concurrency: usize,
    trial: Trial,
    /// Something that must stop the run.
    stop: Option<Error>,
    /// Items in input order, by reader.
    lines: BTreeMap<ReaderNo, VecDeque<Slot>>,
    reader_of: HashMap<u64, ReaderNo>,
    retries: BTreeMap<(Moment, u64), ()>,
    next: u64,
    /// Bytes of the items and of their results.
    bytes: usize,
}

struct Slot {
    id: u64,
    input: usize,
    part: Arc<Part>,
    /// Where it stands in the part.
    spot: (usize, usize),
    delta: u32,
    item: Item,
    /// Position behind this item.
    behind: i64,
    job: Call,
    /// When it was started.
    since: Moment,
    calls: Calls,
    done: Option<Result<Option<Bytes>, String>>,
}

impl Slot {
    fn bytes(&self) -> usize {
        let result = match &self.done {
            Some(Ok(Some(result))) => result.len(),
            Some(Err(error)) => error.len(),
            _ => 0,
        };
        self.item.value.as_ref().map_or(0, Bytes::len)
            + result
            + self.job.request.bytes()
            + self.job.id.len()
            + self.calls.bytes()
    }
}

fn find<'l>(lines: &'l mut BTreeMap<ReaderNo, VecDeque<Slot>>, reader: &ReaderNo, id: u64) -> Option<&'l mut Slot> {
    let line = lines.get_mut(reader)?;
    let at = line.binary_search_by_key(&id, |s| s.id).ok()?;
    line.get_mut(at)
}

/// Items of a reader that may be started.
pub struct Portion<'p> {
    /// Who read them.
    pub reader: ReaderNo,
    /// Its root.
    pub root: &'p Root,
    /// The items.
    pub part: &'p Part,
    /// Position behind them.
    pub end: i64,
}

/// Items of a reader that are done, in order.
pub struct Finished {
    /// Position behind them.
    pub next: i64,
    /// How many.
    pub items: u64,
    /// What came of them.
    pub outcome: Outcome,
}

impl Window {
    /// A window of the step `step`. All its inputs share the calls that it may make at once.
    pub fn open(context: &RunContext, step: StepNo, act: &Act, replies: Replies) -> Result<Window> {
        let seat = call::seat(context, &context.flow.steps[step], act)?;
        Ok(Window {
            step,
            session: context.world.actions.begin(act, seat, replies)?,
            most: limits::WINDOW_ITEMS.min(act.concurrency.saturating_mul(limits::WINDOW_ITEMS_PER_CALL)),
            full: false,
            concurrency: act.concurrency,
            trial: Trial::of(&context.flow.steps[step]),
            stop: None,
            lines: BTreeMap::new(),
            reader_of: HashMap::new(),
            retries: BTreeMap::new(),
            next: 0,
            bytes: 0,
        })
    }

    /// All items are done, and no more will come.
    pub fn finish(&mut self) -> Result<()> {
        self.session.finish()
    }

    /// Whether more items may be started.
    pub fn has_room(&self) -> bool {
        self.stop.is_none() && !self.full
    }

    /// Whether it is filled. Once it is, it takes no more until half of what is not under way is gone: to read on for each
    /// single item would cost more than the item.
    fn is_filled(&mut self) -> bool {
        let (items, bytes) = (self.len(), self.bytes);
        let less = self.most - self.most.saturating_sub(self.concurrency) / 2;
        self.full = match self.full {
            false => items >= self.most || bytes >= limits::WINDOW_BYTES,
            true => items > less || bytes > limits::WINDOW_BYTES / 2,
        };
        self.full
    }

    /// Whether nothing of a reader is started and not committed.
    pub fn is_free(&self, reader: ReaderNo) -> bool {
        self.lines.get(&reader).is_none_or(VecDeque::is_empty)
    }

    /// Moves a reader on to `to`, where nothing more is to be started before it: its last item takes it along. False if
    /// nothing of the reader is under way.
    pub fn pass(&mut self, reader: ReaderNo, to: i64) -> bool {
        let last = self.lines.get_mut(&reader).and_then(VecDeque::back_mut);
        last.map(|slot| slot.behind = to).is_some()
    }

    /// Gives back what is started last in a reader, as far as no call is made for it yet: another process will make them.
    pub fn withdraw(&mut self, reader: ReaderNo) {
        let Some(line) = self.lines.get_mut(&reader) else { return };
        while let Some(slot) = line.pop_back_if(|s| s.done.is_none() && s.job.ticket.withdraw()) {
            self.bytes -= slot.bytes();
            self.reader_of.remove(&slot.id);
        }
        self.is_filled();
    }

    /// Items with which calls are under way, or that wait for one, the oldest first: where each came from, its attempt, and
    /// since when.
    pub fn under_way(&self, most: usize) -> Vec<(String, u32, Moment)> {
        let mut all: Vec<&Slot> = self.lines.values().flatten().filter(|s| s.done.is_none()).collect();
        all.sort_by_key(|s| (s.since, s.id));
        let told = |s: &&Slot| (s.part.place(s.spot.0, s.delta), s.job.attempt, s.since);
        all.iter().take(most).map(told).collect()
    }

    /// How many items are started and not committed.
    pub fn len(&self) -> usize {
        self.lines.values().map(VecDeque::len).sum()
    }

    fn act<'s>(&self, context: &'s RunContext) -> Result<(&'s Step, &'s Act)> {
        let step = &context.flow.steps[self.step];
        match &step.kind {
            Kind::Act(act) => Ok((step, act)),
            _ => Err(Error::bug(format!("items for the action of {}, which has none", step.name))),
        }
    }

    /// Starts items of a part until the window is full; the position behind the last one started.
    pub fn start(&mut self, context: &RunContext, portion: Portion<'_>) -> Result<i64> {
        let Portion { reader, root, part, end } = portion;
        let (input, of) = (root.input, root.of);
        let (step, act) = self.act(context)?;
        let shard = step.shards.as_ref().and_then(|s| s.get(input)).map(String::as_str);
        let view = view(context, part, context.flow.streams[of].format, shard)?;
        let shared_part = Arc::new(part.clone());
        let (mut slots, since) = (vec![], context.world.clock.moment());
        let mut records = view.items().peekable();
        while let Some(record) = records.next() {
            if self.is_filled() {
                return Ok(part.above(record.row(), record.delta()).2);
            }
            let place = format!("{}/{}/{}", context.flow.name, step.name, part.place(record.row(), record.delta()));
            let answer = if let Origin::Again { answer, .. } = &part.origin { answer.clone() } else { None };
            let job = match answer {
                Some(_) => Ok(Call::default()),
                None => call::job(&view, &record, act, place, &mut slots),
            };
            let id = self.next;
            self.next += 1;
            let behind = records.peek().map_or(end, |next| part.above(next.row(), next.delta()).2);
            let mut slot = Slot {
                id,
                input,
                part: shared_part.clone(),
                spot: record.spot(),
                delta: record.delta(),
                item: record.to_item(),
                behind,
                job: Call::default(),
                since,
                calls: Calls::default(),
                done: None,
            };
            match job {
                Ok(_) if answer.is_some() => slot.done = answer.map(Ok),
                Ok(job) => {
                    slot.job = Call { slot: id, attempt: 1, ..job };
                    self.reader_of.insert(id, reader);
                    self.session.start(slot.job.clone());
                }
                Err(fault) => {
                    self.trial.failed(&fault.to_string());
                    slot.done = Some(Err(fault.to_string()));
                }
            }
            self.bytes += slot.bytes();
            self.lines.entry(reader).or_default().push_back(slot);
        }
        Ok(end)
    }

    /// Takes the answer to a call. A failed call is made again, if attempts are left.
    pub fn reply(&mut self, context: &RunContext, reply: Reply, now: Moment) -> Result<()> {
        let (_, act) = self.act(context)?;
        let (attempts, backoff, longest) = (act.attempts, act.backoff, act.backoff_max);
        let (outcome, again) = match reply.outcome {
            Ok(result) => (Ok(result), Again::Never),
            Err(Failure::Item { text, again }) => (Err(text), again),
            Err(Failure::Run(stop)) => {
                self.stop.get_or_insert(stop);
                return Ok(());
            }
        };
        let unknown =
            || Error::bug(format!("an answer to the call {}, which nobody made or which was answered", reply.slot));
        let reader = self.reader_of.get(&reply.slot).copied().ok_or_else(unknown)?;
        let slot = find(&mut self.lines, &reader, reply.slot).ok_or_else(unknown)?;
        let before = slot.bytes();
        if let Some(log) = reply.log {
            slot.calls.add(slot.job.attempt, log);
        }
        if again != Again::Never && slot.job.attempt < attempts {
            let pause = match again {
                Again::After(pause) => pause.min(limits::LONGEST_TIME),
                _ => backoff.saturating_mul(1 << (slot.job.attempt - 1).min(20)).min(longest),
            };
            slot.job.attempt += 1;
            self.bytes = self.bytes + slot.bytes() - before;
            self.retries.insert((now.saturating_add(pause), reply.slot), ());
            return Ok(());
        }
        match &outcome {
            Ok(_) => self.trial.passed(),
            Err(error) => self.trial.failed(error),
        }
        slot.done = Some(outcome);
        self.bytes = self.bytes + slot.bytes() - before;
        self.reader_of.remove(&reply.slot);
        Ok(())
    }

    fn slot(&mut self, id: u64) -> Option<&mut Slot> {
        find(&mut self.lines, self.reader_of.get(&id)?, id)
    }

    /// Makes the calls again whose pause is over, before all that wait for their first; when the next one is due.
    pub fn retry(&mut self, now: Moment) -> Option<Moment> {
        while let Some(((due, id), ())) = self.retries.first_key_value().map(|(k, v)| (*k, *v)) {
            if due > now {
                return Some(due);
            }
            self.retries.pop_first();
            if let Some(job) = self.slot(id).map(|s| s.job.clone()) {
                self.session.start(job);
            }
        }
        None
    }

    /// Whether failed items wait: if all go on to fail alike, none of them has failed, but the step. Where nothing else
    /// is under way that could tell, they do not wait.
    fn waits(&self) -> bool {
        let under_way = || self.lines.values().flatten().any(|s| s.done.is_none());
        !self.trial.is_over() && (self.stop.is_some() || under_way())
    }

    /// Takes what is done at the head of a reader.
    pub fn finished(&mut self, context: &RunContext, reader: ReaderNo) -> Result<Option<Finished>> {
        if let (None, Some(alike)) = (&self.stop, self.trial.verdict()) {
            self.stop = Some(alike);
        }
        let waits = self.waits();
        let mut done = vec![];
        if let Some(line) = self.lines.get_mut(&reader).filter(|_| !waits) {
            while let Some(slot) = line.pop_front_if(|s| s.done.is_some()) {
                self.bytes -= slot.bytes();
                done.push(slot);
            }
        }
        self.is_filled();
        let Some(last) = done.last() else {
            let stop = self.stop.clone().map(|stop| Outcome { stop: Some(stop), ..Outcome::default() });
            return Ok(stop.map(|outcome| Finished { next: 0, items: 0, outcome }));
        };
        let (next, items) = (last.behind, done.len() as u64);
        let (step, act) = self.act(context)?;
        let mut carrier = Carrier::new(context);
        let mut at = 0;
        while at < done.len() {
            let same = done[at..].iter().take_while(|s| Arc::ptr_eq(&s.part, &done[at].part)).count();
            shape(context, step, act, &mut done[at..at + same], &mut carrier)?;
            at += same;
        }
        Ok(Some(Finished { next, items, outcome: carrier.out }))
    }
}

/// Shapes the results of items of one part and sends them on.
fn shape(context: &RunContext, step: &Step, act: &Act, slots: &mut [Slot], carrier: &mut Carrier<'_>) -> Result<()> {
    let Some(first) = slots.first() else { return Ok(()) };
    let (part, input, spot) = (first.part.clone(), first.input, first.spot);
    let of = step.inputs[input];
    let shard = step.shards.as_ref().and_then(|s| s.get(input)).map(String::as_str);
    let view = view(context, &part, context.flow.streams[of].format, shard)?;
    let format = step.output(input, 0).map_or(view.format, |s| context.flow.streams[s].format);
    let (mut made, mut columns, mut records) = (Making::with_capacity(0), vec![], view.items_from(spot));
    let (taken, mut passed, mut filtered) = (slots.len() as u64, 0, 0);
    let as_printed = act.work.as_printed() && !matches!(act.action, ActionSpec::Code(_));
    for slot in slots {
        let record = records.by_ref().find(|r| r.row() == slot.spot.0);
        let (Some(record), Some(outcome)) = (record, slot.done.take()) else {
            return Err(Error::bug(format!("an item of {} that was done is not in its batch", step.name)));
        };
        let shaped = outcome.and_then(|result| {
            let extra: Vec<Value<'_>> = value(result.as_ref(), as_printed).into_iter().collect();
            let mut scope = view.scope(&record, &act.work.reads, &mut columns).map_err(|f| f.to_string())?;
            scope.extra = &extra;
            let values = act.work.shape(&scope).map_err(|f| f.to_string())?;
            match &values {
                None if convert::is_needed(view.format, format) => {
                    let value = convert::value(&record, view.format).map_err(|f| f.to_string())?;
                    made.one(&record, &value);
                }
                None => made.same(&record),
                Some(values) => made.children(&record, values, act.work.many()).map_err(|f| f.to_string())?,
            }
            Ok(values.is_none_or(|v| !v.is_empty()))
        });
        match shaped {
            Err(error) => {
                let name = &context.flow.streams[of].name;
                let reason = Reason::of(&part, slot.spot.0, slot.delta, name, error);
                let reason = Reason { attempts: slot.job.attempt.max(1), ..reason };
                let log = log(context, (step, act), slot, &reason.place, Some(&reason.error));
                carrier.fail_with(step, reason, std::mem::take(&mut slot.item), log);
            }
            Ok(on) => {
                (passed, filtered) = (passed + u64::from(on), filtered + u64::from(!on));
                if act.logs == Logs::All {
                    let place = part.place(slot.spot.0, slot.delta);
                    carrier.out.logs.extend(log(context, (step, act), slot, &place, None));
                }
            }
        }
    }
    let tally = carrier.out.tally(&step.name);
    *tally.took.entry(context.flow.streams[of].name.clone()).or_default() += taken;
    tally.passed += passed;
    tally.filtered += filtered;
    let Some(stream) = step.output(input, 0) else { return Ok(()) };
    for (batch, from) in made.finish() {
        let origin = Origin::Made { parent: part.clone(), from: Arc::new(from) };
        let part = Part { body: Body::Ready(batch), rows: None, origin, partition: part.partition };
        carrier.emit(&step.name, stream, &part)?;
    }
    Ok(())
}

/// What the calls for an item wrote, if that is to be kept.
fn log(
    context: &RunContext,
    (step, act): (&Step, &Act),
    slot: &mut Slot,
    place: &str,
    error: Option<&String>,
) -> Option<ItemLog> {
    let calls = std::mem::take(&mut slot.calls);
    (act.logs != Logs::None && !calls.is_empty()).then(|| ItemLog {
        letter: None,
        step: step.name.clone(),
        run: context.number,
        id: slot.job.id.clone(),
        place: place.to_string(),
        error: error.cloned(),
        calls: calls.logged(),
    })
}

/// What an action gave, without the end of its line: JSON if it reads as such, else text; nothing = none.
fn value(result: Option<&Bytes>, as_printed: bool) -> Option<Value<'_>> {
    let bytes = result?;
    let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    if text.is_empty() {
        return None;
    }
    if !as_printed {
        // of what is JSON nothing else is made: nobody has looked into it yet
        match json::check(text).and_then(Value::from_json) {
            Ok(value) => return Some(value),
            Err(_) => {
                if let Some(raw) = json::reads(text) {
                    return Some(Value::Json(raw.into()));
                }
            }
        }
    }
    Some(match std::str::from_utf8(text) {
        Ok(text) => Value::text(text),
        Err(_) => Value::Bytes(text.into()),
    })
}
