//! The commands as a page in Markdown, made of what `--help` is made of.

use super::args::Args;
use clap::{Arg, ArgAction, Command, CommandFactory};
use std::fmt::Write;

/// The commands and what may be typed with each.
pub fn markdown() -> String {
    let mut out = String::from("## Commands\n\nEvery command may have:\n\n");
    let mut all = Args::command();
    all.build();
    options(&mut out, all.get_arguments().filter(|a| a.get_id() != "version" && a.get_id() != "help"));
    for command in all.get_subcommands().filter(|c| c.get_name() != "help") {
        describe(&mut out, "anabranch", command);
    }
    out
}

fn describe(out: &mut String, of: &str, command: &Command) {
    let name = format!("{of} {}", command.get_name());
    let inner: Vec<&Command> = command.get_subcommands().filter(|c| c.get_name() != "help").collect();
    if inner.is_empty() {
        let places: Vec<String> = command.get_positionals().map(place).collect();
        let usage = std::iter::once(name.clone()).chain(places).collect::<Vec<_>>().join(" ");
        let _ =
            write!(out, "\n### `{usage}`\n\n{}.\n", command.get_about().map(ToString::to_string).unwrap_or_default());
        let own = |a: &&Arg| !a.is_global_set() && a.get_id() != "help";
        let own: Vec<&Arg> = command.get_arguments().filter(own).collect();
        if !own.is_empty() {
            out.push('\n');
            options(out, own.into_iter());
        }
    }
    inner.into_iter().for_each(|c| describe(out, &name, c));
}

fn place(arg: &Arg) -> String {
    let name = arg.get_value_names().and_then(|n| n.first()).map_or(String::new(), ToString::to_string);
    if arg.is_required_set() { name } else { format!("[{name}]") }
}

fn options<'a>(out: &mut String, args: impl Iterator<Item = &'a Arg>) {
    *out += "| | |\n|---|---|\n";
    for arg in args {
        let flags = match (arg.get_short(), arg.get_long()) {
            (Some(short), Some(long)) => format!("-{short}, --{long}"),
            (None, Some(long)) => format!("--{long}"),
            _ => place(arg),
        };
        let takes = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append) && !arg.is_positional();
        let value = arg.get_value_names().filter(|_| takes).and_then(|n| n.first());
        let value = value.map_or(String::new(), |v| format!(" {v}"));
        let mut text = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let usual: Vec<String> = arg.get_default_values().iter().map(|v| v.to_string_lossy().into_owned()).collect();
        if !usual.is_empty() && takes | arg.is_positional() {
            let _ = write!(text, " [default: {}]", usual.join(" "));
        }
        let values: Vec<String> = arg.get_possible_values().iter().map(|v| v.get_name().to_string()).collect();
        if !values.is_empty() && takes {
            let _ = write!(text, " [one of: {}]", values.join(", "));
        }
        if let Some(env) = arg.get_env() {
            let _ = write!(text, " [environment: `{}`]", env.to_string_lossy());
        }
        let _ = writeln!(out, "| `{flags}{value}` | {} |", text.replace('|', "\\|"));
    }
}
