//! A flow file as tokens: words, numbers, quoted text, single signs, space. Joined again they are the same text.

/// Cuts a text into tokens.
pub fn cut(text: &str) -> Vec<String> {
    let mut out: Vec<String> = vec![];
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '"' | '\'' => quoted(rest, first),
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c if c.is_whitespace() => rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        out.push(rest[..len].to_string());
        rest = &rest[len..];
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || "_.-/*%$".contains(c)
}

/// The length of a quoted text; of the sign alone where the line ends before the text does.
fn quoted(text: &str, quote: char) -> usize {
    let end = text[1..].find([quote, '\n']).map(|at| at + 1);
    end.filter(|at| text[*at..].starts_with(quote)).map_or(1, |at| at + 1)
}

/// Whether a token is a number.
pub fn is_number(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_digit())
}

/// Whether a token is a word, a number or a quoted text: what a key or a value may be.
pub fn is_value(token: &str) -> bool {
    token.chars().next().is_some_and(|c| is_word(c) || c == '"' || c == '\'')
}
