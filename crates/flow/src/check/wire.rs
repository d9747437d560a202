//! Who writes and who reads which stream.

use super::draft::{Draft, DraftStep, Name};
use super::keys::{Faults, Keys, text};
use crate::diagnostic::{Diagnostic, Span};
use crate::names::nearest;
use crate::tree::{Kind, Node};
use anabranch_engine::OWN_NAMES;
use std::collections::{BTreeMap, BTreeSet};

/// Names that mean something else where a stream may stand.
const RESERVED: [&str; 2] = ["drop", "error"];

/// A step with its inputs and outputs known by name.
pub struct Wired<'n> {
    /// The step as written.
    pub draft: DraftStep<'n>,
    /// Names of its inputs.
    pub inputs: Vec<Name>,
    /// Names of its outputs, and whether they are written in the flow.
    pub outputs: Vec<(Name, bool)>,
    /// The shards of a replicated step.
    pub shards: Option<Vec<String>>,
    /// Predicates of a split and the output of each.
    pub cases: Vec<(&'n Node, usize)>,
    /// What `otherwise` says.
    pub otherwise: Option<Rest>,
    /// The shards that a shard step makes.
    pub by_list: Option<Vec<&'n Node>>,
    /// So many by hash.
    pub by_hash: Option<u32>,
    /// A shard step makes a stream for each shard.
    pub streams: bool,
    /// Which output is the `done:` of a join.
    pub done: Option<usize>,
}

/// Where the rest goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Nowhere; it is counted.
    Drop,
    /// It has failed.
    Error,
    /// To this output.
    To(usize),
}

/// The streams of one template `x-{shard}`: each shard and its stream.
type Families = BTreeMap<String, Vec<(String, String)>>;

/// Finds the outputs of every step, then the streams that its inputs name.
pub fn wire<'n>(draft: &mut Draft<'n>, faults: &mut Faults) -> Vec<Wired<'n>> {
    let mut waiting: Vec<DraftStep<'n>> = std::mem::take(&mut draft.steps);
    let mut families = Families::new();
    let mut wired: Vec<Wired<'n>> = vec![];
    loop {
        let before = waiting.len();
        for mut step in std::mem::take(&mut waiting) {
            match template(&step) {
                Some(t) if !families.contains_key(&t) => waiting.push(step),
                t => {
                    let shards = t.and_then(|t| families.get(&t).cloned());
                    if let Some(one) = outputs(&mut step, shards, &mut families, faults) {
                        wired.push(Wired { draft: step, ..one });
                    }
                }
            }
        }
        if waiting.is_empty() || waiting.len() == before {
            break;
        }
    }
    for step in waiting {
        let (name, span) = step.inputs.first().cloned().unwrap_or_default();
        let near = nearest(&name, families.keys().map(String::as_str)).map(|n| format!("did you mean `{n}`?"));
        faults.push(
            Diagnostic::error("no-shards", span, format!("no step makes the streams `{name}`"))
                .label(near.unwrap_or_default())
                .help("a step  { shard: STREAM, by: …, shards: N, to: 'x-{shard}' }  makes them"),
        );
    }
    wired.sort_by_key(|w| w.draft.name.1);
    globs(draft, &mut wired, faults);
    wired
}

/// The template that a replicated step reads.
fn template(step: &DraftStep<'_>) -> Option<String> {
    match step.inputs.as_slice() {
        [(name, _)] if name.contains("{shard}") => Some(name.clone()),
        _ => None,
    }
}

/// `'x-*'` becomes all streams of the flow that match.
fn globs(draft: &Draft<'_>, wired: &mut [Wired<'_>], faults: &mut Faults) {
    let mut all: Vec<String> = draft.streams.iter().map(|((n, _), _)| n.clone()).collect();
    all.extend(wired.iter().flat_map(|w| w.outputs.iter().map(|((n, _), _)| n.clone())));
    for step in wired {
        let own: Vec<String> = step.outputs.iter().map(|((n, _), _)| n.clone()).collect();
        let mut inputs: Vec<Name> = vec![];
        let mut written: Vec<String> = vec![];
        for (name, span) in std::mem::take(&mut step.inputs) {
            let Some((head, tail)) = name.split_once('*') else {
                if written.contains(&name) {
                    let what = format!("`{}` reads the stream `{name}` twice", step.draft.verb);
                    faults.push(Diagnostic::error("stream-twice", span, what).label("name it once"));
                }
                written.push(name.clone());
                inputs.push((name, span));
                continue;
            };
            let hit = |n: &&String| {
                n.len() >= head.len() + tail.len() && n.starts_with(head) && n.ends_with(tail) && !own.contains(n)
            };
            let mut hits: Vec<&String> = all.iter().filter(hit).collect();
            hits.sort_by_key(|n| (n.len(), (*n).clone()));
            hits.dedup();
            if hits.is_empty() {
                faults.push(Diagnostic::error("no-match", span, format!("no stream of this flow matches `{name}`")));
            }
            inputs.extend(hits.into_iter().map(|n| (n.clone(), span)));
        }
        // what a pattern matches and another one, or a name, says as well is meant once
        let mut seen = BTreeSet::new();
        inputs.retain(|(name, _)| seen.insert(name.clone()));
        step.inputs = inputs;
    }
}

fn outputs<'n>(
    step: &mut DraftStep<'n>,
    shards: Option<Vec<(String, String)>>,
    families: &mut Families,
    faults: &mut Faults,
) -> Option<Wired<'n>> {
    let name = step.name.clone();
    let mut wired = Wired {
        draft: DraftStep {
            name: name.clone(),
            verb: step.verb,
            verb_span: step.verb_span,
            inputs: vec![],
            keys: Keys::empty(String::new(), name.1),
        },
        inputs: step.inputs.clone(),
        outputs: vec![],
        shards: None,
        cases: vec![],
        otherwise: None,
        by_list: None,
        by_hash: None,
        streams: false,
        done: None,
    };
    let keys = &mut step.keys;
    match step.verb {
        "copy" => {
            let to = keys.texts("to", faults).unwrap_or_default();
            if to.is_empty() {
                missing(keys, "to", "copy", "to: [a, b]", faults);
            }
            wired.outputs.extend(to.into_iter().map(|(t, s)| ((t.to_string(), s), true)));
        }
        "split" => split(keys, &mut wired, faults),
        "shard" => shard(keys, &mut wired, families, faults),
        _ => {
            if let Some(shards) = shards {
                replicate(keys, &name, shards, &mut wired, families, faults);
            } else {
                let to = keys.text("to", faults);
                let explicit = to.is_some();
                let out = to.map_or_else(|| name.clone(), |(t, s)| (t.to_string(), s));
                wired.outputs.push((out, explicit));
            }
            if step.verb == "filter" {
                rest(keys, &mut wired, faults);
            }
            if step.verb == "join"
                && let Some((done, span)) = keys.text("done", faults)
            {
                wired.done = Some(wired.outputs.len());
                wired.outputs.push(((done.to_string(), span), true));
            }
        }
    }
    for ((out, span), _) in &wired.outputs {
        check_name(out, *span, faults);
    }
    Some(wired)
}

/// Complains about names that no stream can have.
pub fn check_name(name: &str, span: Span, faults: &mut Faults) {
    if RESERVED.contains(&name) || OWN_NAMES.contains(&name) {
        faults.push(Diagnostic::error(
            "reserved",
            span,
            format!("`{name}` cannot be the name of a stream: it means something else here"),
        ));
    } else if let Err(e) = anabranch_engine::StreamName::new(name) {
        faults.push(Diagnostic::error("bad-name", span, e.text).label(e.help.unwrap_or_default()));
    }
}

fn missing(keys: &Keys<'_>, key: &str, verb: &str, example: &str, faults: &mut Faults) {
    faults.push(
        Diagnostic::error("missing-key", keys.span, format!("`{verb}` needs `{key}`"))
            .label(format!("as in  {example}")),
    );
}

/// `otherwise`, where it is written.
fn rest<'n>(keys: &mut Keys<'n>, wired: &mut Wired<'n>, faults: &mut Faults) {
    let verb = wired.draft.verb;
    wired.otherwise = keys.text("otherwise", faults).map(|(word, span)| match word {
        "drop" => Rest::Drop,
        "error" => Rest::Error,
        stream => {
            if wired.outputs.iter().any(|((n, _), _)| n == stream) {
                let what = format!("this `{verb}` sends items to `{stream}` anyhow: `otherwise` is for the others");
                faults.push(Diagnostic::error("stream-twice", span, what).label("drop, or another stream"));
            }
            Rest::To(port(&mut wired.outputs, (stream.to_string(), span)))
        }
    });
}

/// The port of an output; two cases may lead to one stream.
fn port(outputs: &mut Vec<(Name, bool)>, name: Name) -> usize {
    outputs.iter().position(|((n, _), _)| *n == name.0).unwrap_or_else(|| {
        outputs.push((name, true));
        outputs.len() - 1
    })
}

fn split<'n>(keys: &mut Keys<'n>, wired: &mut Wired<'n>, faults: &mut Faults) {
    match keys.node("cases") {
        Some(Node { kind: Kind::List(cases), .. }) if !cases.is_empty() => {
            for case in cases {
                let Some(mut keys) = Keys::of(case, "a case", faults) else { continue };
                let (condition, to) = (keys.node("where"), keys.text("to", faults));
                match (condition, to) {
                    (Some(condition), Some((to, span))) => {
                        let port = port(&mut wired.outputs, (to.to_string(), span));
                        wired.cases.push((condition, port));
                    }
                    _ => faults.push(
                        Diagnostic::error("missing-key", case.span, "a case has `where` and `to`")
                            .label("as in  { where: item.big, to: large }"),
                    ),
                }
                keys.done(&[], super::words::key, faults);
            }
        }
        Some(node) => faults.push(
            Diagnostic::error("no-cases", node.span, "`cases` is a list")
                .label("as in  [{ where: item.big, to: large }]"),
        ),
        None => missing(keys, "cases", "split", "cases: [{ where: item.big, to: large }]", faults),
    }
    rest(keys, wired, faults);
    if wired.otherwise.is_none() {
        let what = "`split` needs `otherwise`, so that nothing is dropped unseen";
        faults.push(
            Diagnostic::error("missing-key", keys.span, what).label("otherwise: drop (counted), error, or a stream"),
        );
    }
}

fn shard<'n>(keys: &mut Keys<'n>, wired: &mut Wired<'n>, families: &mut Families, faults: &mut Faults) {
    let mut labels: Vec<String> = vec![];
    match keys.node("shards") {
        Some(Node { kind: Kind::List(list), .. }) if !list.is_empty() => {
            labels = list.iter().filter_map(|n| text(n, "shards", faults)).map(str::to_string).collect();
            wired.by_list = Some(list.iter().collect());
        }
        Some(node) => match node
            .as_str()
            .and_then(|t| t.parse::<u32>().ok())
            .filter(|n| (1..=anabranch_engine::limits::PARTITIONS).contains(n))
        {
            Some(n) => {
                wired.by_hash = Some(n);
                labels = (0..n).map(|i| i.to_string()).collect();
            }
            None => faults.push(Diagnostic::error(
                "shards",
                node.span,
                "`shards` is a number of shards, or a list of values",
            )),
        },
        None => missing(keys, "shards", "shard", "shards: 4", faults),
    }
    match keys.text("to", faults) {
        Some((to, span)) if to.contains("{shard}") => {
            wired.streams = true;
            let family: Vec<_> = labels.iter().map(|l| (l.clone(), to.replace("{shard}", l))).collect();
            wired.outputs.extend(family.iter().map(|(_, n)| ((n.clone(), span), true)));
            families.insert(to.to_string(), family);
        }
        Some((to, span)) => wired.outputs.push(((to.to_string(), span), true)),
        None => missing(
            keys,
            "to",
            "shard",
            "to: 'x-{shard}'  (a stream per shard) or  to: x  (the partitions of one stream)",
            faults,
        ),
    }
    rest(keys, wired, faults);
    if wired.otherwise.is_none() && wired.by_list.is_some() {
        let what = "`shard` by a list of values needs `otherwise`";
        faults.push(
            Diagnostic::error("missing-key", keys.span, what).label("otherwise: drop (counted), error, or a stream"),
        );
    }
}

/// One step for each shard: an input and an output each.
fn replicate<'n>(
    keys: &mut Keys<'n>,
    name: &Name,
    shards: Vec<(String, String)>,
    wired: &mut Wired<'n>,
    families: &mut Families,
    faults: &mut Faults,
) {
    let span = wired.inputs.first().map_or(name.1, |(_, s)| *s);
    if !matches!(wired.draft.verb, "work" | "filter") {
        let what = format!("`{}` cannot be replicated", wired.draft.verb);
        faults.push(
            Diagnostic::error("not-replicated", span, what)
                .label("work and filter can; others read all shards as 'x-*'"),
        );
    }
    let to = keys.text("to", faults);
    let explicit = to.is_some();
    let (to, to_span) = to.map_or_else(|| (format!("{}-{{shard}}", name.0), name.1), |(t, s)| (t.to_string(), s));
    if !to.contains("{shard}") {
        faults.push(
            Diagnostic::error("replicated-to", to_span, "a step that reads 'x-{shard}' writes a stream for each shard")
                .label(format!("as in  '{to}-{{shard}}'")),
        );
    }
    wired.inputs = shards.iter().map(|(_, stream)| (stream.clone(), span)).collect();
    let family: Vec<_> = shards.iter().map(|(label, _)| (label.clone(), to.replace("{shard}", label))).collect();
    wired.outputs = family.iter().map(|(_, n)| ((n.clone(), to_span), explicit)).collect();
    families.insert(to, family);
    wired.shards = Some(shards.into_iter().map(|(label, _)| label).collect());
}
