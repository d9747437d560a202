//! The aggregates of a reduce, by name: how many values each takes.

use std::ops::RangeInclusive;

/// The aggregates, and how many values they take.
const ALL: [(&str, RangeInclusive<usize>); 8] = [
    ("count", 0..=1),
    ("sum", 1..=1),
    ("avg", 1..=2),
    ("min", 1..=1),
    ("max", 1..=1),
    ("first", 1..=1),
    ("last", 1..=1),
    ("collect", 1..=1),
];

/// Aggregates of the language that this version does not have yet.
const LATER: [&str; 4] = ["histogram", "top", "distinct", "count_distinct"];

/// Whether a function is an aggregate.
pub fn is_one(name: &str) -> bool {
    takes(name).is_some() || LATER.contains(&name)
}

fn takes(name: &str) -> Option<&'static RangeInclusive<usize>> {
    ALL.iter().find(|(n, _)| *n == name).map(|(_, takes)| takes)
}

/// Checks a call of an aggregate.
pub fn check(name: &str, args: usize) -> Result<(), String> {
    match takes(name) {
        Some(takes) if takes.contains(&args) => Ok(()),
        Some(takes) if takes.start() == takes.end() => Err(format!("`{name}` takes one value, {args} are given")),
        Some(takes) => Err(format!("`{name}` takes {} or {} values, {args} are given", takes.start(), takes.end())),
        None => Err(format!("`{name}` is not in this version; known aggregates: {}", all())),
    }
}

/// The aggregates there are, for messages.
pub fn all() -> String {
    ALL.each_ref().map(|(name, _)| *name).join(", ")
}
