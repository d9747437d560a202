//! What goes wrong with brokers: what passes by itself, and what does not.

use anabranch_engine::{Error, Kind};
use kafka_protocol::error::ResponseError;

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
