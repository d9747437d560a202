//! What is to be done with dead letters: decided once, when a repair opens, and kept beside the books of the batch.

use anabranch_engine::{Error, Item, Result};
use bytes::Bytes;
use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;

/// Places of letters: offsets by partition. It takes a bit for each letter, and less where they lie together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Places(BTreeMap<u32, RoaringTreemap>);

impl Places {
    /// Adds a place; false if it was there.
    pub fn add(&mut self, partition: u32, offset: i64) -> bool {
        self.0.entry(partition).or_default().insert(offset as u64)
    }

    /// Adds all places of another set.
    pub fn add_all(&mut self, other: &Places) {
        other.0.iter().for_each(|(p, of)| *self.0.entry(*p).or_default() |= of);
    }

    /// Whether a place is among them.
    pub fn has(&self, partition: u32, offset: i64) -> bool {
        self.0.get(&partition).is_some_and(|of| of.contains(offset as u64))
    }

    /// Whether one of these offsets is among them.
    pub fn any(&self, partition: u32, offsets: Range<i64>) -> bool {
        let Some(of) = self.0.get(&partition).filter(|_| offsets.start < offsets.end) else { return false };
        let before = |offset: i64| if offset > 0 { of.rank(offset as u64 - 1) } else { 0 };
        before(offsets.end) > before(offsets.start)
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.0.values().map(RoaringTreemap::len).sum()
    }
}

/// What is in the place of a letter's item, or of the answer of its step's action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revision {
    /// This value, instead of the item's.
    Value(Bytes),
    /// This result, if any: the work was done by hand.
    Answer(Option<Bytes>),
}

impl Revision {
    /// Its length.
    pub fn bytes(&self) -> usize {
        match self {
            Revision::Value(value) | Revision::Answer(Some(value)) => value.len(),
            Revision::Answer(None) => 0,
        }
    }
}

/// What is to be done with the letters of a batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Choices {
    /// They are tried again.
    pub retry: Places,
    /// They are given up.
    pub skip: Places,
    /// What is revised of those that are tried again.
    pub revised: BTreeMap<(u32, i64), Revision>,
}

/// Which part of the choices of a run an item has: its key.
#[derive(Serialize, Deserialize)]
struct Part {
    /// The repair.
    choices: u64,
    what: What,
    partition: u32,
    #[serde(default)]
    offset: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum What {
    Retry,
    Skip,
    Value,
    Answer,
    Done,
}

/// Offsets whose places are kept in one item: its bitmap has at most 64 KiB.
const SPAN: u64 = 1 << 19;

impl Choices {
    /// Whether a letter is chosen.
    pub fn has(&self, partition: u32, offset: i64) -> bool {
        self.retry.has(partition, offset) || self.skip.has(partition, offset)
    }

    /// Adds what was tried again in another run.
    pub fn add_tried(&mut self, other: &Choices) {
        self.retry.add_all(&other.retry);
        self.revised.extend(other.revised.iter().map(|(place, revision)| (*place, revision.clone())));
    }

    /// Bytes that the revisions keep in memory.
    pub fn revised_bytes(&self) -> usize {
        self.revised.values().map(Revision::bytes).sum()
    }

    /// The choices of a run as items.
    pub fn to_items(&self, run: u64, now: i64) -> Result<Vec<Item>> {
        let mut items = vec![];
        let mut item = |what, partition, offset, value: Option<Bytes>| {
            let key = serde_json::to_vec(&Part { choices: run, what, partition, offset })
                .map_err(|e| Error::bug(e.to_string()))?;
            items.push(Item { key: Some(key.into()), value, ..Item::of(Bytes::new(), now) });
            Ok::<(), Error>(())
        };
        for (what, places) in [(What::Retry, &self.retry), (What::Skip, &self.skip)] {
            for (partition, of) in &places.0 {
                let mut spans: BTreeMap<u64, RoaringTreemap> = BTreeMap::new();
                for offset in of {
                    spans.entry(offset / SPAN).or_default().insert(offset);
                }
                for (span, places) in spans {
                    let mut bytes = vec![];
                    places.serialize_into(&mut bytes).map_err(|e| Error::bug(e.to_string()))?;
                    item(what, *partition, (span * SPAN) as i64, Some(bytes.into()))?;
                }
            }
        }
        for ((partition, offset), revision) in &self.revised {
            let (what, value) = match revision {
                Revision::Value(value) => (What::Value, Some(value.clone())),
                Revision::Answer(Some(result)) => (What::Answer, Some(result.clone())),
                Revision::Answer(None) => (What::Done, None),
            };
            item(what, *partition, *offset, value)?;
        }
        Ok(items)
    }

    /// Takes an item into the choices, if it is one of them and of this run. False if it is something else.
    pub fn take(&mut self, run: u64, item: &Item) -> Result<bool> {
        let Some((part, value)) = part_of(item).filter(|(part, _)| part.choices == run) else { return Ok(false) };
        let places = match part.what {
            What::Retry => &mut self.retry,
            What::Skip => &mut self.skip,
            What::Value | What::Answer | What::Done => {
                let revision = match part.what {
                    What::Value => Revision::Value(value),
                    What::Answer => Revision::Answer(Some(value)),
                    _ => Revision::Answer(None),
                };
                self.revised.insert((part.partition, part.offset), revision);
                return Ok(true);
            }
        };
        let broken = |e| Error::corrupt(format!("the choices of run {run} cannot be read: {e}"));
        let of = RoaringTreemap::deserialize_from(&value[..]).map_err(broken)?;
        *places.0.entry(part.partition).or_default() |= of;
        Ok(true)
    }
}

/// The run whose choices an item has a part of.
pub fn run_of(item: &Item) -> Option<u64> {
    part_of(item).map(|(part, _)| part.choices)
}

fn part_of(item: &Item) -> Option<(Part, Bytes)> {
    let part = serde_json::from_slice(item.key.as_deref()?).ok()?;
    Some((part, item.value.clone().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_come_back() {
        let mut choices = Choices::default();
        for offset in [0, 1, 7, SPAN as i64 - 1, SPAN as i64, 9 * SPAN as i64 + 3] {
            assert!(choices.retry.add(2, offset));
            assert!(!choices.retry.add(2, offset));
            choices.skip.add(0, offset + 2);
        }
        choices.revised.insert((2, 7), Revision::Value("x".into()));
        choices.revised.insert((2, 1), Revision::Answer(None));
        choices.revised.insert((2, 0), Revision::Answer(Some("".into())));
        let items = choices.to_items(3, 1).expect("items");
        assert_eq!(items.len(), 3 + 3 + 3);
        let mut read = Choices::default();
        for item in &items {
            assert_eq!(run_of(item), Some(3));
            assert!(!read.take(4, item).expect("reads"), "another run's");
            assert!(read.take(3, item).expect("reads"));
        }
        assert_eq!((read.retry.len(), &read), (6, &choices));
        assert!(!read.take(3, &Item { key: Some("7".into()), ..items[0].clone() }).expect("books"));
    }

    #[test]
    fn a_million_letters_that_lie_together_are_small() {
        let mut choices = Choices::default();
        for offset in (0..1_000_000).filter(|o| o % 3 > 0) {
            choices.retry.add(0, offset);
        }
        let items = choices.to_items(1, 1).expect("items");
        let bytes: usize = items.iter().filter_map(|i| i.value.as_ref()).map(Bytes::len).sum();
        assert!(bytes < 200_000 && items.iter().all(|i| i.value.as_ref().is_some_and(|v| v.len() < 70_000)), "{bytes}");
    }
}
