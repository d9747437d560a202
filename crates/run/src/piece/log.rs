//! What the calls for an item wrote, as it is kept: an item of the stream `anabranch.FLOW.logs`.

use crate::world::CallLog;
use anabranch_engine::{Error, Item, Result, limits};
use serde::{Deserialize, Serialize};

/// The calls for an item, until it is settled.
#[derive(Debug, Clone, Default)]
pub struct Calls(Vec<(u32, CallLog)>);

impl Calls {
    /// One more call: of what all of them wrote the end is kept.
    pub fn add(&mut self, attempt: u32, log: CallLog) {
        self.0.push((attempt, log));
        if self.0.len() > limits::LOGGED_CALLS {
            self.0.remove(0);
        }
        let mut room = limits::LOG_BYTES;
        for (_, log) in self.0.iter_mut().rev() {
            for text in [&mut log.stderr, &mut log.stdout] {
                text.drain(..text.len().saturating_sub(room));
                room -= text.len();
            }
        }
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(_, log)| log.bytes() + std::mem::size_of::<CallLog>()).sum()
    }

    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As they are kept.
    pub fn logged(self) -> Vec<Logged> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let logged = |(attempt, log): (u32, CallLog)| Logged {
            attempt,
            began: log.began,
            seconds: log.took.as_secs_f64(),
            status: log.status,
            stderr: text(&log.stderr),
            stdout: text(&log.stdout),
        };
        self.0.into_iter().map(logged).collect()
    }
}

/// What the calls for an item wrote, and when they were made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ItemLog {
    /// The dead letter that the item became; none if it passed.
    pub letter: Option<String>,
    /// The step.
    pub step: String,
    /// The run.
    pub run: u64,
    /// The idempotency key of the calls.
    pub id: String,
    /// Where the item came from.
    pub place: String,
    /// Why it failed.
    pub error: Option<String>,
    /// The calls, in order.
    pub calls: Vec<Logged>,
}

/// A call, as it is kept. Bytes that are no UTF-8 are shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Logged {
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// When it began, milliseconds since 1970-01-01 UTC.
    pub began: i64,
    /// How long it took.
    pub seconds: f64,
    /// How the program ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The end of what it wrote to standard error.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stderr: String,
    /// The end of what it wrote to standard output, where that is no result.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stdout: String,
}

impl ItemLog {
    /// How long all calls took.
    pub fn seconds(&self) -> f64 {
        self.calls.iter().map(|c| c.seconds).sum()
    }

    /// What it is known by: its dead letter, or the key of its calls.
    pub fn name(&self) -> &str {
        self.letter.as_ref().unwrap_or(&self.id)
    }

    /// Bytes that its calls wrote.
    pub fn bytes(&self) -> usize {
        self.calls.iter().map(|c| c.stderr.len() + c.stdout.len()).sum()
    }

    /// As an item.
    ///
    /// # Errors
    ///
    /// It cannot be written as JSON.
    pub fn to_item(&self, timestamp: i64) -> Result<Item> {
        let json = serde_json::to_vec(self).map_err(|e| Error::bug(e.to_string()))?;
        Ok(Item { key: Some(self.name().to_string().into()), ..Item::of(json, timestamp) })
    }

    /// As it is read from its stream; none if it is no such item.
    pub fn read(item: &Item) -> Option<ItemLog> {
        serde_json::from_slice(item.value.as_deref()?).ok()
    }
}

/// Keeps a log among those whose calls took longest, the slowest first, if it is one of so many.
pub fn keep_slowest(slowest: &mut Vec<ItemLog>, log: ItemLog, most: usize) {
    let at = slowest.partition_point(|of| of.seconds() >= log.seconds());
    slowest.insert(at, log);
    slowest.truncate(most);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_all_calls_the_end_is_kept() {
        let mut calls = Calls::default();
        let log = |n: usize| CallLog { stderr: vec![b'e'; n], stdout: vec![b'o'; 10], ..CallLog::default() };
        for attempt in 1..=3 {
            calls.add(attempt, log(limits::LOG_BYTES / 2));
        }
        let kept: Vec<(usize, usize)> = calls.0.iter().map(|(_, l)| (l.stderr.len(), l.stdout.len())).collect();
        let half = limits::LOG_BYTES / 2;
        assert_eq!(kept, [(0, 0), (half - 10, 0), (half, 10)]);
        (4..300).for_each(|attempt| calls.add(attempt, log(1)));
        assert_eq!((calls.0.len(), calls.0[99].0), (limits::LOGGED_CALLS, 299));
        let (step, id, place) = ("s".into(), "id".into(), "place".into());
        let item = ItemLog { letter: None, step, run: 3, id, place, error: None, calls: calls.logged() };
        assert_eq!(ItemLog::read(&item.to_item(7).expect("an item")), Some(item));
    }
}
