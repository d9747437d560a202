//! Standard input: logged as it is read, so that what was committed survives.

use super::chunk::{Carrier, Dead, Whence};
use super::marks;
use super::work::{Event, Work};
use crate::model::Lines;
use crate::patterns::{Body, Origin, Part};
use crate::plan::{How, Node, name};
use anabranch_engine::{Builder, Codec, Error, Item, Next, Result, limits};
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::mpsc::{Sender, SyncSender, sync_channel};

/// Begins to read standard input, if the flow reads it and it has not ended.
pub fn begin(run: &mut Work<'_>, events: &Sender<Event>) -> Result<()> {
    let shared = run.shared.clone();
    let roots = shared.plan.units.iter().flat_map(|u| &u.roots).filter(|r| r.how == How::Stdin);
    for root in roots {
        let done = marks::done(&name(&shared.flow, root.node));
        let Some(chair) = run.berths.get_mut(&0) else { continue };
        if chair.account.marks.contains_key(&done) {
            continue;
        }
        chair.pending.since.get_or_insert_with(std::time::Instant::now);
        if chair.account.marks.insert(marks::STDIN_BEGUN.into(), 1).is_some() {
            // a run that was resumed: the rest of the pipe went to the process that is gone
            chair.account.marks.insert(done, 1);
            chair.account.marks.insert(marks::STDIN_CUT.into(), 1);
            continue;
        }
        run.commit(0)?;
        let input = shared.world.stdin()?;
        let (events, stream) = (events.clone(), root.from);
        let (tokens, taken) = sync_channel(PORTIONS);
        run.portions.insert(stream, taken);
        let pump = move || pump(input, stream, &events, &tokens);
        let thread = std::thread::Builder::new().name("stdin".into()).spawn(pump);
        thread.map_err(|e| Error::machine(format!("cannot start a thread: {e}")))?;
    }
    Ok(())
}

/// Portions of lines that may wait for the loop.
const PORTIONS: usize = 4;

/// Lines of standard input in portions, until its end. A line that is too long is cut; what is behind the cut is skipped.
fn pump(input: Box<dyn Read + Send>, stream: usize, events: &Sender<Event>, tokens: &SyncSender<()>) {
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
                    if tokens.send(()).is_err()
                        || events.send(Event::Stdin(stream, Some(std::mem::take(&mut portion)))).is_err()
                    {
                        return;
                    }
                }
            }
            Err(e) => {
                let _ = events.send(Event::Fault(Error::machine(format!("standard input cannot be read: {e}"))));
                return;
            }
        }
    }
    if !portion.is_empty() && tokens.send(()).is_ok() {
        let _ = events.send(Event::Stdin(stream, Some(portion)));
    }
    let _ = events.send(Event::Stdin(stream, None));
}

/// Lines came, or the end.
pub fn take(run: &mut Work<'_>, stream: usize, lines: Option<Vec<Vec<u8>>>) -> Result<()> {
    let shared = run.shared.clone();
    let node = name(&shared.flow, Node::Source(stream));
    let Some(chair) = run.berths.get_mut(&0) else { return Ok(()) };
    let Some(lines) = lines else {
        chair.account.marks.insert(marks::done(&node), 1);
        chair.pending.since.get_or_insert_with(std::time::Instant::now);
        return Ok(());
    };
    if let Some(taken) = run.portions.get(&stream) {
        let _ = taken.try_recv();
    }
    let mut carrier = Carrier::new(&shared);
    let mut batch = Builder::new(Codec::None);
    let (mut n, mut too_long) = (0, 0);
    for mut line in lines {
        line.pop_if(|b| *b == b'\n');
        line.pop_if(|b| *b == b'\r');
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
            batch.push(shared.started(), None, Some(&line), &[]);
        }
    }
    if n > 0 {
        let key = (node.clone(), shared.flow.streams[stream].at.clone(), 0);
        let read = chair.account.read.entry(key).or_default();
        *read = Next { next: read.next + n as i64, items: read.items + n };
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
