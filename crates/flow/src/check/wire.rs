//! Who writes and who reads which stream.

use super::draft::{Draft, DraftStep};
use super::names::check_name;
use crate::diagnostic::{Diagnostic, Span};
use crate::names::nearest;
use crate::read::Name;
use crate::read::keys::Faults;
use crate::read::ports::Ports;
use std::collections::{BTreeMap, BTreeSet};

/// A step with its inputs and outputs known by name.
pub struct Wired<'n> {
    /// The step as written.
    pub draft: DraftStep<'n>,
    /// Names of its inputs.
    pub inputs: Vec<Name>,
    /// Its outputs.
    pub ports: Ports,
    /// The shards of a replicated step.
    pub shards: Option<Vec<String>>,
}

/// The streams of one template `x-{shard}`: each shard and its stream.
type Family = Vec<(String, String)>;
/// All of them, by their template.
type Families = BTreeMap<String, Family>;

/// Finds the outputs of every step, then the streams that its inputs name.
pub fn wire<'n>(draft: &mut Draft<'n>, faults: &mut Faults) -> Vec<Wired<'n>> {
    let mut waiting: Vec<DraftStep<'n>> = std::mem::take(&mut draft.steps);
    let mut families = Families::new();
    let mut wired: Vec<Wired<'n>> = vec![];
    loop {
        let before = waiting.len();
        for step in std::mem::take(&mut waiting) {
            match template(&step) {
                Some(t) if !families.contains_key(&t) => waiting.push(step),
                t => {
                    let family = t.and_then(|t| families.get(&t).cloned());
                    let one = outputs(step, family, faults);
                    families.extend(one.ports.family.clone());
                    wired.push(one);
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
    all.extend(wired.iter().flat_map(|w| w.ports.outputs.iter().map(|((n, _), _)| n.clone())));
    for step in wired {
        let own: Vec<String> = step.ports.outputs.iter().map(|((n, _), _)| n.clone()).collect();
        let mut inputs: Vec<Name> = vec![];
        let mut written: Vec<String> = vec![];
        for (name, span) in std::mem::take(&mut step.inputs) {
            let Some((head, tail)) = name.split_once('*') else {
                if written.contains(&name) {
                    let what = format!("`{}` reads the stream `{name}` twice", step.draft.verb.spec.name);
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

fn outputs<'n>(mut draft: DraftStep<'n>, family: Option<Family>, faults: &mut Faults) -> Wired<'n> {
    let mut inputs = draft.inputs.clone();
    let (mut ports, mut shards) = (Ports::default(), None);
    if let Some(family) = family.filter(|_| !draft.verb.fans_out) {
        let span = inputs.first().map_or(draft.name.1, |(_, s)| *s);
        inputs = family.iter().map(|(_, stream)| (stream.clone(), span)).collect();
        ports = replicated(&mut draft, &family, span, faults);
        shards = Some(family.into_iter().map(|(label, _)| label).collect());
    }
    (draft.verb.ports)(&mut draft.keys, &draft.name, &mut ports, faults);
    for ((out, span), _) in &ports.outputs {
        check_name(out, *span, faults);
    }
    Wired { draft, inputs, ports, shards }
}

/// The outputs of one step for each shard.
fn replicated(draft: &mut DraftStep<'_>, family: &Family, span: Span, faults: &mut Faults) -> Ports {
    let (name, verb) = (&draft.name, draft.verb.spec.name);
    if !matches!(verb, "work" | "filter") {
        let what = format!("`{verb}` cannot be replicated");
        faults.push(
            Diagnostic::error("not-replicated", span, what)
                .label("work and filter can; others read all shards as 'x-*'"),
        );
    }
    let to = draft.keys.text("to", faults);
    let explicit = to.is_some();
    let (to, to_span) = to.map_or_else(|| (format!("{}-{{shard}}", name.0), name.1), |(t, s)| (t.to_string(), s));
    if !to.contains("{shard}") {
        faults.push(
            Diagnostic::error("replicated-to", to_span, "a step that reads 'x-{shard}' writes a stream for each shard")
                .label(format!("as in  '{to}-{{shard}}'")),
        );
    }
    let family: Family = family.iter().map(|(label, _)| (label.clone(), to.replace("{shard}", label))).collect();
    let outputs = family.iter().map(|(_, n)| ((n.clone(), to_span), explicit)).collect();
    Ports { outputs, family: Some((to, family)), ..Ports::default() }
}
