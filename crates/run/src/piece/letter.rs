//! Dead letters: items that failed, with the story of their failure in headers. They are written and read here alone.

use crate::context::choices::Revision;
use crate::context::{RunContext, TriedAgain};
use crate::piece::log::ItemLog;
use anabranch_engine::{Handle, Item, LaneNo, Result, StreamName, limits};
use anabranch_flow::patterns::{Origin, Part};
use anabranch_flow::plan::{Node, Root};
use bytes::Bytes;
use std::fmt::Display;
use std::sync::Arc;

/// The headers of a dead letter all begin so.
const OURS: &str = "anabranch.";
/// What a header takes beside its name and value, at most.
const HEADER_BYTES: usize = 12;
/// What a batch takes beside its one item, at most.
const BATCH_HEAD_BYTES: usize = 128;

/// Why an item failed, and where it came from.
#[derive(Debug, Clone)]
pub struct Reason {
    /// Why.
    pub error: String,
    /// After so many attempts.
    pub attempts: u32,
    /// Where the item came from.
    pub place: String,
    /// How its step took it; nothing where it cannot be tried again.
    pub taken: Option<Taken>,
}

/// How a step took an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// From which stream.
    pub of: String,
    /// In which partition.
    pub partition: u32,
    /// The nearest logged place above it: stream, partition, offset.
    pub above: (String, u32, i64),
}

impl Reason {
    /// A row of a part that a step took from the stream `of` failed.
    pub fn of(part: &Part, row: usize, delta: u32, of: &str, error: String) -> Reason {
        let above = part.above(row, delta);
        let above = (above.0.to_string(), above.1, above.2);
        let taken = Taken { of: of.to_string(), partition: part.partition, above };
        Reason { error, attempts: 1, place: part.place(row, delta), taken: Some(taken) }
    }

    /// Something failed that cannot be tried again.
    pub fn at(place: String, error: String) -> Reason {
        Reason { error, attempts: 1, place, taken: None }
    }
}

/// An item that failed.
#[derive(Debug, Clone)]
pub struct Failed {
    /// The step where it failed.
    pub step: String,
    /// Why, and where it came from.
    pub reason: Reason,
    /// The item as the step got it.
    pub item: Item,
    /// What the calls for it wrote; kept beside it.
    pub log: Option<Box<ItemLog>>,
}

/// An item that failed, as it is kept.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// Names it in its flow: the run, the lane if it is not 0, and a number.
    pub id: String,
    /// The run in which it failed.
    pub run: u64,
    /// What failed.
    pub failed: Failed,
    /// What was cut off the item, if its stream did not take it whole.
    pub cut: Option<String>,
}

impl DeadLetter {
    /// The letter of an item, with its number in the lane.
    pub fn new(run: u64, lane: LaneNo, number: u64, failed: Failed) -> DeadLetter {
        let id = if lane == 0 { format!("{run}-{number:04}") } else { format!("{run}-{lane}.{number:04}") };
        DeadLetter { id, run, failed, cut: None }
    }

    /// A letter as it is read from its stream.
    pub fn read(mut item: Item) -> DeadLetter {
        let told = |name: &str| item.header(&format!("{OURS}{name}")).map(|v| String::from_utf8_lossy(v).into_owned());
        let text = |name: &str| told(name).unwrap_or_default();
        let of_text = |above: &str| {
            let mut words = above.rsplitn(3, '/');
            let offset = words.next().and_then(|w| w.parse().ok()).unwrap_or(0);
            let partition = words.next().and_then(|w| w.parse().ok()).unwrap_or(0);
            (words.next().unwrap_or_default().to_string(), partition, offset)
        };
        let taken = told("of").map(|of| Taken {
            of,
            partition: text("partition").parse().unwrap_or(0),
            above: of_text(&text("above")),
        });
        let (id, run, cut) = (text("id"), text("run").parse().unwrap_or(0), told("cut"));
        let (step, error, place) = (text("step"), text("error"), text("place"));
        let attempts = text("attempts").parse().unwrap_or(0);
        item.headers.retain(|(name, _)| !name.starts_with(OURS));
        DeadLetter {
            id,
            run,
            cut,
            failed: Failed { step, reason: Reason { error, attempts, place, taken }, item, log: None },
        }
    }

    /// The letter as an item that its stream takes: of one that it would not take whole the story and the beginning of
    /// the item stay.
    ///
    /// # Errors
    ///
    /// What `largest` gives, which is asked only where it matters.
    pub fn to_item(self, stream: &StreamName, largest: impl FnOnce() -> Result<usize>) -> Result<Item> {
        let mut letter = self.whole();
        if size(&letter) <= limits::LETTER_BYTES || size(&letter) <= largest()? {
            return Ok(letter);
        }
        let (bytes, kept) = (size(&letter), limits::OVERSIZE_KEPT_BYTES);
        letter.value = letter.value.map(|v| v.slice(..v.len().min(kept)));
        letter.key = letter.key.map(|k| k.slice(..k.len().min(kept)));
        letter.headers.retain(|(name, _)| name.starts_with(OURS));
        let cut = format!("of {bytes} bytes the first {kept} of the value are kept: more is not taken by {stream}");
        letter.headers.push((format!("{OURS}cut"), Some(cut.into())));
        Ok(letter)
    }

    fn whole(self) -> Item {
        let Failed { step, reason, mut item, .. } = self.failed;
        let mut header = |name: &str, value: &dyn Display| {
            item.headers.push((format!("{OURS}{name}"), Some(value.to_string().into())))
        };
        header("id", &self.id);
        header("step", &step);
        header("error", &short(reason.error));
        header("attempts", &reason.attempts);
        header("place", &reason.place);
        if let Some(Taken { of, partition, above }) = reason.taken {
            header("of", &of);
            header("partition", &partition);
            header("above", &format!("{}/{}/{}", above.0, above.1, above.2));
        }
        header("run", &self.run);
        item
    }

    /// The item as its step got it, or as it was revised, to be tried again.
    fn part(self, context: &RunContext, revision: Option<&Revision>) -> Result<Option<Part>> {
        let Failed { step, reason, mut item, .. } = self.failed;
        let mut answer = None;
        match revision {
            Some(Revision::Value(value)) => item.value = Some(value.clone()),
            Some(Revision::Answer(result)) => answer = Some(result.clone()),
            None => {}
        }
        let own = format!("{}/{step}/", context.flow.name);
        let place = reason.place.strip_prefix(&own).unwrap_or(&reason.place).into();
        let Some(taken) = reason.taken else { return Ok(None) };
        let origin = Origin::Again { place, above: Arc::new(taken.above), answer };
        Part::of_one(&item, origin, taken.partition).map(Some)
    }
}

/// The dead letters in a batch that a root tries again: the position behind each, and the item as its step got it.
pub fn letters(
    context: &RunContext,
    again: &TriedAgain,
    root: &Root,
    handle: &Handle,
    span: std::ops::Range<i64>,
) -> Result<Vec<(i64, Part)>> {
    let Node::Step(s) = root.node else { return Ok(vec![]) };
    let (step, partition) = (&context.flow.steps[s].name, handle.at.partition);
    let of = &context.flow.streams[root.of].name;
    let choices = if root.taken == *of { &again.choices } else { &again.before };
    let mut out = vec![];
    if !choices.retry.any(partition, handle.at.offset..handle.end) {
        return Ok(out);
    }
    for record in handle.load()?.records()?.iter() {
        let offset = handle.at.offset + i64::from(record.delta());
        if !span.contains(&offset) || !choices.retry.has(partition, offset) {
            continue;
        }
        let letter = DeadLetter::read(record.to_item());
        let taken = letter.failed.reason.taken.as_ref();
        if letter.failed.step == *step && taken.is_some_and(|taken| taken.of == *of) {
            let revision = choices.revised.get(&(partition, offset));
            out.extend(letter.part(context, revision)?.map(|part| (offset + 1, part)));
        }
    }
    Ok(out)
}

/// An error may quote the item that it is about; the item is kept beside it.
fn short(mut error: String) -> String {
    let most = 2 * limits::ERROR_TEXT_BYTES; // an action's last words, and ours
    if error.len() > most {
        error.truncate(error.floor_char_boundary(most));
        error.push('…');
    }
    error
}

fn size(item: &Item) -> usize {
    let headers = item.headers.iter().map(|(n, v)| n.len() + v.as_ref().map_or(0, Bytes::len) + HEADER_BYTES);
    let (key, value) = (item.key.as_ref().map_or(0, Bytes::len), item.value.as_ref().map_or(0, Bytes::len));
    key + value + headers.sum::<usize>() + BATCH_HEAD_BYTES
}
