//! From text to syntax tree, by the crate `cel`, behind guards: its parser recurses
//! deeply, so length and brackets are counted first, and it runs on a stack of its own.

use super::{ParseFault, hint};
use anabranch_engine::limits;
use cel::common::ast::{IdedExpr, SourceInfo};
use cel::parser::Parser;

/// A parsed expression and where its parts stand.
pub struct Parsed {
    /// The tree.
    pub tree: IdedExpr,
    /// Places of its nodes.
    pub source: SourceInfo,
}

/// Parses one expression.
///
/// # Errors
///
/// The text is no expression, too long or nested too deeply: why, and at which character.
#[allow(clippy::disallowed_methods)] // the parser recurses, and is given a stack of its own
pub fn parse(text: &str) -> Result<Parsed, ParseFault> {
    guard(text)?;
    let owned = text.to_string();
    let work = move || {
        let parser = Parser::default().enable_optional_syntax(true).enable_ident_escape_syntax(true);
        parser.parse_with_source_info(&owned)
    };
    let thread = std::thread::Builder::new().stack_size(limits::PARSER_STACK_BYTES).spawn(work);
    let thread = thread.map_err(|e| ParseFault { text: format!("cannot start a thread to parse it: {e}"), at: 0 })?;
    match thread.join() {
        Ok(Ok((tree, source))) => Ok(Parsed { tree, source }),
        Ok(Err(errors)) => Err(errors.errors.first().map_or_else(
            || ParseFault { text: "not an expression".into(), at: 0 },
            |e| {
                let early = e.msg.contains("Incomplete"); // `a ? b` has no place of its own
                let at = if early { text.chars().count() } else { offset(text, e.pos) };
                ParseFault { text: hint::meant(text, at).unwrap_or_else(|| plain(&e.msg)), at }
            },
        )),
        Err(_) => Err(ParseFault { text: "the parser gave up on this expression".into(), at: 0 }),
    }
}

/// Length and depth, counted before the parser sees the text.
fn guard(text: &str) -> Result<(), ParseFault> {
    if text.trim().is_empty() {
        return Err(ParseFault { text: "the expression is empty".into(), at: 0 });
    }
    if text.len() > limits::EXPRESSION_BYTES {
        let text_limit =
            format!("the expression has {} bytes, at most {} are read", text.len(), limits::EXPRESSION_BYTES);
        return Err(ParseFault { text: text_limit, at: limits::EXPRESSION_BYTES });
    }
    let mut depth = 0usize;
    for (at, c) in hint::outside_of_texts(text)? {
        match c {
            '(' | '[' | '{' | '?' => {
                depth += 1;
                if depth > limits::EXPRESSION_DEPTH {
                    return Err(ParseFault {
                        text: format!("brackets are nested deeper than {} levels", limits::EXPRESSION_DEPTH),
                        at,
                    });
                }
            }
            ')' | ']' | '}' | ':' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// The parser's words in ours.
fn plain(message: &str) -> String {
    let message = message.trim_start_matches("Syntax error: ");
    let quoted = |after: &str| message.split_once(after).and_then(|(_, rest)| rest.split('\'').nth(1));
    if message.contains("'<EOF>'") || message.contains("Incomplete") {
        return "the expression ends too early".into();
    }
    for after in
        ["mismatched input ", "extraneous input ", "no viable alternative at input ", "token recognition error at: "]
    {
        if let Some(found) = quoted(after) {
            return format!("`{found}` is not expected here");
        }
    }
    message.to_string()
}

/// Line and column (from 1) as characters from the start.
fn offset(text: &str, (line, column): (isize, isize)) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.max(1) as usize - 1).map(|l| l.chars().count()).sum();
    (before + column.max(1) as usize - 1).min(text.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_brackets_are_an_error_with_the_column() {
        let fault = parse(&("(".repeat(10_000) + "1" + &")".repeat(10_000))).err().expect("too long");
        assert!(fault.text.contains("bytes"), "{}", fault.text);
        let fault = parse(&("(".repeat(1_000) + "1" + &")".repeat(1_000))).err().expect("too deep");
        assert_eq!(fault.at, limits::EXPRESSION_DEPTH);
        let chain = "a ? b : ".repeat(400) + "c";
        parse(&chain).map_or_else(|f| assert!(!f.text.is_empty()), |_| ());
        parse(&("!".repeat(4_000) + "a")).map_or_else(|f| assert!(!f.text.is_empty()), |_| ());
        parse(&("-".repeat(4_000) + "a")).map_or_else(|f| assert!(!f.text.is_empty()), |_| ());
        parse(&("a+".repeat(2_000) + "a")).map_or_else(|f| assert!(!f.text.is_empty()), |_| ());
    }

    #[test]
    fn texts_of_all_kinds_are_read() {
        for text in [r#"r'\d' + 'a\'b' + r'\' + "\x41" + """it's "so" """ + '#x'"#, "1 // it's", r"r'\'", "''"] {
            assert!(parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn brackets_in_strings_do_not_count() {
        let text = format!("item.x == '{}'", "(".repeat(100));
        assert!(parse(&text).is_ok());
        let fault = parse(&format!("r'\\' + {}1{}", "(".repeat(100), ")".repeat(100))).err().expect("too deep");
        assert!(fault.text.contains("nested"), "{fault:?}");
    }

    #[test]
    fn faults_say_where() {
        for (text, want, at) in [
            ("item.x +", "ends too early", 8),
            ("item.x ) 1", "`)` is not expected", 7),
            ("", "empty", 0),
            ("item.x = 1", "equal is written `==`", 7),
            ("item.x and item.y", "write `&&`", 7),
            ("item.x or item.y", "write `||`", 7),
            ("not item.x", "write `!`", 4),
            ("item.x & 1", "write `&&`", 7),
            ("item.x <> 1", "write `!=`", 8),
            (r"item.x.matches('\[a')", r"or `\\[`", 16),
            (r"item.x.matches('\d')", r"r'…'", 16),
            ("item.x == 'a", "has no end", 10),
            ("item.x ? 1", "ends too early", 10),
        ] {
            let fault = parse(text).err().expect(text);
            assert!(fault.text.contains(want), "{text}: {fault:?}");
            assert_eq!(fault.at, at, "{text}: {fault:?}");
        }
    }
}
