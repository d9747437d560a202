//! Names of streams and flows, valid by construction.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The name of a stream: Kafka's `[A-Za-z0-9._-]`, at most 249 bytes, not `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamName(Arc<str>);

/// The name of a flow: `[a-z0-9][a-z0-9-]*`, at most 100 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FlowId(Arc<str>);

impl StreamName {
    /// Checks and makes a stream name.
    ///
    /// # Errors
    ///
    /// The name has a character that no engine takes, or is too long or empty.
    pub fn new(name: &str) -> Result<Self> {
        let fine = !name.is_empty()
            && name.len() <= 249
            && name != "."
            && name != ".."
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if fine {
            return Ok(StreamName(name.into()));
        }
        Err(Error::usage(format!("`{name}` cannot be the name of a stream"))
            .help("a stream's name is letters, digits, `.`, `_` and `-`, at most 249 of them"))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FlowId {
    /// Checks and makes a flow name.
    ///
    /// # Errors
    ///
    /// The name has a character that no engine takes, or is too long or empty.
    pub fn new(name: &str) -> Result<Self> {
        let mut bytes = name.bytes();
        let head = bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if head && name.len() <= 100 && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Ok(FlowId(name.into()));
        }
        Err(Error::usage(format!("`{name}` cannot be the name of a flow"))
            .help("a flow's name is lower-case letters, digits and `-`, and begins with a letter or a digit"))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of a stream of our own that belongs to this flow: `anabranch.FLOW.NAME`. What is not a step of the flow
    /// or one of its streams is in [`OWN_NAMES`].
    ///
    /// # Errors
    ///
    /// The name would be too long.
    pub fn own(&self, name: &str) -> Result<StreamName> {
        StreamName::new(&format!("anabranch.{self}.{name}"))
    }
}

/// Names that an engine or a run uses for itself beside the streams of a flow, so none of those can have them.
pub const OWN_NAMES: [&str; 8] = ["crew", "dead", "held", "ledger", "logs", "manifest", "nowhere", "runs"];

macro_rules! text_like {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(name: String) -> Result<Self> {
                $name::new(&name)
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.to_string()
            }
        }
    };
}

text_like!(StreamName);
text_like!(FlowId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["photos-topic", "a", "x.y_z-9", "A"] {
            assert!(StreamName::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a b", "å", "a/b", &"x".repeat(250)] {
            assert!(StreamName::new(bad).is_err(), "{bad}");
        }
        for good in ["copier", "9-lives", "a"] {
            assert!(FlowId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a.b", "a_b"] {
            assert!(FlowId::new(bad).is_err(), "{bad}");
        }
    }
}
