//! Rights as Kafka's ACLs name them: what was refused, and the line that grants it.

use crate::net::config::Config;
use crate::net::trouble::{self, Trouble};
use anabranch_engine::Error;
use kafka_protocol::error::ResponseError;
use std::collections::BTreeSet;

/// What is done to something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Items, and offsets of a group.
    Read,
    /// Items, and transactions.
    Write,
    /// Makes a topic.
    Create,
    /// Deletes a topic, or cuts it.
    Delete,
    /// Sees that it is there. Who may read or write it may that, too.
    Describe,
    /// Sees the settings of a topic.
    DescribeConfigs,
    /// Appends without a transaction. Who may write any topic may that, too.
    IdempotentWrite,
}

/// To what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource<'a> {
    /// A topic.
    Topic(&'a str),
    /// A consumer group.
    Group(&'a str),
    /// A transactional id.
    Transaction(&'a str),
    /// The cluster itself.
    Cluster,
}

/// A right that something needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right<'a>(pub Operation, pub Resource<'a>);

impl<'a> Resource<'a> {
    /// The code with which brokers refuse it.
    pub fn code(self) -> i16 {
        match self {
            Resource::Topic(_) => ResponseError::TopicAuthorizationFailed.code(),
            Resource::Group(_) => ResponseError::GroupAuthorizationFailed.code(),
            Resource::Transaction(_) => ResponseError::TransactionalIdAuthorizationFailed.code(),
            Resource::Cluster => ResponseError::ClusterAuthorizationFailed.code(),
        }
    }

    /// What one grants: of what a flow keeps for itself, all at once.
    pub fn pattern(self) -> (Resource<'a>, bool) {
        match self {
            Resource::Topic(name) => own(name).map_or((self, false), |all| (Resource::Topic(all), true)),
            Resource::Group(name) => own(name).map_or((self, false), |all| (Resource::Group(all), true)),
            Resource::Transaction(id) => own(id).map_or((self, false), |all| (Resource::Transaction(all), true)),
            Resource::Cluster => (self, false),
        }
    }
}

/// Of `anabranch.FLOW.NAME` what stands before the name.
fn own(name: &str) -> Option<&str> {
    let flow = name.strip_prefix("anabranch.")?;
    let end = flow.find('.')?;
    name.get(..name.len() - flow.len() + end + 1)
}

/// The answer's code as a result: what was refused is named with the right it takes.
pub fn check(config: &Config, code: i16, what: &str, needs: &[Right]) -> Result<(), Trouble> {
    match needs.iter().find(|right| right.1.code() == code) {
        Some(Right(operation, resource)) => {
            let refused = refused(config, *resource, &[*operation].into());
            Err(Trouble::Fatal(Error { text: format!("{what}: {}", refused.text), ..refused }))
        }
        None => trouble::check(code, what),
    }
}

/// The user lacks these rights.
pub fn refused(config: &Config, on: Resource, operations: &BTreeSet<Operation>) -> Error {
    let (pattern, prefixed) = on.pattern();
    let all = |s: &str| if prefixed { format!("s {s}…") } else { format!(" {s}") };
    let (named, option) = match pattern {
        Resource::Topic(name) => (format!("the topic{}", all(name)), format!("--topic {}", quoted(name))),
        Resource::Group(name) => (format!("the group{}", all(name)), format!("--group {}", quoted(name))),
        Resource::Transaction(id) => {
            (format!("the transactional id{}", all(id)), format!("--transactional-id {}", quoted(id)))
        }
        Resource::Cluster => ("the cluster".to_string(), "--cluster".to_string()),
    };
    let words: Vec<String> = operations.iter().map(|o| format!("{o:?}")).collect();
    let user = config.user();
    let text = format!("User:{user} has no right {} on {named}", words.join(", "));
    let admin = if config.tls.is_some() || config.login.is_some() { " --command-config ADMIN.properties" } else { "" };
    let operations: String = words.iter().map(|w| format!(" --operation {w}")).collect();
    let kind = if prefixed { " --resource-pattern-type prefixed" } else { "" };
    let principal = quoted(&format!("User:{user}"));
    Error::usage(text).help(format!(
        "grant it:  kafka-acls --bootstrap-server {}{admin} --add --allow-principal {principal}{operations} {option}{kind}",
        config.brokers.join(",")
    ))
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-:".contains(c);
    if word.chars().all(plain) { word.to_string() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: i16, needs: &[Right]) -> String {
        let config = Config::plain("a:1");
        check(&config, code, "doing it", needs).err().map(|t| t.error().to_string()).unwrap_or_default()
    }

    #[test]
    fn what_was_refused_is_named_with_the_line_that_grants_it() {
        let needs = [
            Right(Operation::Write, Resource::Topic("in")),
            Right(Operation::Write, Resource::Transaction("anabranch.f.0")),
        ];
        assert_eq!(
            said(29, &needs),
            "doing it: User:ANONYMOUS has no right Write on the topic in\n  = grant it:  kafka-acls --bootstrap-server a:1 \
             --add --allow-principal User:ANONYMOUS --operation Write --topic in"
        );
        assert!(said(53, &needs).ends_with("--transactional-id anabranch.f. --resource-pattern-type prefixed"));
        assert!(said(30, &needs).contains("does not allow it"));
        assert_eq!(said(0, &needs), "");
    }

    #[test]
    fn what_a_flow_keeps_is_granted_at_once() {
        assert_eq!(own("anabranch.f.ledger"), Some("anabranch.f."));
        assert_eq!(own("anabranch.owners"), None);
        assert_eq!(own("in.anabranch.f.x"), None);
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
