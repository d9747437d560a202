//! Standard input: logged as it is read, so that what was committed survives.

use crate::context::RunContext;
use crate::ledger::marks::Mark;
use crate::piece::source;
use crate::worker::Worker;
use crate::worker::event::Event;
use crate::worker::lane::Advance;
use crate::world::{Begun, Input, Step, Task};
use anabranch_engine::account::Reader;
use anabranch_engine::{Error, Result, limits};
use anabranch_flow::format::framing::{Framed, Frames};
use anabranch_flow::number::StreamNo;
use anabranch_flow::plan::{Node, ReadFrom, name};
use std::collections::VecDeque;
use std::io::{BufReader, Read};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What this process reads from standard input. It outlives the loss of a lane: what was handed out and is not committed
/// is handed out again.
#[derive(Default)]
pub struct Pipe {
    state: Mutex<State>,
    room: Condvar,
}

#[derive(Default)]
struct State {
    begun: bool,
    /// What was read and not taken.
    waiting: VecDeque<Said>,
    /// What was taken, with the position behind it, until that is known to be committed.
    taken: VecDeque<(i64, Said)>,
    /// Who is told that something waits.
    to: Option<(Sender<Event>, StreamNo)>,
}

enum Said {
    Lines(Vec<Framed>),
    End,
    Fault(Error),
}

impl Pipe {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is room for more; waits for it, if it may.
    fn has_room(&self, may_wait: bool) -> bool {
        let is_full = |state: &mut State| state.waiting.len() >= limits::STDIN_PORTIONS;
        match may_wait {
            true => drop(self.room.wait_while(self.state(), is_full)),
            false => return !is_full(&mut self.state()),
        }
        true
    }

    /// Puts something behind the rest.
    fn say(&self, said: Said) {
        let mut state = self.state();
        state.waiting.push_back(said);
        if let Some((to, stream)) = &state.to {
            let _ = to.send(Event::Stdin(*stream)); // a loop that has ended: the next one looks itself
        }
    }

    /// Goes on in a new loop, behind what is committed.
    fn go_on(&self, committed: i64, events: &Sender<Event>, stream: StreamNo) {
        let mut state = self.state();
        state.taken.retain(|(behind, _)| *behind > committed);
        while let Some((_, said)) = state.taken.pop_back() {
            state.waiting.push_front(said);
        }
        for _ in 0..state.waiting.len() {
            let _ = events.send(Event::Stdin(stream));
        }
        state.to = Some((events.clone(), stream));
    }
}

/// Begins to read standard input, if the flow reads it and it has not ended, or goes on with it; what people should know of
/// that.
pub fn begin(worker: &mut Worker, pipe: &Arc<Pipe>, events: &Sender<Event>) -> Result<Option<&'static str>> {
    let context = worker.context.clone();
    let roots = context.plan.units.iter().flat_map(|u| &u.roots).filter(|r| r.how == ReadFrom::Stdin);
    let mut note = None;
    for root in roots {
        let node = name(&context.flow, root.node);
        let Some(chair) = worker.lanes.get_mut(&0) else { continue };
        let ours = pipe.state().begun;
        let has_ended = Mark::Done(&node).is_in(chair.account());
        if !ours && (has_ended || Mark::StdinBegun.is_in(chair.account())) {
            is_not_ours(&context, has_ended)?;
        }
        if has_ended {
            if !ours {
                note = Some(
                    "standard input was ignored: the resumed run has its own input; run again to process this one",
                );
            }
            continue;
        }
        let begun = Advance::default().mark(Mark::StdinBegun, 1);
        if Mark::StdinBegun.is_in(chair.account()) && !ours {
            // a run that was resumed: the rest of the pipe went to the process that is gone
            chair.take(begun.mark(Mark::Done(&node), 1).mark(Mark::StdinCut, 1))?;
            continue;
        }
        chair.take(begun)?;
        let key = context.reader(root, 0);
        let committed = chair.settled().read.get(&key).map_or(0, |read| read.next);
        worker.commit(0)?;
        pipe.go_on(committed, events, root.from);
        if !std::mem::replace(&mut pipe.state().begun, true) {
            let pump = pump(context.world.sources.stdin()?, pipe.clone());
            context.world.threads.begin("stdin".into(), pump).map(Begun::leave)?;
        }
    }
    Ok(note)
}

/// A run that is open reads no other standard input than its own. What comes through this one would never be read, so
/// the run is not taken up with it; one whose own had ended is, as long as this one is silent.
fn is_not_ours(context: &RunContext, has_ended: bool) -> Result<()> {
    let (run, flow) = (context.number, &context.flow.name);
    let (what, finish) = match (context.world.sources.input(), has_ended) {
        (Input::Nothing, _) | (Input::Silent, true) => return Ok(()),
        (_, true) => ("has read its own standard input to the end", "finish it"),
        (_, false) => ("read a standard input whose rest is gone", "end it with what it had"),
    };
    let text = format!("run {run} of {flow} is open, and {what}; this one would not be read");
    Err(Error::usage(text).help(format!(
        "{finish}:  anabranch run < /dev/null ; or abandon it and read this one:  anabranch run --fresh"
    )))
}

/// Reads standard input in portions of lines, until its end.
fn pump(input: Box<dyn Read + Send>, pipe: Arc<Pipe>) -> Task {
    let mut lines = Frames::new(BufReader::with_capacity(limits::BATCH_TARGET_BYTES, input));
    Box::new(move |may_wait| {
        if !pipe.has_room(may_wait) {
            return Step::Nothing;
        }
        let (said, step) = match portion(&mut lines) {
            Ok(lines) if lines.is_empty() => (Said::End, Step::Over),
            Ok(lines) => (Said::Lines(lines), Step::Done),
            Err(e) => (Said::Fault(Error::machine(format!("standard input cannot be read: {e}"))), Step::Over),
        };
        pipe.say(said);
        step
    })
}

/// The next lines: as many as a batch takes, or as there are now. None at the end.
fn portion(lines: &mut Frames<BufReader<Box<dyn Read + Send>>>) -> std::io::Result<Vec<Framed>> {
    let (mut portion, mut bytes) = (vec![], 0);
    while let Some(line) = lines.next_line()? {
        bytes += line.text.len() + 1;
        portion.push(line);
        if bytes >= limits::BATCH_TARGET_BYTES || lines.input().buffer().is_empty() {
            break;
        }
    }
    Ok(portion)
}

/// Lines came, or the end.
pub fn take(worker: &mut Worker, pipe: &Pipe, stream: StreamNo) -> Result<()> {
    let context = worker.context.clone();
    let node = name(&context.flow, Node::Source(stream));
    let (taken, at) = (context.flow.streams[stream].name.clone(), context.flow.streams[stream].at.clone());
    let key = Reader { step: node.clone(), taken, stream: at, partition: 0 };
    let Some(chair) = worker.lanes.get_mut(&0) else { return Ok(()) };
    let mut state = pipe.state();
    let committed = chair.settled().read.get(&key).map_or(0, |read| read.next);
    state.taken.retain(|(behind, _)| *behind > committed);
    let Some(said) = state.waiting.pop_front() else { return Ok(()) };
    pipe.room.notify_one();
    let lines = match said {
        Said::Lines(lines) => lines,
        Said::End => {
            state.taken.push_back((i64::MAX, Said::End));
            return chair.take(Advance::default().mark(Mark::Done(&node), 1));
        }
        Said::Fault(e) => return Err(e),
    };
    let (n, outcome) = source::take(&context, stream, &lines)?;
    let next = chair.account().read.get(&key).map_or(0, |read| read.next) + n as i64;
    state.taken.push_back((next, Said::Lines(lines)));
    drop(state);
    chair.take(Advance::of(outcome).read(key, next, n))
}
