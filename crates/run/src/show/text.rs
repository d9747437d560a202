//! Text for people: that steers no terminal, and fits its columns.

use std::borrow::Cow;
use unicode_width::UnicodeWidthStr;

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

/// `1 error`, `2 errors`.
pub fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
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
