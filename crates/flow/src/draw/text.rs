//! A flow as text: a line for each way through it.

use crate::model::{ActionSpec, Flow, Kind, SinkAt, SourceAt, Step, Writer};
use crate::number::{StepNo, StreamNo};
use crate::patterns::barrier::Tolerate;
use crate::patterns::work::Shape;

/// Draws the flow, a line for each way from a source to an end.
///
/// A stream that several steps read is drawn once and named again where its other ways begin.
pub fn text(flow: &Flow) -> String {
    let mut out = String::new();
    let mut todo: Vec<StreamNo> =
        flow.stream_nos().filter(|s| !matches!(flow.streams[*s].writer, Writer::Step(..))).collect();
    let mut drawn = vec![];
    todo.reverse();
    while let Some(stream) = todo.pop() {
        for reader in ends(flow, stream) {
            let mut line = start(flow, stream);
            follow(flow, reader, &mut line, &mut todo, &mut drawn);
            out += &line;
            out.push('\n');
        }
    }
    out
}

/// What takes a stream: steps, each once, or its sink.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Step(StepNo),
    Sink(StreamNo),
    Nobody,
}

fn ends(flow: &Flow, stream: StreamNo) -> Vec<End> {
    let s = &flow.streams[stream];
    let mut ends: Vec<End> = vec![];
    for (step, _) in &s.readers {
        if !ends.contains(&End::Step(*step)) {
            ends.push(End::Step(*step));
        }
    }
    if s.sink.is_some() {
        ends.push(End::Sink(stream));
    }
    if ends.is_empty() {
        ends.push(End::Nobody);
    }
    ends
}

fn start(flow: &Flow, stream: StreamNo) -> String {
    let s = &flow.streams[stream];
    match s.source.as_ref().map(|s| &s.from) {
        Some(SourceAt::Files(path)) => format!("{path} ─▶ {}", s.name),
        Some(SourceAt::Stdin) => format!("stdin ─▶ {}", s.name),
        Some(SourceAt::Items(_)) => format!("items ─▶ {}", s.name),
        None => s.name.clone(),
    }
}

fn follow(flow: &Flow, end: End, line: &mut String, todo: &mut Vec<StreamNo>, drawn: &mut Vec<StepNo>) {
    match end {
        End::Nobody => {}
        End::Sink(s) => {
            if let Some(sink) = &flow.streams[s].sink {
                let to = if let SinkAt::File(path) = &sink.to { path.text.as_str() } else { "stdout" };
                *line += &format!(" ─▶ {to}");
            }
        }
        End::Step(i) => {
            let step = &flow.steps[i];
            *line += &format!(" ─▶ [{}]", label(step));
            if drawn.contains(&i) {
                return;
            }
            drawn.push(i);
            let outputs: Vec<StreamNo> = step.outputs.iter().chain(&step.done).copied().collect();
            match outputs.as_slice() {
                [] => {}
                [one] => way(flow, *one, line, todo, drawn),
                many if step.shards.is_some() || matches!(step.kind, Kind::Shard(_)) && many.len() > 2 => {
                    let names: Vec<&str> = many.iter().map(|o| flow.streams[*o].name.as_str()).collect();
                    *line += &format!(" ─▶ {} … {}", names[0], names[names.len() - 1]);
                    let next = ends(flow, many[0]);
                    match next.as_slice() {
                        [End::Step(next)] => follow(flow, End::Step(*next), line, todo, drawn),
                        _ => todo.extend(many.iter().rev()),
                    }
                }
                many => {
                    let names: Vec<&str> = many.iter().map(|o| flow.streams[*o].name.as_str()).collect();
                    *line += &format!(" ─▶ {}", names.join(", "));
                    todo.extend(many.iter().rev());
                }
            }
        }
    }
}

/// Goes on along one stream. Its name is drawn where it says more than the step's own.
fn way(flow: &Flow, stream: StreamNo, line: &mut String, todo: &mut Vec<StreamNo>, drawn: &mut Vec<StepNo>) {
    let s = &flow.streams[stream];
    let by = if let Writer::Step(w, _) = s.writer { flow.steps[w].name.as_str() } else { "" };
    if s.name != by {
        *line += &format!(" ─▶ {}", s.name);
    }
    match ends(flow, stream).as_slice() {
        [one] => follow(flow, *one, line, todo, drawn),
        _ => {
            if s.name == by {
                *line += &format!(" ─▶ {}", s.name);
            }
            todo.push(stream);
        }
    }
}

/// What a step does, in a few words.
pub fn label(step: &Step) -> String {
    let what = match &step.kind {
        Kind::Copy(_) | Kind::Merge(_) => String::new(),
        Kind::Filter(f) => format!(" where {}", f.keep.text),
        Kind::Split(s) => format!(", {} cases", s.cases.len()),
        Kind::Shard(s) => format!(" by {}, {} shards", s.by.text, s.shards.len()),
        Kind::Barrier(gate) => match gate.tolerate {
            Tolerate::Items(0) => " ◇".into(),
            Tolerate::Items(n) => format!(" ◇ tolerates {n}"),
            Tolerate::Percent(p) => format!(" ◇ tolerates {p}%"),
        },
        Kind::Reduce(r, _) if r.by.is_empty() => String::new(),
        Kind::Reduce(r, _) => format!(" by {}", r.by.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>().join(", ")),
        Kind::Pair(_) => " in lock step".into(),
        Kind::Work(w) => match &w.shape {
            Shape::Each(_) => " each".into(),
            Shape::Set(_) => " set".into(),
            _ => " value".into(),
        },
        Kind::Act(act) => match &act.action {
            ActionSpec::Exec(c) => format!(" ⇄ {}", c.args.first().map_or("", |a| a.text.as_str())),
            ActionSpec::Pipe(c) => format!(" ⇄ {} (pipe)", c.args.first().map_or("", |a| a.text.as_str())),
            ActionSpec::Code(_) => " ⇄ Rust".into(),
        },
    };
    format!("{} {}{what}", step.verb(), step.name)
}
