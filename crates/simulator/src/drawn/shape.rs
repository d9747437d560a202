//! A random flow as data: what is drawn, written as YAML, and computed the plain way.

use std::collections::BTreeSet;
use std::fmt::Write;

/// A flow.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// Its streams; those of one sharder are one of them.
    pub streams: Vec<Stream>,
    /// Its steps, each behind all that it reads from.
    pub steps: Vec<Step>,
    /// The order in which they are written.
    pub written: Vec<usize>,
    /// Joins that are opened by hand.
    pub by_hand: BTreeSet<usize>,
}

/// A stream, or the numbered streams of a sharder.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Its name; `name-{shard}` where it stands for several.
    pub name: String,
    /// What fills it.
    pub source: Source,
    /// It is declared, and where it goes.
    pub home: Home,
    /// It has one partition, and its order is known.
    pub ordered: bool,
    /// It stands for several streams.
    pub sharded: bool,
    /// Something above it goes on from run to run.
    pub moves: bool,
    /// A gate is above it.
    pub gated: bool,
    /// Its items are those of the sources, whole or with more fields.
    pub plain: bool,
    /// Steps that read it.
    pub readers: usize,
    /// It is a step's own output: it may end where it is made.
    pub own_name: bool,
}

/// What fills a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A step.
    Step,
    /// A file that is written again for each batch.
    File,
    /// A topic with so many partitions.
    Topic(u32),
}

/// Where a stream goes beside its readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// Nowhere.
    Internal,
    /// A file.
    Sink,
    /// A stream that others read.
    Public,
}

/// A step: its name, its inputs, what it does.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// The streams that it reads.
    pub inputs: Vec<usize>,
    /// What it does.
    pub verb: Verb,
    /// Failed items are counted, not kept.
    pub skips: bool,
}

/// What a filter, a case or a fold asks of an item.
#[derive(Debug, Clone, Copy)]
pub enum Test {
    /// `item.v > N`
    Above(i64),
    /// `item.g == N`
    Group(i64),
    /// `12 / item.v > N`, which fails where `v` is 0
    Fails(i64),
}

impl Test {
    fn text(self) -> String {
        match self {
            Test::Above(n) => format!("item.v > {n}"),
            Test::Group(n) => format!("item.g == {n}"),
            Test::Fails(n) => format!("12 / item.v > {n}"),
        }
    }
}

/// What a step does, and the streams that it makes.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub enum Verb {
    Copy { to: Vec<usize> },
    Filter { test: Test, to: usize, rest: Option<usize> },
    Split { cases: Vec<(Test, usize)>, all: bool, rest: Rest },
    ShardTo { values: Vec<(i64, usize)>, rest: Rest },
    ShardHash { shards: usize, to: usize },
    Merge { to: usize },
    Join { to: usize, tolerate: Tolerate, done: Option<usize>, fails: bool },
    Reduce { to: usize, by: bool, fails: bool, strict: bool },
    Pair { to: usize },
    Set { to: usize, fails: bool },
    Each { to: usize, twice: bool },
    Pipe { to: usize },
}

/// What becomes of what no case wants.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub enum Rest {
    Drop,
    Error,
    To(usize),
}

/// What a join accepts.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub enum Tolerate {
    Items(u64),
    Percent(u64),
}

impl Shape {
    /// The streams that a step makes.
    pub fn outputs(&self, s: usize) -> Vec<usize> {
        let of_rest = |rest: &Rest| if let Rest::To(r) = rest { Some(*r) } else { None };
        match &self.steps[s].verb {
            Verb::Copy { to } => to.clone(),
            Verb::Filter { to, rest, .. } => [*to].into_iter().chain(*rest).collect(),
            Verb::Split { cases, rest, .. } => cases.iter().map(|(_, to)| *to).chain(of_rest(rest)).collect(),
            Verb::ShardTo { values, rest } => values.iter().map(|(_, to)| *to).chain(of_rest(rest)).collect(),
            Verb::Join { to, done, .. } => [*to].into_iter().chain(*done).collect(),
            Verb::ShardHash { to, .. }
            | Verb::Merge { to }
            | Verb::Reduce { to, .. }
            | Verb::Pair { to }
            | Verb::Set { to, .. }
            | Verb::Each { to, .. }
            | Verb::Pipe { to } => vec![*to],
        }
    }

    /// The steps that read what a step makes.
    pub fn behind(&self, s: usize) -> impl Iterator<Item = usize> + '_ {
        let outputs = self.outputs(s);
        (0..self.steps.len()).filter(move |r| self.steps[*r].inputs.iter().any(|i| outputs.contains(i)))
    }

    /// A step, and all to which its items can come.
    pub fn all_behind(&self, s: usize) -> BTreeSet<usize> {
        let (mut found, mut todo) = (BTreeSet::from([s]), vec![s]);
        while let Some(step) = todo.pop() {
            todo.extend(self.behind(step).filter(|r| found.insert(*r)));
        }
        found
    }

    /// A gate before a pair fails where another one holds.
    pub fn is_before_a_pair(&self, s: usize) -> bool {
        let mut behind = self.all_behind(s).into_iter().filter(|r| *r != s);
        behind.any(|r| matches!(self.steps[r].verb, Verb::Pair { .. }))
    }

    /// Joins that may be opened by hand.
    pub fn by_hand(&self) -> impl Iterator<Item = usize> + '_ {
        let joins = (0..self.steps.len()).filter(|s| matches!(self.steps[*s].verb, Verb::Join { .. }));
        joins.filter(|s| !self.is_before_a_pair(*s))
    }

    /// The flow file.
    pub fn yaml(&self) -> String {
        let mut out = String::from("flow: drawn\nstreams:\n");
        for s in &self.streams {
            let keys = match (s.source, s.home) {
                (Source::File, Home::Sink) => format!("{{ source: {0}.in.jsonl, sink: {0}.jsonl }}", s.name),
                (Source::File, _) => format!("{{ source: {}.in.jsonl }}", s.name),
                (Source::Topic(n), _) => format!("{{ partitions: {n} }}"),
                (Source::Step, Home::Sink) => format!("{{ sink: {}.jsonl }}", s.name),
                (Source::Step, Home::Public) => "{}".into(),
                (Source::Step, Home::Internal) => continue,
            };
            let _ = writeln!(out, "  {}: {keys}", s.name);
        }
        out += "steps:\n";
        for (s, step) in self.written.iter().map(|s| (s, &self.steps[*s])) {
            let by_hand = if self.by_hand.contains(s) { ", open: by-hand" } else { "" };
            let _ = writeln!(out, "  {}: {{ {}{by_hand} }}", step.name, self.keys(step));
        }
        out
    }

    fn name(&self, s: usize) -> &str {
        &self.streams[s].name
    }

    /// How a step that takes the numbered streams of a sharder as one names them.
    fn every(&self, s: usize) -> String {
        match self.streams[s].sharded {
            true => format!("'{}'", self.name(s).replace("{shard}", "*")),
            false => self.name(s).to_string(),
        }
    }

    fn quoted(&self, s: usize) -> String {
        if self.streams[s].sharded { format!("'{}'", self.name(s)) } else { self.name(s).to_string() }
    }

    fn all(&self, inputs: &[usize]) -> String {
        let names: Vec<String> = inputs.iter().map(|s| self.every(*s)).collect();
        if let [one] = names.as_slice() { one.clone() } else { format!("[{}]", names.join(", ")) }
    }

    fn rest(&self, rest: Rest) -> String {
        match rest {
            Rest::Drop => "drop".into(),
            Rest::Error => "error".into(),
            Rest::To(s) => self.name(s).into(),
        }
    }

    fn keys(&self, step: &Step) -> String {
        let input = self.quoted(step.inputs[0]);
        let to = |s: &usize| {
            let own = self.name(*s) == step.name || self.streams[*s].sharded;
            if own { String::new() } else { format!(", to: {}", self.name(*s)) }
        };
        let mut keys = match &step.verb {
            Verb::Copy { to } => {
                let names: Vec<&str> = to.iter().map(|s| self.name(*s)).collect();
                format!("copy: {input}, to: [{}]", names.join(", "))
            }
            Verb::Filter { test, to: out, rest } => {
                let rest = rest.map_or(String::new(), |r| format!(", otherwise: {}", self.name(r)));
                format!("filter: {input}, where: '{}'{}{rest}", test.text(), to(out))
            }
            Verb::Split { cases, all, rest } => {
                let cases: Vec<String> = cases
                    .iter()
                    .map(|(test, s)| format!("{{ where: '{}', to: {} }}", test.text(), self.name(*s)))
                    .collect();
                let how = if *all { "all" } else { "first" };
                format!("split: {input}, match: {how}, cases: [{}], otherwise: {}", cases.join(", "), self.rest(*rest))
            }
            Verb::ShardTo { values, rest } => {
                let names: Vec<String> = values.iter().map(|(v, _)| v.to_string()).collect();
                let to = self.name(values[0].1).trim_end_matches(|c: char| c.is_ascii_digit()).to_string();
                format!(
                    "shard: {input}, by: item.g, shards: [{}], to: '{to}{{shard}}', otherwise: {}",
                    names.join(", "),
                    self.rest(*rest)
                )
            }
            Verb::ShardHash { shards, to } => {
                format!("shard: {input}, by: item.id, shards: {shards}, to: '{}'", self.name(*to))
            }
            Verb::Merge { to: out } => format!("merge: {}{}", self.all(&step.inputs), to(out)),
            Verb::Join { to: out, tolerate, done, fails } => {
                let tolerate = match tolerate {
                    Tolerate::Items(n) => n.to_string(),
                    Tolerate::Percent(n) => format!("{n}%"),
                };
                let done = done.map_or(String::new(), |d| format!(", done: {}", self.name(d)));
                let fails = if *fails { ", if-failed: fail" } else { "" };
                format!("join: {}, tolerate: {tolerate}{done}{fails}{}", self.all(&step.inputs), to(out))
            }
            Verb::Reduce { to: out, by, fails, strict } => {
                let by = if *by { ", by: item.g" } else { "" };
                let sum = if *fails { "12 / item.v" } else { "item.v" };
                let strict = if *strict { ", tolerate: 0" } else { "" };
                let input = self.all(&step.inputs);
                format!("reduce: {input}{by}, value: {{ c: count(), s: 'sum({sum})' }}{strict}{}", to(out))
            }
            Verb::Pair { to: out } => {
                format!("reduce: {}, pair: lockstep, value: {{ l: a, r: b }}{}", self.all(&step.inputs), to(out))
            }
            Verb::Set { to: out, fails } => {
                let value = if *fails { "12 / item.v" } else { "item.v + 1" };
                format!("work: {input}, set: {{ {}: '{value}' }}{}", step.name.replace('-', "_"), to(out))
            }
            Verb::Each { to: out, twice } => {
                let each = if *twice { "[item, item]" } else { "item.v > 4 ? [item] : []" };
                format!("work: {input}, each: '{each}'{}", to(out))
            }
            Verb::Pipe { to: out } => format!("work: {input}, pipe: [cat], concurrency: 1{}", to(out)),
        };
        if step.skips {
            keys += ", on-error: skip";
        }
        keys
    }
}
