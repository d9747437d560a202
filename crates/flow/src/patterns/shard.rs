//! Shard: one key, one shard.
//!
//! The partitions of one stream are those that Kafka's default partitioner picks
//! (murmur2). Numbered streams use another hash (xxh3), so that the items of one
//! of them still spread over all its partitions.

use super::{Effects, Kind, Pattern, Scratch, Verb, View};
use crate::diagnostic::Diagnostic;
use crate::expr::{Compiled, Fault, Reads, Scope, Value, json, write};
use crate::read::compile::expression;
use crate::read::keys::{Faults, Keys, text};
use crate::read::ports::{Otherwise, Ports};
use crate::read::{Name, Reading};
use crate::spec::{Is, Key, Spec};
use crate::tree::{self, Node};
use anabranch_engine::{Rows, limits, partition};

/// The verb.
pub const VERB: Verb = Verb {
    spec: Spec {
        name: "shard",
        doc: "Sends all items of one key to one shard: a stream of its own, or a partition of one stream.",
        many: false,
        keys: &[
            Key::new("by", Is::Expression, "The key. An item whose key is null fails.", "by: item.user").needed(),
            Key::new("shards", Is::Shards, "How many shards, by hash; or a list of values, one for each shard.", "shards: 4")
                .needed(),
            Key::new(
                "to",
                Is::Stream,
                "`'x-{shard}'` is a stream for each shard; any other name is one stream, whose partitions are the shards.",
                "to: 'x-{shard}'  (a stream per shard) or  to: x  (the partitions of one stream)",
            )
            .needed(),
            Key::new(
                "otherwise",
                Is::StreamOr(&["drop", "error"]),
                "Where an item goes whose key is not in the list. A list needs it.",
                "otherwise: error",
            ),
        ],
        example: "by-user: { shard: clicks, by: item.user, shards: 4, to: 'clicks-{shard}' }",
    },
    routes: true,
    fans_out: true,
    ports,
    read,
};

fn ports(keys: &mut Keys<'_>, _: &Name, ports: &mut Ports, faults: &mut Faults) {
    let shards = keys.node("shards");
    let mut labels: Vec<String> = vec![];
    match (shards, shards.and_then(number)) {
        (Some(Node { kind: tree::Kind::List(list), .. }), _) if !list.is_empty() => {
            labels = list.iter().filter_map(|n| text(n, "shards", faults)).map(str::to_string).collect();
        }
        (Some(_), Some(n)) => labels = (0..n).map(|i| i.to_string()).collect(),
        (Some(node), None) => {
            let what = "`shards` is a number of shards, or a list of values";
            faults.push(Diagnostic::error("shards", node.span, what));
        }
        (None, _) => keys.missing("shards", "shard", faults),
    }
    match keys.text("to", faults) {
        Some((to, span)) if to.contains("{shard}") => {
            let family: Vec<_> = labels.iter().map(|l| (l.clone(), to.replace("{shard}", l))).collect();
            ports.outputs.extend(family.iter().map(|(_, n)| ((n.clone(), span), true)));
            ports.family = Some((to.to_string(), family));
        }
        Some((to, span)) => ports.outputs.push(((to.to_string(), span), true)),
        None => keys.missing("to", "shard", faults),
    }
    ports.rest(keys, "shard", faults);
    if shards.is_some_and(|n| matches!(&n.kind, tree::Kind::List(list) if !list.is_empty())) {
        ports.needs_rest(keys, "`shard` by a list of values needs `otherwise`", faults);
    }
}

fn number(node: &Node) -> Option<u32> {
    node.as_str().and_then(|t| t.parse::<u32>().ok()).filter(|n| (1..=limits::PARTITIONS).contains(n))
}

fn read(keys: &mut Keys<'_>, reading: &Reading<'_>, faults: &mut Faults) -> Option<Kind> {
    let mut reads = Reads::default();
    let by = keys.needed("by", faults).and_then(|n| expression(n, "by", &reading.names(), &mut reads, faults));
    let shards = match keys.node("shards")? {
        Node { kind: tree::Kind::List(list), .. } if !list.is_empty() => {
            Shards::List(list.iter().filter_map(constant).collect())
        }
        node => Shards::Hash(number(node)?),
    };
    let otherwise = reading.ports.otherwise.unwrap_or(Otherwise::Drop);
    Some(Kind::Shard(Box::new(Shard { by: by?, reads, shards, streams: reading.ports.family.is_some(), otherwise })))
}

/// A value in a list of shards: what is plain may be a number or a truth.
fn constant(node: &Node) -> Option<Value<'static>> {
    let tree::Kind::Scalar { text, plain } = &node.kind else { return None };
    if *plain && json::check(text.as_bytes()).is_ok() {
        return Value::from_json(text).ok().map(Value::into_owned);
    }
    Some(Value::Text(text.clone().into()))
}

/// Sends each item to the shard of its key.
#[derive(Debug, Clone)]
pub struct Shard {
    /// The key.
    pub by: Compiled,
    /// What it reads.
    pub reads: Reads,
    /// How the shard is chosen.
    pub shards: Shards,
    /// A stream for each shard, or the partitions of one stream.
    pub streams: bool,
    /// What becomes of a key that is not in the list.
    pub otherwise: Otherwise,
}

/// How the shard of a key is chosen.
#[derive(Debug, Clone)]
pub enum Shards {
    /// By hash, among so many.
    Hash(u32),
    /// By its place in a list of values.
    List(Vec<Value<'static>>),
}

impl Shards {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Shards::Hash(n) => *n as usize,
            Shards::List(list) => list.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Shard {
    /// The shard of what `scope` shows; `None` if its key is not in the list.
    fn of(&self, scope: &Scope<'_>) -> Result<Option<usize>, Fault> {
        let key = self.by.eval(scope)?;
        if matches!(key, Value::Null | Value::Optional(None)) {
            return Err(Fault::new(format!("`by: {}` is null", self.by.text)));
        }
        match &self.shards {
            Shards::Hash(n) => {
                let bytes = write::key(&key)?;
                Ok(Some(if self.streams {
                    (xxhash_rust::xxh3::xxh3_64(&bytes) % u64::from(*n)) as usize
                } else {
                    partition::of_key(&bytes, *n) as usize
                }))
            }
            Shards::List(list) => {
                for (i, value) in list.iter().enumerate() {
                    if value.same(&key)? {
                        return Ok(Some(i));
                    }
                }
                Ok(None)
            }
        }
    }
}

impl Pattern for Shard {
    fn apply(&self, _: usize, view: &View<'_>, _: &mut Scratch, out: &mut Effects) {
        let shards = self.shards.len();
        let mut rows = vec![Rows::none(view.records.len()); shards + 1];
        let mut slots = vec![];
        for record in view.items() {
            out.taken += 1;
            let row = record.row();
            match view.scope(&record, &self.reads, &mut slots).and_then(|scope| self.of(&scope)) {
                Err(fault) => out.failed.push((row, fault)),
                Ok(Some(shard)) => {
                    out.passed += 1;
                    rows[shard].add(row);
                }
                Ok(None) => match self.otherwise {
                    Otherwise::Error => out.failed.push((
                        row,
                        Fault::new(format!("`by: {}` gave a value that is not in `shards`", self.by.text)),
                    )),
                    Otherwise::Drop => out.filtered += 1,
                    Otherwise::To(_) => {
                        out.filtered += 1;
                        rows[shards].add(row);
                    }
                },
            }
        }
        let others = rows.pop().unwrap_or_default();
        if let Otherwise::To(port) = self.otherwise {
            out.rows(port, None, others);
        }
        for (shard, rows) in rows.into_iter().enumerate() {
            if self.streams {
                out.rows(shard, None, rows);
            } else {
                out.rows(0, Some(shard as u32), rows);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::patterns::{Scratch, trial};
    use anabranch_engine::partition::of_key;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// The key of a line as text; `None` if the step must refuse it.
    fn key(line: &str) -> Option<String> {
        match trial::read(line)?.get("k")? {
            serde_json::Value::Null => None,
            serde_json::Value::String(s) => Some(s.clone()),
            other => Some(other.to_string()),
        }
    }

    proptest! {
        #[test]
        fn partitions_are_those_of_kafka(lines in trial::lines()) {
            let made = trial::apply(&trial::step("{ shard: all, by: item.k, shards: 3, to: p }"), &lines, &mut Scratch::default());
            let mut want: BTreeMap<(usize, Option<u32>), Vec<String>> = BTreeMap::new();
            for line in &lines {
                if let Some(key) = key(line) {
                    want.entry((0, Some(of_key(key.as_bytes(), 3)))).or_default().push(line.clone());
                }
            }
            prop_assert_eq!(made.out, want);
            prop_assert_eq!(made.failed.len(), lines.iter().filter(|l| key(l).is_none()).count());
        }

        #[test]
        fn one_key_has_one_stream_and_nothing_is_lost(lines in trial::lines()) {
            let made = trial::apply(&trial::step("{ shard: all, by: item.k, shards: 3, to: 's-{shard}' }"), &lines, &mut Scratch::default());
            let mut stream_of: BTreeMap<String, usize> = BTreeMap::new();
            for ((port, _), out) in &made.out {
                for line in out {
                    prop_assert_eq!(*stream_of.entry(key(line).expect("has one")).or_insert(*port), *port);
                }
            }
            prop_assert_eq!(made.out.values().map(Vec::len).sum::<usize>() + made.failed.len(), lines.len());
        }

        #[test]
        fn listed_values_go_to_their_place(lines in trial::lines()) {
            let keys = "{ shard: all, by: item.k, shards: [A, B], to: 's-{shard}', otherwise: c }";
            let made = trial::apply(&trial::step(keys), &lines, &mut Scratch::default());
            for (port, of) in [(0, "A"), (1, "B")] {
                let want: Vec<String> = lines.iter().filter(|l| key(l).as_deref() == Some(of)).cloned().collect();
                prop_assert_eq!(made.out.get(&(port, None)).cloned().unwrap_or_default(), want);
            }
            let others = lines.iter().filter(|l| key(l).is_some_and(|k| k != "A" && k != "B")).count();
            prop_assert_eq!(made.out.get(&(2, None)).map_or(0, Vec::len), others);
        }
    }
}
