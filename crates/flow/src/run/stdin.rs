//! Standard input: logged as it is read, so that what was committed survives.

use super::chunk::{Carrier, Dead, Whence};
use super::marks;
use super::work::{Event, Work};
use crate::model::Lines;
use crate::patterns::{Body, Origin, Part};
use crate::plan::{How, Node, name};
use anabranch_engine::account::Reader;
use anabranch_engine::{Builder, Codec, Error, Item, Next, Result, limits};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
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
    to: Option<(Sender<Event>, usize)>,
}

enum Said {
    Lines(Vec<Vec<u8>>),
    End,
    Fault(Error),
}

impl Pipe {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something behind the rest, once there is room.
    fn say(&self, said: Said) {
        let state = self.room.wait_while(self.state(), |state| state.waiting.len() >= PORTIONS);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        state.waiting.push_back(said);
        if let Some((to, stream)) = &state.to {
            let _ = to.send(Event::Stdin(*stream)); // a loop that has ended: the next one looks itself
        }
    }

    /// Goes on in a new loop, behind what is committed.
    fn go_on(&self, committed: i64, events: &Sender<Event>, stream: usize) {
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

/// Begins to read standard input, if the flow reads it and it has not ended, or goes on with it.
pub fn begin(run: &mut Work<'_>, events: &Sender<Event>) -> Result<()> {
    let shared = run.shared.clone();
    let roots = shared.plan.units.iter().flat_map(|u| &u.roots).filter(|r| r.how == How::Stdin);
    for root in roots {
        let node = name(&shared.flow, root.node);
        let Some(chair) = run.berths.get_mut(&0) else { continue };
        let ours = run.pipe.state().begun;
        if chair.account.marks.contains_key(&marks::done(&node)) {
            if !ours {
                run.options
                    .note("standard input is not read: the run that goes on had its own; run again for this one");
            }
            continue;
        }
        chair.pending.since.get_or_insert_with(std::time::Instant::now);
        if chair.account.marks.insert(marks::STDIN_BEGUN.into(), 1).is_some() && !ours {
            // a run that was resumed: the rest of the pipe went to the process that is gone
            chair.account.marks.insert(marks::done(&node), 1);
            chair.account.marks.insert(marks::STDIN_CUT.into(), 1);
            continue;
        }
        let key = shared.reader(root, 0);
        let committed = chair.settled().read.get(&key).map_or(0, |read| read.next);
        run.commit(0)?;
        run.pipe.go_on(committed, events, root.from);
        if !std::mem::replace(&mut run.pipe.state().begun, true) {
            let (input, pipe) = (shared.world.stdin()?, run.pipe.clone());
            let thread = std::thread::Builder::new().name("stdin".into()).spawn(move || pump(input, &pipe));
            thread.map_err(|e| Error::machine(format!("cannot start a thread: {e}")))?;
        }
    }
    Ok(())
}

/// Portions of lines that may wait for the loop.
const PORTIONS: usize = 4;

/// Lines of standard input in portions, until its end. A line that is too long is cut; what is behind the cut is skipped.
fn pump(input: Box<dyn Read + Send>, pipe: &Pipe) {
    let mut reader = BufReader::with_capacity(limits::BATCH_TARGET_BYTES, input);
    let mut portion: Vec<Vec<u8>> = vec![];
    let mut bytes = 0;
    loop {
        let mut line = vec![];
        let read = reader.by_ref().take(limits::ITEM_BYTES as u64 + 2).read_until(b'\n', &mut line);
        let skipped = match &read {
            Ok(n) if *n > limits::ITEM_BYTES && line.last() != Some(&b'\n') => reader.skip_until(b'\n').map(drop),
            _ => Ok(()),
        };
        match read.and_then(|n| skipped.map(|()| n)) {
            Ok(0) => break,
            Ok(n) => {
                bytes += n;
                portion.push(line);
                if bytes >= limits::BATCH_TARGET_BYTES || reader.buffer().is_empty() {
                    bytes = 0;
                    pipe.say(Said::Lines(std::mem::take(&mut portion)));
                }
            }
            Err(e) => return pipe.say(Said::Fault(Error::machine(format!("standard input cannot be read: {e}")))),
        }
    }
    if !portion.is_empty() {
        pipe.say(Said::Lines(portion));
    }
    pipe.say(Said::End);
}

/// Lines came, or the end.
pub fn take(run: &mut Work<'_>, stream: usize) -> Result<()> {
    let shared = run.shared.clone();
    let node = name(&shared.flow, Node::Source(stream));
    let (taken, at) = (shared.flow.streams[stream].name.clone(), shared.flow.streams[stream].at.clone());
    let key = Reader { step: node.clone(), taken, stream: at, partition: 0 };
    let pipe = run.pipe.clone();
    let Some(chair) = run.berths.get_mut(&0) else { return Ok(()) };
    let mut state = pipe.state();
    let committed = chair.settled().read.get(&key).map_or(0, |read| read.next);
    state.taken.retain(|(behind, _)| *behind > committed);
    let Some(said) = state.waiting.pop_front() else { return Ok(()) };
    pipe.room.notify_one();
    let lines = match said {
        Said::Lines(lines) => lines,
        Said::End => {
            state.taken.push_back((i64::MAX, Said::End));
            chair.account.marks.insert(marks::done(&node), 1);
            chair.pending.since.get_or_insert_with(std::time::Instant::now);
            return Ok(());
        }
        Said::Fault(e) => return Err(e),
    };
    let mut carrier = Carrier::new(&shared);
    let mut batch = Builder::new(Codec::None);
    let (mut n, mut too_long) = (0, 0);
    for line in &lines {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let json = shared.flow.streams[stream].source.as_ref().is_some_and(|s| s.lines == Lines::Json);
        if json && line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        n += 1;
        if line.len() > limits::ITEM_BYTES {
            too_long += 1;
            let item = Item::of(line[..limits::OVERSIZE_KEPT_BYTES].to_vec(), shared.started());
            let place = format!("{}/{node}/r{}/stdin", shared.flow.name, shared.number);
            let error = format!("the line has more than {} bytes", limits::ITEM_BYTES);
            carrier.out.dead.push(Dead { step: node.clone(), error, attempts: 1, whence: Whence::at(place), item });
        } else {
            batch.push(shared.started(), None, Some(line), &[]);
        }
    }
    let read = chair.account.read.entry(key).or_default();
    *read = Next { next: read.next + n as i64, items: read.items + n };
    state.taken.push_back((read.next, Said::Lines(lines)));
    drop(state);
    if n > 0 {
        let tally = carrier.out.tally(&node);
        *tally.took.entry(shared.flow.streams[stream].name.clone()).or_default() += n;
        tally.passed += n - too_long;
        tally.dead += too_long;
    }
    if let Some(batch) = batch.finish() {
        let origin = Origin::File {
            stream: shared.flow.streams[stream].name.as_str().into(),
            path: "stdin".into(),
            at: Arc::default(),
        };
        carrier.emit(&node, stream, &Part { body: Body::Ready(batch), rows: None, origin, partition: 0 })?;
    }
    chair.pending.add(&mut chair.account, carrier.out)
}
