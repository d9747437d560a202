//! What is printed: for people on standard output and standard error, and documents for programs.

use serde::Serialize;
use std::borrow::Cow;
use std::io::{ErrorKind, Write, stderr, stdout};

/// Text on standard output, for people. It cannot be written: that ends a command that is there to write it; that its
/// reader has gone changes nothing of what a command does.
pub fn show(text: &str) {
    put(&plain(text));
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

/// Text that cannot steer a terminal: items, and what programs said, come from anywhere.
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out.into()
}

/// Whether a character does something else than to be seen: it moves, colours, rings, or turns the direction of the text.
fn steers(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (c.is_control() && !matches!(c, '\n' | '\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_shown_and_all_else_stays() {
        for text in ["", "plain\n", "a\tb ✓ é 日本 🙂"] {
            assert!(matches!(plain(text), Cow::Borrowed(t) if t == text));
        }
        for (text, shown) in [
            ("\x1b[31mred\x1b[0m", "\\u{1b}[31mred\\u{1b}[0m"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("a\rb\x07\x08\x7f", "a\\u{d}b\\u{7}\\u{8}\\u{7f}"),
            ("\u{202e}txt.exe", "\\u{202e}txt.exe"),
        ] {
            assert_eq!(plain(text), shown);
        }
    }
}
