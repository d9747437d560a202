//! What goes wrong with brokers: what passes by itself, and what does not.

use crate::cluster::Cluster;
use anabranch_engine::{Error, Kind};
use kafka_protocol::error::ResponseError;
use std::time::{Duration, Instant};

/// Why a request did not do what it should.
#[derive(Debug)]
pub enum Trouble {
    /// It may go well if it is tried again.
    Again(Error),
    /// It will not.
    Fatal(Error),
}

impl Trouble {
    /// Trouble that passes.
    pub fn again(text: impl Into<String>) -> Trouble {
        Trouble::Again(Error::machine(text))
    }

    /// The error as people see it.
    pub fn error(self) -> Error {
        match self {
            Trouble::Again(e) | Trouble::Fatal(e) => e,
        }
    }
}

/// What a broker's code means for `what` was asked; `None` = it went well.
pub fn judge(code: i16, what: &str) -> Option<Trouble> {
    use ResponseError::*;
    let error = ResponseError::try_from_code(code)?;
    let said = |text: String| Error::machine(text);
    Some(match error {
        TopicAuthorizationFailed
        | GroupAuthorizationFailed
        | ClusterAuthorizationFailed
        | TransactionalIdAuthorizationFailed => Trouble::Fatal(
            Error::usage(format!("{what}: the broker does not allow it ({error})"))
                .help("this user needs more rights:  anabranch check --kafka HOST:PORT FLOW  names them"),
        ),
        UnknownMemberId | IllegalGeneration | RebalanceInProgress => Trouble::Fatal(
            Error::new(Kind::Busy, format!("{what}: consumers are active in this group"))
                .help("stop them, or let the step read as another  group"),
        ),
        UnknownTopicOrPartition => Trouble::Again(Error::usage(format!("{what}: there is no such topic or partition"))),
        // a broker that was not heard of yet may be on its way: it is a mistake only if that stays so
        InvalidReplicationFactor => Trouble::Again(
            Error::usage(format!("{what}: the replication factor is larger than the number of brokers"))
                .help("use a smaller  replication-factor"),
        ),
        InvalidTopicException | InvalidPartitions | InvalidConfig | PolicyViolation => {
            Trouble::Fatal(Error::usage(format!("{what}: the broker refuses it ({error})")))
        }
        OffsetOutOfRange => Trouble::Fatal(Error::new(Kind::Lost, format!("{what}: these offsets are gone"))),
        MessageTooLarge | RecordListTooLarge => Trouble::Fatal(
            Error::new(Kind::Refused, format!("{what}: an item is larger than the topic takes"))
                .help("raise  max.message.bytes  of the topic, and run again"),
        ),
        InvalidTimestamp => Trouble::Fatal(
            Error::new(Kind::Refused, format!("{what}: the topic takes no items of that time"))
                .help("is the clock of this machine right? If so, raise  message.timestamp.after.max.ms  or  message.timestamp.before.max.ms  of the topic, and run again"),
        ),
        InvalidRecord => Trouble::Fatal(
            Error::new(Kind::Refused, format!("{what}: the topic does not take such items"))
                .help("a compacted topic takes only items that have a key"),
        ),
        // the table of the crate has this one as final: the markers of the last transaction are still being written
        ConcurrentTransactions => Trouble::Again(said(format!("{what}: {error}"))),
        error if error.is_retriable() => Trouble::Again(said(format!("{what}: {error}"))),
        error => Trouble::Fatal(said(format!("{what}: the broker answers {error}"))),
    })
}

/// The answer's code as a result.
pub fn check(code: i16, what: &str) -> Result<(), Trouble> {
    judge(code, what).map_or(Ok(()), Err)
}

/// How long trouble that passes is waited for. It is less where most probably nothing will change.
fn longest(e: &Error) -> Duration {
    Duration::from_secs(if e.kind == Kind::Usage { 30 } else { 120 })
}

/// Trouble that lasts for so long is told.
const TELL_AFTER: Duration = Duration::from_secs(5);

/// How long trouble is waited for.
pub struct Patience {
    since: Instant,
    pause: Duration,
}

impl Patience {
    /// None so far; pauses begin with this one.
    pub fn new(pause: Duration) -> Patience {
        Patience { since: Instant::now(), pause }
    }

    /// Waits a little, before it is tried again; pauses grow up to `longest`.
    pub fn pause(&mut self, longest: Duration) {
        std::thread::park_timeout(self.pause);
        self.pause = (self.pause * 2).min(longest);
    }

    /// Whether it has lasted too long.
    pub fn is_over(&self, e: &Error) -> bool {
        self.since.elapsed() >= longest(e)
    }

    /// Whether it is time to tell of it.
    pub fn is_long(&self) -> bool {
        self.since.elapsed() >= TELL_AFTER
    }
}

impl Cluster {
    /// Tries until it goes well, the trouble is one that stays, or it lasts too long.
    pub fn patiently<T>(&self, mut attempt: impl FnMut() -> Result<T, Trouble>) -> Result<T, Error> {
        let mut patience = Patience::new(Duration::from_millis(5));
        loop {
            match attempt() {
                Ok(done) => return Ok(done),
                Err(Trouble::Fatal(e)) => return Err(e),
                Err(Trouble::Again(e)) if patience.is_over(&e) => return Err(e),
                Err(Trouble::Again(e)) => {
                    self.told(&patience, &e);
                    patience.pause(Duration::from_millis(250));
                }
            }
        }
    }

    /// Tells of trouble that lasts; many may meet the same one.
    pub fn told(&self, patience: &Patience, e: &Error) {
        if patience.is_long() {
            self.tell(&format!("{}; retrying", e.text));
        }
    }
}
