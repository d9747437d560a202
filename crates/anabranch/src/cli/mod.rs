//! The command line: what was typed, turned into calls of the library, printed.

/// Writes a line to standard output, for people.
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::print::show(&(format!($($text)*) + "\n")) };
}

/// Writes a line to standard error.
macro_rules! tell {
    ($($text:tt)*) => { $crate::cli::print::tell(&(format!($($text)*) + "\n")) };
}

mod args;
mod check;
pub mod commands;
mod consume;
mod dead;
mod explain;
mod fit;
mod frame;
mod graph;
mod groups;
mod kept;
mod letters;
mod logs;
mod open;
mod place;
mod plan;
mod print;
mod produce;
mod progress;
mod repair;
mod report;
mod rewind;
mod run;
mod runs;
mod screen;
mod signals;
mod streams;
mod test;

use anabranch_engine::{Error, Kind};
use anabranch_flow::names::nearest;
use args::{Args, Command};
use clap::error::ContextKind;
use clap::{CommandFactory, Parser};
use std::process::ExitCode;

/// How a command ended: its exit status.
type Exit = u8;

/// Commands of the language that this version does not have yet.
const LATER: [&str; 2] = ["new", "trace"];

/// Runs the command line.
pub fn main() -> ExitCode {
    run_as(std::env::args_os())
}

/// Runs the command line with these arguments; the first one is the name of the program.
pub fn run_as(typed: impl IntoIterator<Item = std::ffi::OsString>) -> ExitCode {
    let typed: Vec<std::ffi::OsString> = typed.into_iter().collect();
    let args = match Args::try_parse_from(&typed) {
        Ok(args) => args,
        Err(e) => {
            let unknown = e.get(ContextKind::InvalidSubcommand).map(ToString::to_string).unwrap_or_default();
            if let Some(later) = LATER.iter().find(|later| **later == unknown) {
                tell!("error: `{later}` is not in this version");
                return ExitCode::from(2);
            }
            let _ = e.print();
            let known: Vec<String> = Args::command().get_subcommands().map(|c| c.get_name().to_string()).collect();
            if let Some(near) = nearest(&unknown, known.iter().map(String::as_str))
                && e.get(ContextKind::SuggestedSubcommand).is_none()
                && !unknown.is_empty()
            {
                tell!("\n  did you mean  anabranch {near} ?");
            }
            if !unknown.is_empty() && std::path::Path::new(&unknown).is_file() {
                tell!("\n  {unknown} is a file; to run it:  anabranch run {unknown}");
            }
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    signals::say_what_cannot_grow();
    let outcome = match &args.command {
        Command::Run(a) => run::run(&args, a),
        Command::Check(a) => check::check(&args, a),
        Command::Test(a) => test::test(&args, a),
        Command::Plan(a) => plan::plan(&args, a),
        Command::Graph(a) => graph::graph(&args, a),
        Command::Schema => {
            print::document(&anabranch_flow::schema::schema());
            Ok(0)
        }
        Command::Report(a) => report::show(&args, a),
        Command::Runs(a) => runs::runs(&args, a),
        Command::Explain(a) => explain::explain(&args, a),
        Command::Streams(a) => streams::streams(&args, a),
        Command::Produce(a) => produce::produce(&args, a),
        Command::Consume(a) => consume::consume(&args, a),
        Command::Groups(a) => groups::groups(&args, a),
        Command::Dead(a) => dead::dead(&args, a),
        Command::Logs(a) => logs::logs(&args, a),
        Command::Open(a) => open::open(&args, a),
    };
    ExitCode::from(outcome.unwrap_or_else(|e| fail(&e, args.json)))
}

/// Says an error on standard error, and with `--json` as a document; its kind decides the exit status.
fn fail(e: &Error, json: bool) -> Exit {
    let exit = match e.kind {
        Kind::Closed => return CLOSED,
        Kind::Usage | Kind::Busy => 2,
        Kind::Held => 4,
        _ => 1,
    };
    tell!("error: {e}");
    if json {
        print::document(&error(exit, e.code, &e.text, e.help.as_deref()));
    }
    exit
}

/// What `--json` prints in the place of a document that cannot be had.
fn error(exit: Exit, code: &str, text: &str, help: Option<&str>) -> serde_json::Value {
    serde_json::json!({ "schema": "anabranch.error/1", "code": code, "error": text, "help": help, "exit": exit })
}

/// Exit status where the reader of standard output has gone, as of a program that a closed pipe ends.
const CLOSED: Exit = 128 + 13;
