//! The command line: what was typed, turned into calls of the library, printed.

/// Writes a line to standard output.
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::show_text(&(format!($($text)*) + "\n")) };
}

/// Writes text to standard output as it is.
macro_rules! show {
    ($($text:tt)*) => { $crate::cli::show_text(&format!($($text)*)) };
}

mod args;
mod check;
mod consume;
mod dead;
mod explain;
mod fit;
mod graph;
mod groups;
mod place;
mod produce;
mod programs;
mod progress;
mod report;
mod rewind;
mod run;
mod streams;
mod table;

use anabranch_engine::{Error, Kind};
use args::{Args, Command};
use clap::Parser;
use std::process::ExitCode;

/// How a command ended: its exit status.
type Exit = u8;

/// Commands of the language that this version does not have yet.
const LATER: [&str; 4] = ["new", "test", "schema", "trace"];

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
            if let Some(later) = LATER.iter().find(|l| typed.get(1).is_some_and(|t| *t == **l)) {
                eprintln!("error: `{later}` is not in this version");
                return ExitCode::from(2);
            }
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    let outcome = match &args.command {
        Command::Run(a) => run::run(&args, a),
        Command::Check(a) => check::check(&args, a),
        Command::Graph(a) => graph::graph(a),
        Command::Report(a) => report::show(&args, a),
        Command::Explain(a) => explain::explain(&args, a),
        Command::Streams(a) => streams::streams(&args, a),
        Command::Produce(a) => produce::produce(&args, a),
        Command::Consume(a) => consume::consume(&args, a),
        Command::Groups(a) => groups::groups(&args, a),
        Command::Dead(a) => dead::dead(&args, a),
    };
    ExitCode::from(outcome.unwrap_or_else(|e| fail(&e)))
}

/// Says an error on standard error; its kind decides the exit status.
fn fail(e: &Error) -> Exit {
    eprintln!("error: {e}");
    match e.kind {
        Kind::Usage | Kind::Busy => 2,
        _ => 1,
    }
}

/// Standard output that cannot be written ends a command that is there to write it; who closed a pipe has seen enough.
fn show_text(text: &str) {
    use std::io::Write;
    if let Err(e) = std::io::stdout().write_all(text.as_bytes()) {
        let closed = e.kind() == std::io::ErrorKind::BrokenPipe;
        if !closed {
            eprintln!("error: standard output cannot be written: {e}");
        }
        std::process::exit(i32::from(!closed));
    }
}
