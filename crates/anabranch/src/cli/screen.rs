//! How large the terminal is, and text that fits it.

use super::print::plain;
use std::os::fd::AsFd;
use terminal_size::terminal_size_of;
use unicode_width::UnicodeWidthStr;

/// Columns and rows of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// The size of the terminal that this is, if it is one. A terminal that does not tell has 80 columns and 24 rows.
pub fn size(of: impl AsFd + std::io::IsTerminal) -> Option<Size> {
    let told = terminal_size_of(&of).map(|(w, h)| Size { width: w.0.into(), height: h.0.into() });
    let told = told.filter(|s| s.width > 0 && s.height > 0);
    told.or_else(|| of.is_terminal().then_some(Size { width: 80, height: 24 }))
}

/// The width of the terminal that this is, if it is one.
pub fn width(of: impl AsFd + std::io::IsTerminal) -> Option<usize> {
    size(of).map(|s| s.width)
}

/// Columns that a text takes.
pub fn columns(text: &str) -> usize {
    text.width()
}

/// Text in one line that steers nothing.
pub fn flat(text: &str) -> String {
    plain(text).replace(['\n', '\t'], " ")
}

/// The text if it has so many columns at most, else its beginning and `…`.
pub fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_string();
    }
    let mut out = beginning(text, width.saturating_sub(1)).to_string();
    out.push_str(if width > 0 { "…" } else { "" });
    out
}

/// The longest beginning of a text that takes so many columns at most.
fn beginning(text: &str, width: usize) -> &str {
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    let last = ends.take_while(|end| columns(&text[..*end]) <= width).last();
    &text[..last.unwrap_or(0)]
}

/// The text in lines of at most so many columns (one character at least), broken at spaces where there are some.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let (mut out, mut rest) = (vec![], text.trim_end());
    while columns(rest) > width {
        let fits = beginning(rest, width);
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let fits = if fits.is_empty() { &rest[..first] } else { fits };
        let ends_word = rest[fits.len()..].starts_with(' ');
        let space = fits.rfind(' ').filter(|at| !ends_word && !fits[..*at].trim().is_empty());
        let end = space.unwrap_or(fits.len());
        out.push(rest[..end].trim_end().to_string());
        rest = rest[end..].trim_start();
    }
    if !rest.is_empty() || out.is_empty() {
        out.push(rest.to_string());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_and_wrapped_by_columns() {
        for (text, width, short) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("e\u{301}e\u{301}e\u{301}", 3, "e\u{301}e\u{301}e\u{301}"),
            ("abc", 1, "…"),
            ("abc", 0, ""),
        ] {
            assert_eq!(cut(text, width), short);
        }
        for (text, width, lines) in [
            ("", 5, vec![""]),
            ("one two three", 7, vec!["one two", "three"]),
            ("one two three", 8, vec!["one two", "three"]),
            ("abcdefgh ij", 3, vec!["abc", "def", "gh", "ij"]),
            ("  a bcd", 4, vec!["  a", "bcd"]),
            ("日本語", 1, vec!["日", "本", "語"]),
        ] {
            assert_eq!(wrap(text, width), lines, "{text} at {width}");
        }
    }
}
