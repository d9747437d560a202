//! What is printed: for people on standard output and standard error, and documents for programs.

use anabranch_flow::diagnostic::Diagnostic;
use anabranch_run::show::text::plain;
use anstream::{AutoStream, ColorChoice};
use anstyle::Style;
use serde::Serialize;
use serde_json::json;
use std::io::{ErrorKind, Write, stderr, stdout};

/// Text on standard output, for people. It cannot be written: that ends a command that is there to write it; that its
/// reader has gone changes nothing of what a command does.
pub fn show(text: &str) {
    put(&plain(text));
}

/// As [`show`], each line in a style of its own: where standard output is a terminal that has colours, and `NO_COLOR` is
/// not set.
pub fn show_styled(text: &str, style: impl Fn(&str) -> Style) {
    if AutoStream::choice(&stdout()) == ColorChoice::Never {
        return show(text);
    }
    let lines = text.lines().map(|line| match (style(line), plain(line)) {
        (style, line) if style.is_plain() => line.into_owned() + "\n",
        (style, line) => format!("{style}{line}{style:#}\n"),
    });
    put(&lines.collect::<String>());
}

/// A document on standard output, for programs.
pub fn document(document: &impl Serialize) {
    put(&(serde_json::to_string(document).unwrap_or_default() + "\n"));
}

fn put(text: &str) {
    match stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            tell(&format!("error: standard output cannot be written: {e}\n"));
            std::process::exit(1);
        }
        _ => {}
    }
}

/// Text on standard error, for people. That it cannot be written changes nothing of what is done.
pub fn tell(text: &str) {
    let _ = stderr().write_all(plain(text).as_bytes());
}

/// What is wrong, for programs.
pub fn documents<'d>(diagnostics: &'d [Diagnostic], file: &'d str) -> impl Iterator<Item = serde_json::Value> + 'd {
    diagnostics.iter().map(move |d| {
        json!({ "severity": d.severity, "code": d.code, "file": file, "line": d.span.line, "column": d.span.column + 1,
                "end": d.span.end + 1, "message": d.message, "label": d.label, "help": d.help })
    })
}
