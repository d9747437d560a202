//! The shape of the flow: writers, readers, order, formats.

use super::steps::Built;
use super::streams::internal;
use super::wire::Wired;
use crate::diagnostic::Diagnostic;
use crate::expr::FieldType;
use crate::format::{FileFormat, Format};
use crate::model::{SinkAt, Step, Stream, Writer};
use crate::names::nearest;
use crate::number::{StepNo, StreamNo};
use crate::read::keys::Faults;
use anabranch_engine::FlowId;
use std::collections::{BTreeMap, BTreeSet};

fn find(streams: &[Stream], name: &str) -> Option<StreamNo> {
    streams.iter().position(|s| s.name == name).map(StreamNo)
}

/// Makes the streams that are only named, and tells each its writer and readers.
pub fn connect(flow: &FlowId, streams: &mut Vec<Stream>, wired: &[Wired<'_>], faults: &mut Faults) {
    for (s, step) in StepNo::first(wired.len()).zip(wired) {
        for (port, (out, _)) in step.ports.outputs.iter().enumerate() {
            let i = find(streams, &out.0).or_else(|| {
                streams.push(internal(flow, out)?);
                Some(StreamNo(streams.len() - 1))
            });
            let Some(stream) = i.and_then(|i| streams.get_mut(i.0)) else { continue };
            let other = match stream.writer {
                Writer::Outside => {
                    stream.writer = Writer::Step(s, port);
                    continue;
                }
                Writer::Source => "its source".to_string(),
                Writer::Step(other, _) if other == s => {
                    let what = format!("the step {} writes to `{}` twice", step.draft.name.0, out.0);
                    faults.push(Diagnostic::error("stream-twice", out.1, what).label("name it once"));
                    continue;
                }
                Writer::Step(other, _) => {
                    wired.get(other.0).map_or(String::new(), |w| format!("the step {}", w.draft.name.0))
                }
            };
            let what = format!("`{}` has two writers: {other} and the step {}", out.0, step.draft.name.0);
            faults.push(Diagnostic::error("two-writers", out.1, what).label("put a merge before it"));
        }
    }
    // what is logged of a stream that a file has is the flow's own: another flow may have a file of that name
    for stream in streams.iter_mut().filter(|s| s.declared && !s.is_public() && s.at.as_str() == s.name) {
        stream.at = flow.own(&stream.name).unwrap_or_else(|_| stream.at.clone());
    }
    for (s, step) in StepNo::first(wired.len()).zip(wired) {
        for (port, (name, span)) in step.inputs.iter().enumerate() {
            match find(streams, name) {
                Some(i) => streams[i].readers.push((s, port)),
                None => faults.push(unwritten(name, *span, streams, wired)),
            }
        }
    }
    for step in wired {
        for ((name, span), explicit) in &step.ports.outputs {
            let Some(stream) = find(streams, name).map(|i| &streams[i]) else { continue };
            if *explicit && !stream.declared && stream.readers.is_empty() && !is_meant(name, streams, wired) {
                let read: Vec<&str> = wired.iter().flat_map(|w| w.inputs.iter().map(|(n, _)| n.as_str())).collect();
                let near = nearest(name, read).map_or_else(
                    || format!("declare it under streams:  {name}: {{}}"),
                    |n| format!("did you mean `{n}`?"),
                );
                faults
                    .push(Diagnostic::error("unread", *span, format!("no step reads the stream `{name}`")).label(near));
            }
        }
    }
}

/// Whether a step reads a name that nobody writes, and probably means this one: that is told there.
fn is_meant(name: &str, streams: &[Stream], wired: &[Wired<'_>]) -> bool {
    let read = wired.iter().flat_map(|w| w.inputs.iter().map(|(n, _)| n.as_str()));
    read.filter(|r| find(streams, r).is_none()).any(|r| nearest(r, [name]).is_some())
}

fn unwritten(name: &str, span: crate::diagnostic::Span, streams: &[Stream], wired: &[Wired<'_>]) -> Diagnostic {
    let near =
        nearest(name, streams.iter().map(|s| s.name.as_str())).and_then(|n| find(streams, n)).map(|i| &streams[i]);
    let label = near.map_or_else(String::new, |s| {
        let by = match s.writer {
            Writer::Step(w, _) => wired
                .get(w.0)
                .map_or(String::new(), |w| format!(" (written by {}, line {})", w.draft.name.0, w.draft.name.1.line)),
            _ => format!(" (declared in line {})", s.span.line),
        };
        format!("did you mean `{}`{by}? ", s.name)
    });
    Diagnostic::error("unwritten", span, format!("no step writes the stream `{name}`"))
        .label(format!("{label}from outside this flow: declare it under streams"))
}

/// Steps in an order in which each stands behind all that it reads from; `None` and an error if there is a circle.
pub fn order(streams: &[Stream], wired: &[Wired<'_>], faults: &mut Faults) -> Option<Vec<StepNo>> {
    let before = |s: StepNo| -> BTreeSet<StepNo> {
        let inputs = wired[s].inputs.iter().filter_map(|(n, _)| find(streams, n));
        inputs.filter_map(|i| if let Writer::Step(w, _) = streams[i].writer { Some(w) } else { None }).collect()
    };
    let mut order: Vec<StepNo> = vec![];
    let all = || StepNo::first(wired.len());
    while order.len() < wired.len() {
        let ready = all().find(|s| !order.contains(s) && before(*s).iter().all(|b| order.contains(b)));
        if let Some(s) = ready {
            order.push(s);
            continue;
        }
        let stuck: Vec<StepNo> = all().filter(|s| !order.contains(s)).collect();
        let path = circle(&stuck, &before);
        let names: Vec<&str> = path.iter().map(|s| wired[*s].draft.name.0.as_str()).collect();
        let at = path.first().map_or_else(Default::default, |s| wired[*s].draft.verb_span);
        let first = names.first().copied().unwrap_or_default();
        faults.push(
            Diagnostic::error("circle", at, format!("the flow runs in a circle: {} → {first}", names.join(" → ")))
                .label("a batch flow has an end"),
        );
        return None;
    }
    Some(order)
}

/// One circle among steps that cannot be put in order.
fn circle(stuck: &[StepNo], before: &dyn Fn(StepNo) -> BTreeSet<StepNo>) -> Vec<StepNo> {
    let mut path = vec![];
    let mut at = stuck.first().copied();
    while let Some(s) = at {
        if let Some(i) = path.iter().position(|p| *p == s) {
            path.drain(..i);
            path.reverse();
            return path;
        }
        path.push(s);
        at = before(s).into_iter().find(|b| stuck.contains(b));
    }
    path
}

/// The format of a step's input; its outputs get theirs, where it is not written.
pub fn formats(streams: &mut [Stream], said: &mut [Option<Format>], step: &Wired<'_>) -> Format {
    let inputs: Vec<Format> =
        step.inputs.iter().filter_map(|(n, _)| find(streams, n)).map(|i| streams[i].format).collect();
    let format = match inputs.first() {
        Some(first) if inputs.iter().all(|f| f == first) => *first,
        _ => Format::Json,
    };
    let routes = step.draft.verb.routes;
    for (port, ((name, _), _)) in step.ports.outputs.iter().enumerate() {
        let Some(i) = find(streams, name) else { continue };
        let made = if routes && step.ports.done != Some(port) { format } else { by_sink(&streams[i]) };
        let chosen = said.get(i.0).copied().flatten().unwrap_or(made);
        streams[i].format = chosen;
        if let Some(said) = said.get_mut(i.0) {
            said.get_or_insert(chosen);
        }
    }
    format
}

/// Types of the fields of a step's items: those of its source, if it is reached by routing alone.
pub fn types(streams: &[Stream], wired: &[Wired<'_>], step: StepNo) -> BTreeMap<String, FieldType> {
    let mut of_all: Vec<BTreeMap<String, FieldType>> = vec![];
    let (mut todo, mut seen) = (vec![step], BTreeSet::new());
    while let Some(step) = todo.pop() {
        if !seen.insert(step) {
            continue;
        }
        for (name, _) in &wired[step].inputs {
            let Some(stream) = find(streams, name).map(|i| &streams[i]) else { continue };
            match stream.writer {
                Writer::Source => of_all.push(stream.entry.fields.iter().map(|f| (f.name.clone(), f.of)).collect()),
                Writer::Step(w, _) if wired[w].draft.verb.routes => todo.push(w),
                _ => of_all.push(BTreeMap::new()),
            }
        }
    }
    match of_all.split_first() {
        Some((first, rest)) if rest.iter().all(|r| r == first) => first.clone(),
        _ => BTreeMap::new(),
    }
}

/// What is made for a file of lines is text, everything else JSON.
fn by_sink(stream: &Stream) -> Format {
    match &stream.sink {
        Some(sink) if sink.holds == FileFormat::Lines && matches!(sink.to, SinkAt::File(_)) => Format::Text,
        _ => Format::Json,
    }
}

/// The step with its names resolved.
pub fn step(flow: &FlowId, streams: &[Stream], wired: &Wired<'_>, built: Built) -> Step {
    let name = wired.draft.name.0.clone();
    let index = |(n, _): &(String, _)| find(streams, n);
    let inputs: Vec<StreamNo> = wired.inputs.iter().filter_map(index).collect();
    let mut groups = built.groups;
    if groups.is_empty() {
        groups.push(format!("{flow}.{name}"));
    }
    while groups.len() < inputs.len() {
        groups.push(groups[0].clone());
    }
    let mut outputs: Vec<StreamNo> = wired.ports.outputs.iter().filter_map(|(n, _)| index(n)).collect();
    let done = wired.ports.done.and_then(|_| outputs.pop());
    Step {
        name,
        span: wired.draft.name.1,
        kind: built.kind,
        inputs,
        outputs,
        shards: wired.shards.clone(),
        on_error: built.on_error,
        on_error_said: built.on_error_said,
        groups,
        done,
    }
}
