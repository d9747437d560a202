//! The check: from a flow as written to a [`Flow`] that can run, with every fault in one pass.

mod draft;
mod files;
pub mod hash;
mod names;
mod shape;
mod sinks;
mod sources;
mod steps;
mod streams;
mod whole;
mod wire;

pub use draft::KEYS as FLOW_KEYS;
pub use sinks::KEYS as SINK_KEYS;
pub use sources::KEYS as SOURCE_KEYS;
pub use streams::KEYS as STREAM_KEYS;

use crate::diagnostic::{Diagnostic, Severity, Span};
use crate::ends;
use crate::expr::Env;
use crate::model::{Flow, Step, Stream};
use crate::read::Reading;
use crate::read::keys::Faults;
use crate::tree::{self, Node};
use anabranch_engine::FlowId;
use draft::Draft;
use std::collections::BTreeMap;

/// What a check found.
#[derive(Debug)]
pub struct Checked {
    /// The flow, if it can run.
    pub flow: Option<Flow>,
    /// Everything there is to say, sorted by line.
    pub diagnostics: Vec<Diagnostic>,
}

impl Checked {
    /// The diagnostics as drawn in a terminal.
    pub fn draw(&self, file: &str, text: &str) -> String {
        self.diagnostics.iter().map(|d| d.draw(file, text)).collect()
    }
}

/// Checks a flow file. `env` looks up variables that `env:` lists.
pub fn check_text(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Checked {
    let mut faults = vec![];
    let root = tree::parse(text, &mut faults);
    let broken = !faults.is_empty();
    let mut flow = root.as_ref().and_then(|root| build(root, env, &mut faults));
    if root.is_none() && !broken {
        faults.push(
            Diagnostic::error("empty", Span::default(), "the file is empty").help("a flow begins with  flow: NAME"),
        );
    }
    if let Some(flow) = &mut flow {
        flow.hash = root.as_ref().map(|root| hash::of(root, &flow.env)).unwrap_or_default();
        flow.parts = root.as_ref().map(|root| hash::parts(root, &flow.env)).unwrap_or_default();
        flow.free = root.as_ref().map(hash::free).unwrap_or_default();
    }
    finish(flow, faults)
}

/// Checks a flow that was made in Rust.
pub fn check_tree(root: &Node, env: &dyn Fn(&str) -> Option<String>) -> Checked {
    let mut faults = vec![];
    let mut flow = build(root, env, &mut faults);
    if let Some(flow) = &mut flow {
        flow.hash = hash::of(root, &flow.env);
        flow.parts = hash::parts(root, &flow.env);
        flow.free = hash::free(root);
    }
    finish(flow, faults)
}

fn finish(flow: Option<Flow>, mut faults: Faults) -> Checked {
    faults.sort_by_key(|d| (d.span, d.severity));
    faults.dedup();
    let fine = faults.iter().all(|d| d.severity != Severity::Error);
    Checked { flow: flow.filter(|_| fine), diagnostics: faults }
}

fn build(root: &Node, lookup: &dyn Fn(&str) -> Option<String>, faults: &mut Faults) -> Option<Flow> {
    let mut draft = draft::read(root, faults)?;
    let name = FlowId::new(&draft.name.0).map_err(|e| faults.push(named(&draft, e))).ok()?;
    let env = resolve_env(&draft, lookup, faults);
    if jiff::tz::TimeZone::get(&draft.timezone.0).is_err() {
        faults.push(
            Diagnostic::error("timezone", draft.timezone.1, format!("`{}` is not a time zone", draft.timezone.0))
                .label("as in  Europe/Stockholm"),
        );
    }
    let on_end = draft.on_end.and_then(|node| ends::on_end(node, &env, faults));
    let stall = draft.stall.map(|node| ends::stall(node, faults)).unwrap_or_default();
    let mut wired = wire::wire(&mut draft, faults);
    let mut declared = vec![];
    for (name, keys) in std::mem::take(&mut draft.streams) {
        declared.extend(streams::declared(&name, keys, &env, faults));
    }
    let (mut streams, formats): (Vec<Stream>, Vec<_>) = declared.into_iter().unzip();
    shape::connect(&name, &mut streams, &wired, faults);
    let order = shape::order(&streams, &wired, faults)?;
    let mut formats: Vec<Option<crate::format::Format>> = formats;
    formats.resize(streams.len(), None);
    let mut steps: Vec<Option<Step>> = vec![];
    steps.resize_with(wired.len(), || None);
    for i in order {
        let format = shape::formats(&mut streams, &mut formats, &wired[i]);
        let shard = wired[i].shards.is_some();
        let ports = wired[i].ports.clone();
        let out = ports
            .outputs
            .first()
            .and_then(|((n, _), _)| streams.iter().find(|s| s.name == *n))
            .map_or(format, |s| s.format);
        let types = shape::types(&streams, &wired, i);
        let (inputs, verb_span) = (wired[i].inputs.len(), wired[i].draft.verb_span);
        let reading = Reading { format, out, env: &env, shard, types, inputs, verb_span, ports: &ports };
        let built = steps::build(&mut wired[i], &reading, faults);
        steps[i] = built.map(|built| shape::step(&name, &streams, &wired[i], built));
    }
    let whole: Option<Vec<Step>> = steps.into_iter().collect();
    let mut flow = Flow {
        name,
        doc: draft.doc,
        env,
        timezone: draft.timezone.0,
        streams,
        steps: whole?,
        on_end,
        stall,
        hash: String::new(),
        parts: BTreeMap::new(),
        free: BTreeMap::new(),
    };
    whole::ends(&mut flow, &wired, faults);
    Some(flow)
}

fn named(draft: &Draft<'_>, e: anabranch_engine::Error) -> Diagnostic {
    Diagnostic::error("bad-name", draft.name.1, e.text).label(e.help.unwrap_or_default())
}

fn resolve_env(draft: &Draft<'_>, lookup: &dyn Fn(&str) -> Option<String>, faults: &mut Faults) -> Env {
    let mut env = Env::new();
    for ((name, span), default) in &draft.env {
        match lookup(name).or_else(|| default.clone()) {
            Some(value) => {
                env.insert(name.clone(), value);
            }
            None => {
                faults.push(
                    Diagnostic::error("missing-env", *span, format!("`{name}` has no value"))
                        .label(format!("give it with  --env {name}=VALUE  or in the environment")),
                );
                env.insert(name.clone(), String::new());
            }
        }
    }
    env
}
