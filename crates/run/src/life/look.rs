//! A look at what lies outside before anything is touched: what `check` and a run say of the files that a flow names.

use crate::world::{Goal, World, Written};
use anabranch_engine::{Error, Result};
use anabranch_flow::diagnostic::{Diagnostic, Severity, Span};
use anabranch_flow::model::{ActionSpec, Flow, Kind, Mode, SinkAt, SourceAt, Step, Stream};
use anabranch_flow::number::StepNo;
use anabranch_flow::paths;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Everything that is wrong outside with a flow that is fine in itself.
pub fn look(flow: &Flow, world: &World) -> Vec<Diagnostic> {
    let mut faults = vec![];
    let written = written(flow);
    for stream in &flow.streams {
        let Some(source) = &stream.source else { continue };
        let SourceAt::Files(path) = &source.from else { continue };
        match world.sources.survey(source, &written) {
            Err(e) => faults.push(fault("source", stream.span, e)),
            Ok(manifest) => {
                let told = |note| Diagnostic::warning("left-out", stream.span, note);
                faults.extend(manifest.notes.into_iter().map(told));
                if manifest.files.is_empty() {
                    faults.push(Diagnostic::note("no-match", stream.span, format!("{path} matches no file now")));
                }
            }
        }
    }
    faults.extend(of_sinks(flow, world));
    faults.extend(pairs(flow));
    faults.extend(flow.steps.iter().filter_map(|step| {
        let (path, starts) = program(step).filter(|(path, starts)| !starts || path.contains('/'))?;
        let why = world.actions.program(path, starts)?;
        Some(Diagnostic::warning("program", step.span, why).label("paths are relative to the folder of the flow"))
    }));
    faults.sort_by_key(|d| (d.span, d.severity));
    faults
}

/// A pair reads two streams of the log; a view of several has no order of its own.
fn pairs(flow: &Flow) -> Vec<Diagnostic> {
    let units = anabranch_flow::plan::plan(flow, false).units.into_iter();
    let wrong = units.filter(|u| u.roots.len() != 2).filter_map(|u| Some((u.pairs?, u.roots.len())));
    wrong.map(|(s, n)| pairs_of(flow, s, n)).map(|(span, e)| fault("pair", span, e)).collect()
}

/// Why a pair cannot have so many streams to read.
pub fn pairs_of(flow: &Flow, step: StepNo, streams: usize) -> (Span, Error) {
    let step = &flow.steps[step];
    let e = Error::usage(format!("{} pairs two streams, but it would read {streams}", step.name));
    (step.span, e.help("let each side be one stream; put a merge before it"))
}

/// Programs that are given a script by its path.
const INTERPRETERS: [&str; 9] = ["sh", "bash", "dash", "zsh", "python", "python3", "perl", "ruby", "node"];

/// The program that a step calls, or the script of an interpreter, as far as it is the same for all items; whether it is
/// to be started.
pub fn program(step: &Step) -> Option<(&str, bool)> {
    let Kind::Act(act) = &step.kind else { return None };
    let (ActionSpec::Exec(command) | ActionSpec::Pipe(command)) = &act.action else { return None };
    let args: Vec<&str> = command.args.iter().take_while(|a| a.is_plain()).map(|a| a.text.as_str()).collect();
    match args.as_slice() {
        [program, script, ..] if INTERPRETERS.contains(program) && is_path(script) => Some((script, false)),
        [program, ..] => Some((program, true)),
        [] => None,
    }
}

fn is_path(text: &str) -> bool {
    text.contains(['/', '.']) && !text.starts_with('-') && !text.contains(char::is_whitespace)
}

fn fault(code: &'static str, span: Span, e: Error) -> Diagnostic {
    Diagnostic { severity: Severity::Error, help: e.help, ..Diagnostic::error(code, span, e.text) }
}

/// What the flow writes: its sinks.
pub fn written(flow: &Flow) -> Vec<Written> {
    let files = flow.streams.iter().filter_map(|s| match s.sink.as_ref().map(|s| &s.to) {
        Some(SinkAt::File(path)) => Some(Written { pieces: path.pieces(), adds: adds(s) }),
        _ => None,
    });
    files.collect()
}

fn adds(stream: &Stream) -> bool {
    stream.sink.as_ref().is_some_and(|s| s.mode == Mode::Append)
}

/// The error of a sink with `mode: fail` whose file is there.
pub fn is_there_already(path: &str) -> Error {
    let help = "`mode: fail` does not touch it: move it away, or write  mode: replace";
    Error::usage(format!("the sink {path} is there already")).help(help)
}

/// Fails if a sink cannot be written, or two are one file.
pub fn sinks(flow: &Flow, world: &World) -> Result<()> {
    match of_sinks(flow, world).into_iter().next() {
        Some(d) => Err(Error { help: d.help, ..Error::usage(d.message) }),
        None => Ok(()),
    }
}

fn of_sinks(flow: &Flow, world: &World) -> Vec<Diagnostic> {
    let plain = |s: &Stream| match s.sink.as_ref().map(|s| &s.to) {
        Some(SinkAt::File(path)) if path.is_plain() => Some(path.pieces().into_iter().flatten().collect::<String>()),
        _ => None,
    };
    let paths: Vec<Option<String>> = flow.streams.iter().map(plain).collect();
    let mut faults = vec![];
    for (stream, path) in flow.streams.iter().zip(&paths) {
        let Some(path) = path else { continue };
        faults.extend(world.sinks.goal(path, !adds(stream)).err().map(|e| fault("sink", stream.span, e)));
    }
    if faults.is_empty() {
        faults.extend(apart(flow, world, &paths).err().map(|(span, e)| fault("file-twice", span, e)));
    }
    faults
}

/// What tells a file that is written from others.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum File {
    At(PathBuf),
    Is((u64, u64)),
}

/// Fails if two of the paths of sinks lead to one file, however they are written: what one wrote would be lost. A sink
/// that replaces writes `NAME.partial` as well.
pub fn apart(flow: &Flow, world: &World, paths: &[Option<String>]) -> Result<(), (Span, Error)> {
    let mut seen: BTreeMap<File, (&str, &str)> = BTreeMap::new();
    let mut folders: BTreeMap<PathBuf, (&str, &str)> = BTreeMap::new();
    for (stream, path) in flow.streams.iter().zip(paths) {
        let path = match (path, stream.sink.as_ref().map(|s| &s.to)) {
            (Some(path), _) => path.as_str(),
            (None, Some(SinkAt::Stdout)) => STDOUT,
            _ => continue,
        };
        let replace = !adds(stream);
        let (goal, id, replace) = match world.sinks.goal(path, replace) {
            Ok(Goal::File(goal, id)) => (goal, id, replace),
            Ok(Goal::Through(goal)) => (goal, None, false),
            Err(_) if path == STDOUT => continue, // it may be closed, or have no such name here
            Err(e) => return Err((stream.span, e)),
        };
        reads_it_itself(flow, world, stream, path, id.filter(|_| !replace)).map_err(|e| (stream.span, e))?;
        folders.extend(goal.ancestors().skip(1).map(|folder| (folder.to_path_buf(), (stream.name.as_str(), path))));
        let partial = replace.then(|| File::At(paths::beside(&goal, ".partial")));
        let id = id.filter(|_| !replace).map(File::Is); // two that replace it part its names
        for file in [Some(File::At(goal)), partial, id].into_iter().flatten() {
            if let Some((other, its)) = seen.insert(file, (&stream.name, path)) {
                let text = format!("`{}` and `{other}` are written to one file: {path} and {its}", stream.name);
                let e = Error::usage(text).help("give each a file of its own, or put a merge before it");
                return Err((stream.span, e));
            }
        }
    }
    for (file, (name, path)) in &seen {
        if let File::At(file) = file
            && let Some((other, its)) = folders.get(file)
        {
            let text = format!("`{name}` is written to {path}, where `{other}` needs a folder: {its}");
            let span = flow.streams.iter().find(|s| s.name == *name).map_or(Span::default(), |s| s.span);
            return Err((span, Error::usage(text).help("give one of them another path")));
        }
    }
    Ok(())
}

/// Where standard output can be found.
const STDOUT: &str = "/dev/stdout";

/// Fails if a sink adds to the very file that standard input is.
fn reads_it_itself(flow: &Flow, world: &World, stream: &Stream, path: &str, id: Option<(u64, u64)>) -> Result<()> {
    let stdin = flow.streams.iter().find(|s| s.source.as_ref().is_some_and(|s| s.from == SourceAt::Stdin));
    let (input, output) = (world.sources.redirected(), world.sinks.redirected());
    let id = if path == STDOUT { output } else { id };
    match stdin {
        Some(from) if id.is_some() && input == id => {
            let text = format!("`{}` is added to the file that `{}` is read from: {path}", stream.name, from.name);
            Err(Error::usage(text).help("write it to another file"))
        }
        _ => Ok(()),
    }
}
