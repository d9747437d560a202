//! What happens around a run: who is told when it ends, and what a run means in which nothing comes on.

use crate::diagnostic::Diagnostic;
use crate::expr::{Env, Names, Reads};
use crate::names::nearest;
use crate::patterns::action::{Command, command};
use crate::read::compile::run_names;
use crate::read::keys::{Faults, Keys};
use crate::spec::{Is, Key};
use crate::tree::Node;
use std::time::Duration;

/// Keys of `on-end`.
pub const ON_END: &[Key] = &[
    Key::new(
        "exec",
        Is::Program,
        "A program that is told how a run ended: `{run.status}`, and the report as JSON on standard input.",
        "exec: [./tell.sh, '{run.status}']",
    )
    .needed(),
    Key::new(
        "when",
        Is::Texts,
        "After which ends: `done`, `dead`, `held`, `failed`, `stopped`.",
        "when: [held, failed]",
    )
    .depends("all but `stopped`"),
    Key::new("timeout", Is::Duration, "How long it may take.", "timeout: 10s").usual("30s"),
    Key::new("env", Is::Settings, "Variables that the program gets beside ours.", "env: { TOKEN: '${TOKEN}' }"),
];

/// Keys of `stall`.
pub const STALL: &[Key] = &[
    Key::new("after", Is::Duration, "Nothing was committed for so long.", "after: 1h").usual("5m"),
    Key::new(
        "then",
        Is::Word(&["note", "fail"]),
        "It is said what is under way; or the run stops as well, and goes on when it is run again.",
        "then: fail",
    )
    .usual("note"),
];

/// How a run has ended, as `when` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Everything came through.
    Done,
    /// It is done with dead letters.
    Dead,
    /// A gate holds its batch.
    Held,
    /// It has failed.
    Failed,
    /// It was told to stop, and is open.
    Stopped,
}

/// All of them, by their words.
const ENDINGS: [(&str, Ending); 5] = [
    ("done", Ending::Done),
    ("dead", Ending::Dead),
    ("held", Ending::Held),
    ("failed", Ending::Failed),
    ("stopped", Ending::Stopped),
];

impl Ending {
    /// Its word.
    pub fn word(self) -> &'static str {
        ENDINGS.iter().find(|(_, e)| *e == self).map_or("", |(word, _)| word)
    }
}

/// Who is told when a run has ended.
#[derive(Debug, Clone)]
pub struct OnEnd {
    /// What is called.
    pub command: Command,
    /// After which ends.
    pub when: Vec<Ending>,
    /// How long it may take.
    pub timeout: Duration,
}

/// What a run means in which nothing comes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// Nothing was committed for so long.
    pub after: Duration,
    /// The run stops.
    pub fails: bool,
}

impl Default for Stall {
    fn default() -> Stall {
        Stall { after: Duration::from_secs(300), fails: false }
    }
}

/// Reads `stall`.
pub fn stall(node: &Node, faults: &mut Faults) -> Stall {
    let usual = Stall::default();
    let Some(mut keys) = Keys::of(node, "`stall`", STALL, faults) else { return usual };
    let after = keys.duration("after", faults).unwrap_or(usual.after);
    let fails = keys.word("then", faults) == Some("fail");
    keys.done(|_| None, faults);
    Stall { after, fails }
}

/// Reads `on-end`.
pub fn on_end(node: &Node, env: &Env, faults: &mut Faults) -> Option<OnEnd> {
    let mut keys = Keys::of(node, "`on-end`", ON_END, faults)?;
    let timeout = keys.duration("timeout", faults).unwrap_or(Duration::from_secs(30));
    let mut when = vec![];
    for (word, span) in keys.texts("when", faults).unwrap_or_default() {
        match ENDINGS.iter().find(|(w, _)| *w == word) {
            Some((_, ending)) => when.push(*ending),
            None => {
                let near = nearest(word, ENDINGS.iter().map(|(w, _)| *w));
                let all = || format!("it is one of: {}", ENDINGS.map(|(w, _)| w).join(", "));
                let label = near.map_or_else(all, |n| format!("did you mean `{n}`?"));
                faults.push(Diagnostic::error("when", span, format!("no run ends as `{word}`")).label(label));
            }
        }
    }
    if when.is_empty() {
        when = ENDINGS.iter().map(|(_, e)| *e).filter(|e| *e != Ending::Stopped).collect();
    }
    let names = Names { extra: vec!["run.status"], ..run_names(env) };
    if keys.key_span("exec").is_none() {
        let fault = Diagnostic::error("no-program", keys.span, "`on-end` names no program");
        faults.push(fault.label("write  exec: [./tell.sh, '{run.status}']"));
    }
    let command = keys.node("exec").and_then(|node| {
        let given = keys.node("env");
        command(("exec", node), given, (&names, env), (&mut Reads::default(), faults))
    });
    keys.done(|_| None, faults);
    Some(OnEnd { command: command?, when, timeout })
}
