//! What goes wrong with brokers: what passes by itself, and what does not.

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
            Error::new(Kind::Busy, format!("{what}: consumers are at work in this group"))
                .help("stop them, or let the step read as another  group"),
        ),
        UnknownTopicOrPartition => Trouble::Again(Error::usage(format!("{what}: there is no such topic or partition"))),
        InvalidReplicationFactor => Trouble::Fatal(
            Error::usage(format!("{what}: the replication factor is larger than the number of brokers"))
                .help("say a smaller  replication-factor"),
        ),
        InvalidTopicException | InvalidPartitions | InvalidConfig | PolicyViolation => {
            Trouble::Fatal(Error::usage(format!("{what}: the broker refuses it ({error})")))
        }
        OffsetOutOfRange => Trouble::Fatal(Error::new(Kind::Lost, format!("{what}: these offsets are gone"))),
        MessageTooLarge | RecordListTooLarge => Trouble::Fatal(
            Error::machine(format!("{what}: an item is larger than the topic takes"))
                .help("raise  max.message.bytes  of the topic, and run again"),
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

/// How long trouble that passes is borne before it is told.
pub const BEAR: Duration = Duration::from_secs(30);

/// Tries until it goes well, the trouble is one that stays, or it lasts too long.
pub fn patiently<T>(mut attempt: impl FnMut() -> Result<T, Trouble>) -> Result<T, Error> {
    let until = Instant::now() + BEAR;
    let mut pause = Duration::from_millis(5);
    loop {
        match attempt() {
            Ok(done) => return Ok(done),
            Err(Trouble::Fatal(e)) => return Err(e),
            Err(Trouble::Again(e)) if Instant::now() >= until => return Err(e),
            Err(Trouble::Again(_)) => {
                std::thread::park_timeout(pause);
                pause = (pause * 2).min(Duration::from_millis(250));
            }
        }
    }
}
