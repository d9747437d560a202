//! What the workload says of itself outside the data directory: what it is about
//! to do, and what it was told is done. The notes are plain writes, so each has
//! its place in the trace.

use std::fmt;

/// What a note is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// The streams are made.
    Streams,
    /// The commit of that number.
    Commit,
    /// That many appends from outside the flow.
    Append,
    /// The outside stream is cut before that offset.
    Trim,
}

const TOPICS: [(Topic, &str); 4] =
    [(Topic::Streams, "streams"), (Topic::Commit, "commit"), (Topic::Append, "append"), (Topic::Trim, "trim")];

/// One note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note {
    /// Whether it is done and was acknowledged, or only tried.
    pub done: bool,
    /// What it is about.
    pub topic: Topic,
    /// Which one.
    pub n: u64,
}

impl Note {
    /// Reads a note as [`fmt::Display`] writes it.
    pub fn parse(text: &str) -> Option<Note> {
        let mut words = text.split_whitespace();
        let done = match words.next()? {
            "did" => true,
            "try" => false,
            _ => return None,
        };
        let topic = words.next()?;
        let (topic, _) = *TOPICS.iter().find(|(_, name)| *name == topic)?;
        Some(Note { done, topic, n: words.next()?.parse().ok()? })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topic = TOPICS.iter().find(|(t, _)| *t == self.topic).map_or("", |(_, name)| name);
        write!(f, "{} {topic} {}", if self.done { "did" } else { "try" }, self.n)
    }
}

/// What was tried and what was acknowledged up to some point of the trace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Known {
    did: [u64; TOPICS.len()],
    tried: [u64; TOPICS.len()],
}

impl Known {
    /// Takes in another note.
    pub fn hear(&mut self, note: Note) {
        let counts = if note.done { &mut self.did } else { &mut self.tried };
        let count = &mut counts[note.topic as usize];
        *count = note.n.max(*count);
    }

    /// The last one that was acknowledged: it must be there.
    pub fn did(&self, topic: Topic) -> u64 {
        self.did[topic as usize]
    }

    /// The last one that was tried: nothing later may be there.
    pub fn tried(&self, topic: Topic) -> u64 {
        self.tried[topic as usize]
    }

    /// How many were tried and not acknowledged.
    pub fn under_way(&self, topic: Topic) -> u64 {
        self.tried(topic).saturating_sub(self.did(topic))
    }

    /// Whether this one may be found after a power cut.
    pub fn allows(&self, topic: Topic, n: u64) -> bool {
        (self.did(topic)..=self.tried(topic)).contains(&n)
    }
}
