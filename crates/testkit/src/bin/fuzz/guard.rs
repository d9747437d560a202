//! What keeps a round harmless: the command line works on a flow only if all that the flow would read, write and start
//! is in its own folder. It is decided by the checked flow, in the process that goes on to run it.

use anabranch::flow::check::check_text;
use anabranch::flow::model::{Act, ActionSpec, Flow, Kind, SinkAt, SourceAt};
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

/// The first argument of a process that stands for the command line, guarded.
pub const CHILD: &str = "--guarded";
/// How such a process ends when its flow may not be run here.
pub const LEFT_OUT: i32 = 77;
/// The flow file in the folder of a round.
pub const FLOW: &str = "flow.yaml";
/// Programs that a flow may start: they do nothing but answer.
const PROGRAMS: [&str; 8] =
    ["cat", "true", "false", "echo", "./mail.sh", "./notify.sh", "./make-part.sh", "./publish.sh"];
/// Pauses between the attempts of a call, at most: a round does not wait for what is meant to take long.
const PAUSES: Duration = Duration::from_millis(100);

/// The guarded command line, if this process was started as that.
pub fn child() -> Option<ExitCode> {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    if args.get(1).is_none_or(|a| a != CHILD) {
        return None;
    }
    args.remove(1);
    let text = std::fs::read_to_string(FLOW).unwrap_or_default(); // bytes that are no text are refused by the command
    let flow = check_text(&text, &|name| std::env::var(name).ok()).flow;
    if let Some(why) = flow.as_ref().and_then(harm) {
        eprintln!("left out: {why}");
        return Some(ExitCode::from(LEFT_OUT as u8));
    }
    Some(anabranch::cli::run_as(args))
}

/// Why a flow may not be run, if it may not.
fn harm(flow: &Flow) -> Option<&'static str> {
    for stream in &flow.streams {
        if let Some(SourceAt::Files(path)) = stream.source.as_ref().map(|s| &s.from)
            && leaves(path)
        {
            return Some("it reads outside its folder");
        }
        if let Some(SinkAt::File(path)) = stream.sink.as_ref().map(|s| &s.to) {
            let known = path.text.replace("{run.id}", "").replace("{run.date}", "");
            if leaves(&path.text) || known.contains(['{', '}', '$']) || known.contains(".sh") {
                return Some("it may write where it should not");
            }
        }
    }
    flow.steps.iter().find_map(|step| match &step.kind {
        Kind::Act(act) => unfit(act),
        _ => None,
    })
}

/// Whether a path leads out of the folder.
fn leaves(path: &str) -> bool {
    path.starts_with('/') || path.split('/').any(|part| part == "..")
}

/// Why the calls of a step may not be made.
fn unfit(act: &Act) -> Option<&'static str> {
    let (ActionSpec::Exec(command) | ActionSpec::Pipe(command)) = &act.action else {
        return Some("it calls a function");
    };
    let program = command.args.first().filter(|p| p.is_plain() && PROGRAMS.contains(&p.text.as_str()));
    match program {
        None => Some("it starts another program"),
        Some(cat) if cat.text == "cat" && command.args.len() > 1 => Some("cat would read files"),
        Some(_) if pauses(act) > PAUSES => Some("it waits between attempts"),
        Some(_) => None,
    }
}

/// How long an item waits between its attempts, all in all.
fn pauses(act: &Act) -> Duration {
    let (mut all, mut pause) = (Duration::ZERO, act.backoff);
    for _ in 1..act.attempts.min(1_000) {
        all = all.saturating_add(pause.min(act.backoff_max));
        pause = pause.saturating_mul(2);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(stream: &str, step: &str) -> Option<&'static str> {
        let text = format!("flow: f\nstreams: {{ in: {{ source: in.jsonl }}, {stream} }}\nsteps: {{ {step} }}\n");
        let checked = check_text(&text, &|name| (name == "HOME").then(|| "/root".into()));
        harm(&checked.flow.unwrap_or_else(|| panic!("{text}{:?}", checked.diagnostics)))
    }

    #[test]
    fn what_may_leave_the_folder_is_left_out() {
        for path in
            ["/etc/passwd", "out/../../x", "\"\\x2fdev\\x2fsda\"", "'${HOME}/x'", "'{run.id + \"/../..\"}'", "mail.sh"]
        {
            let env = if path.contains("HOME") { "}\nenv: { HOME: null }\nx-a: {" } else { "" };
            let sink = format!("out: {{ sink: {path} }} {env}");
            assert!(judged(&sink, "out: { copy: in, to: out }").is_some(), "{path}");
        }
        assert!(judged("a: { source: '/**' }", "out: { merge: [in, a] }").is_some());
        for step in
            ["exec: [sh, -c, ls]", "exec: ['{item.x}']", "exec: [/bin/echo]", "pipe: [cat, /dev/zero]", "exec: [echo]"]
        {
            assert!(judged("a: {}", &format!("a: {{ work: in, {step} }}")).is_some(), "{step}"); // the last one waits for a second
        }
        let fine = "a: { work: in, exec: [echo, '{item}'], retry: { attempts: 2, backoff: 10ms } }";
        assert_eq!(judged("a: { sink: 'out/{run.id}.jsonl' }", fine), None);
    }
}
