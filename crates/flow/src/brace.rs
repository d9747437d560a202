//! Where a bracket of YAML was opened that is still open: for the message that one is missing.

use crate::diagnostic::Span;

/// The innermost bracket that is open at a place of a flow file, and where it stands.
pub fn open(text: &str, at: Span) -> Option<(char, Span)> {
    let mut open = vec![];
    let (mut quote, mut before, mut escaped) = (None, ' ', false);
    for (n, line) in text.lines().enumerate().map(|(i, l)| (i + 1, l)) {
        for (column, c) in line.chars().enumerate() {
            if (n, column) >= (at.line, at.column) {
                return open.pop();
            }
            let begins = before.is_whitespace() || matches!(before, '[' | '{' | ',' | ':');
            match (quote, c) {
                _ if std::mem::take(&mut escaped) => {}
                (Some('"'), '\\') => escaped = true,
                (Some(q), c) if q == c => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'') if begins => quote = Some(c),
                (None, '#') if before.is_whitespace() => break,
                (None, '{' | '[') if begins || !open.is_empty() => {
                    open.push((c, Span { line: n, column, end: column + 1 }));
                }
                (None, '}' | ']') => drop(open.pop()),
                _ => {}
            }
            before = c;
        }
        before = ' ';
    }
    open.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bracket_that_is_open_is_found() {
        let text = "a: { b: '}' } # {\nc: \"{\\\"}\"\nd: [x, { e: f\n";
        let at = |line, column| open(text, Span { line, column, end: column + 1 }).map(|(c, s)| (c, s.line, s.column));
        assert_eq!(at(4, 0), Some(('{', 3, 7)));
        assert_eq!(at(3, 6), Some(('[', 3, 3)));
        assert_eq!(at(2, 3), None);
    }
}
