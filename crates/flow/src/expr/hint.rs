//! What to write instead of what other languages write.

use super::ParseFault;

/// The characters that stand outside of texts and comments; or what stands wrong in a text.
pub fn outside_of_texts(expression: &str) -> Result<Vec<(usize, char)>, ParseFault> {
    let chars: Vec<char> = expression.chars().collect();
    let (mut at, mut outside) = (0, vec![]);
    while let Some(c) = chars.get(at) {
        match c {
            '/' if chars.get(at + 1) == Some(&'/') => at += chars[at..].iter().take_while(|c| **c != '\n').count(),
            '"' | '\'' => {
                let prefix = chars[..at].iter().rev().take_while(|c| c.is_alphanumeric() || **c == '_');
                let prefix: String = prefix.collect::<String>().to_ascii_lowercase();
                at = text_end(&chars, at, matches!(prefix.as_str(), "r" | "rb" | "br"))?;
            }
            '`' => at += 2 + chars[at + 1..].iter().take_while(|c| **c != '`').count(),
            c => {
                outside.push((at, *c));
                at += 1;
            }
        }
    }
    Ok(outside)
}

/// Behind the text that begins here.
fn text_end(chars: &[char], start: usize, raw: bool) -> Result<usize, ParseFault> {
    let quote = chars[start];
    let three = chars.get(start..start + 3).is_some_and(|c| c.iter().all(|c| *c == quote));
    let width = if three { 3 } else { 1 };
    let mut at = start + width;
    while let Some(c) = chars.get(at) {
        if *c == '\\' && !raw {
            let next = chars.get(at + 1).copied().unwrap_or(' ');
            if !"abfnrtv\\'\"`?xXuU01234567".contains(next) {
                let text = format!(
                    "`\\{next}` means nothing in text: write the text as r{quote}…{quote}, where `\\` stays as it is, or `\\\\{next}`"
                );
                return Err(ParseFault { text, at });
            }
            at += 2;
        } else if chars.get(at..at + width).is_some_and(|c| c.iter().all(|c| *c == quote)) {
            return Ok(at + width);
        } else {
            at += 1;
        }
    }
    Err(ParseFault { text: format!("the text that begins with {quote} has no end"), at: start })
}

/// What was meant by a word or sign that CEL does not know, where the parser stopped.
pub fn meant(expression: &str, at: usize) -> Option<String> {
    let chars: Vec<char> = expression.chars().collect();
    let here = chars.get(at).copied().unwrap_or(' ');
    let before = at.checked_sub(1).and_then(|i| chars.get(i)).copied().unwrap_or(' ');
    let word: String = chars.get(at..).unwrap_or_default().iter().take_while(|c| c.is_alphanumeric()).collect();
    let last = chars.get(..at).unwrap_or_default().iter().collect::<String>();
    let last = last.trim_end().rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    let write = |wrong: &str, right: &str| Some(format!("`{wrong}` is not known here: write `{right}`"));
    match (word.as_str(), last) {
        ("and" | "AND", _) => return write(&word, "&&"),
        ("or" | "OR", _) => return write(&word, "||"),
        ("is", _) => return write("is", "=="),
        (_, "not" | "NOT") => return write(last, "!"),
        _ => {}
    }
    match (before, here) {
        (before, '=') if before != '=' => Some("`=` is not known here: equal is written `==`".into()),
        (before, '&') if before != '&' => write("&", "&&"),
        (before, '|') if before != '|' => write("|", "||"),
        ('<', '>') => write("<>", "!="),
        _ => None,
    }
}
