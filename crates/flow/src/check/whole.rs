//! What can only be said of the whole flow: modes of sinks, files and groups with one user, results that
//! nobody reads.

use super::wire::Wired;
use crate::diagnostic::Diagnostic;
use crate::model::{Flow, Kind, Mode, SinkAt, SourceAt, Stream, Writer};
use crate::names::nearest;
use crate::number::StreamNo;
use crate::paths;
use crate::patterns::barrier::IfFailed;
use crate::read::keys::Faults;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What can only be said of the whole: modes of sinks, results that nobody reads.
pub fn ends(flow: &mut Flow, wired: &[Wired<'_>], faults: &mut Faults) {
    // outputs that nobody uses: one of them may be meant
    let unused = |o: &&StreamNo| flow.streams.get(o.0).is_some_and(|s| !s.declared && s.readers.is_empty());
    let ends: Vec<String> = flow
        .steps
        .iter()
        .flat_map(|s| s.outputs.iter().filter(unused))
        .map(|o| flow.streams[*o].name.clone())
        .collect();
    let moving: Vec<bool> =
        flow.stream_nos().map(|i| flow.above(i).into_iter().any(|s| flow.streams[s].moves())).collect();
    for (stream, moving) in flow.streams.iter_mut().zip(moving) {
        if let Some(sink) = &mut stream.sink
            && !sink.mode_said
            && moving
        {
            sink.mode = Mode::Append;
        }
        if stream.writer == Writer::Outside && stream.readers.is_empty() {
            let (what, code) = match &stream.sink {
                None => (format!("the stream `{}` is not used", stream.name), "unused"),
                Some(_) => (format!("no step writes `{}`, and it has a sink", stream.name), "unwritten-sink"),
            };
            let fault = Diagnostic::warning(code, stream.span, what);
            faults.push(match &stream.sink {
                None => fault,
                Some(_) => {
                    let near = nearest(&stream.name, ends.iter().map(String::as_str));
                    let near = near.map_or(String::new(), |n| format!("did you mean `{n}`? "));
                    fault.label(format!("{near}only what comes from outside (produce, a topic) is stored there"))
                }
            });
        }
    }
    for (step, wired) in flow.steps.iter().zip(wired) {
        let makes = matches!(step.kind, Kind::Reduce(..) | Kind::Barrier(_) | Kind::Filter(_) | Kind::Pair(_));
        let lost = step.outputs.first().map(|o| &flow.streams[*o]).is_some_and(|s| !s.declared && s.readers.is_empty());
        if makes && lost {
            let what = format!("the output of `{}` is not used", step.name);
            faults.push(Diagnostic::warning("unread-result", wired.draft.name.1, what));
        }
    }
    gates_before_pairs(flow, faults);
    groups(flow, faults);
    files(flow, faults);
    ways(flow, faults);
    standard_input(flow, faults);
    own_outputs(flow, faults);
}

/// A pair moves on with what comes next, and does not come back for a batch that is repaired: a gate before it does not
/// hold, it fails.
fn gates_before_pairs(flow: &mut Flow, faults: &mut Faults) {
    let pairs = flow.steps.iter().filter(|s| matches!(s.kind, Kind::Pair(_)));
    let before: BTreeSet<StreamNo> = pairs.flat_map(|s| &s.inputs).flat_map(|i| flow.above(*i)).collect();
    for stream in before {
        if let Writer::Step(w, _) = flow.streams[stream].writer
            && let Kind::Barrier(gate) | Kind::Reduce(_, gate) = &mut flow.steps[w].kind
        {
            gate.if_failed = IfFailed::Fail;
            if gate.by_hand {
                let what =
                    format!("`{}` is opened by hand, and a pair behind it does not wait for that", flow.steps[w].name);
                let fault = Diagnostic::error("by-hand-before-pair", flow.steps[w].span, what);
                faults.push(fault.help("open it when complete, or write the pairs in a flow of their own"));
            }
        }
    }
}

/// A join over copies of a join over copies, and so on, doubles with each: every way to a stream is a reader.
fn ways(flow: &Flow, faults: &mut Faults) {
    let mut known: Vec<Option<u64>> = vec![None; flow.streams.len()];
    for step in &flow.steps {
        let n = step.inputs.iter().fold(0u64, |n, s| n.saturating_add(ways_to(flow, *s, &mut known)));
        let most = anabranch_engine::limits::WAYS;
        if n > most + step.inputs.len() as u64 {
            let what = format!("`{}` reaches what it reads in {n} ways, through copies and joins", step.name);
            let help =
                format!("at most {most} are possible: declare a stream in between, it is written then and read once");
            faults.push(Diagnostic::error("too-many-ways", step.span, what).help(help));
            return;
        }
    }
}

/// In how many ways a stream is read from the log, if all that needs no bytes of its own has none.
fn ways_to(flow: &Flow, stream: StreamNo, known: &mut Vec<Option<u64>>) -> u64 {
    let Some(s) = flow.streams.get(stream.0) else { return 1 };
    if let Some(n) = known[stream] {
        return n;
    }
    let n = match s.writer {
        Writer::Step(w, _) if !s.is_public() => match flow.steps.get(w.0) {
            Some(step) if matches!(step.kind, Kind::Copy(_) | Kind::Barrier(_)) && step.done != Some(stream) => {
                step.inputs.iter().fold(0u64, |n, s| n.saturating_add(ways_to(flow, *s, known)))
            }
            _ => 1,
        },
        _ => 1,
    };
    known[stream] = Some(n);
    n
}

/// Standard input fills one stream: what one of two took would be missing in the other.
fn standard_input(flow: &Flow, faults: &mut Faults) {
    let reads = |s: &&Stream| s.source.as_ref().is_some_and(|s| s.from == SourceAt::Stdin);
    let mut readers = flow.streams.iter().filter(reads);
    let Some(first) = readers.next() else { return };
    for second in readers {
        let what = format!("standard input fills one stream, and `{}` has it already", first.name);
        let fault = Diagnostic::error("stdin-twice", second.span, what);
        faults.push(fault.help(format!("both can have all of it:  NAME: {{ copy: {}, to: [a, b] }}", first.name)));
    }
}

/// What the flow writes is not what it reads. Of a pattern the own files are left out; a path would be read while it is
/// written, and replaced under a run that has to go on.
fn own_outputs(flow: &Flow, faults: &mut Faults) {
    let sink = |s: &'_ Stream| match s.sink.as_ref().map(|s| &s.to) {
        Some(SinkAt::File(path)) => Some(path.text.clone()),
        _ => None,
    };
    for stream in &flow.streams {
        let Some(SourceAt::Files(source)) = stream.source.as_ref().map(|s| &s.from) else { continue };
        for (other, path) in flow.streams.iter().filter_map(|s| Some((&s.name, sink(s)?))) {
            if paths::plain(source) == paths::plain(&path) {
                let what = format!("`{}` reads the file that `{other}` writes: {path}", stream.name);
                let fault = Diagnostic::error("own-output", stream.span, what);
                faults.push(fault.help("write to another file, and put it in place when the run is done"));
            } else if paths::matches(source, &path) {
                let what = format!("`{source}` matches what the flow writes itself: {path} is left out");
                let fault = Diagnostic::warning("own-output", stream.span, what);
                faults.push(fault.label("read and write in folders of their own"));
            }
        }
    }
}

/// A file has one writer.
fn files(flow: &Flow, faults: &mut Faults) {
    let mut seen: BTreeMap<PathBuf, &str> = BTreeMap::new();
    for stream in &flow.streams {
        let Some(SinkAt::File(path)) = stream.sink.as_ref().map(|s| &s.to) else { continue };
        if let Some(other) = seen.insert(paths::plain(&path.text), &stream.name) {
            let what = format!("`{}` and `{other}` are written to one file", stream.name);
            faults.push(
                Diagnostic::error("file-twice", stream.span, what)
                    .help("give each a file of its own, or put a merge before it"),
            );
        }
    }
}

/// Two readers of one stream in one group would share its items, and each is to have all.
fn groups(flow: &Flow, faults: &mut Faults) {
    let mut seen: BTreeSet<(&str, &str)> = BTreeSet::new();
    for step in &flow.steps {
        for (input, group) in step.inputs.iter().zip(&step.groups) {
            let Some(stream) = flow.streams.get(input.0) else { continue };
            if !seen.insert((group, stream.name.as_str())) {
                let what = format!("two steps read `{}` as the group `{group}`", stream.name);
                faults.push(
                    Diagnostic::error("group-twice", step.span, what).label("each reader needs a group of its own"),
                );
            }
        }
    }
}
