//! Text with expressions in it: `{EXPR}`; `{{` is a brace.

use crate::expr::{Compiled, Fault, Growing, Names, ParseFault, Reads, Scope, compile, write};

/// A text with expressions in it.
#[derive(Debug, Clone)]
pub struct Template {
    parts: Vec<Piece>,
    /// The text it came from.
    pub text: String,
}

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Expr(Compiled),
}

impl Template {
    /// Reads a template; faults tell the character.
    pub fn parse(text: &str, names: &Names, reads: &mut Reads) -> Result<Template, ParseFault> {
        let mut parts = vec![];
        let mut plain = String::new();
        let mut chars = text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            match c {
                '{' | '}' if chars.peek().is_some_and(|(_, next)| *next == c) => {
                    chars.next();
                    plain.push(c);
                }
                '{' => {
                    let inner = close(&text[at + 1..])
                        .ok_or_else(|| ParseFault { text: "`{` without `}` (a brace is written `{{`)".into(), at })?;
                    let compiled = compile(inner, names, reads).map_err(|f| ParseFault { at: at + 1 + f.at, ..f })?;
                    parts.push(Piece::Text(std::mem::take(&mut plain)));
                    parts.push(Piece::Expr(compiled));
                    let end = at + 1 + inner.len();
                    while chars.next_if(|(i, _)| *i <= end).is_some() {}
                }
                c => plain.push(c),
            }
        }
        parts.push(Piece::Text(plain));
        Ok(Template { parts, text: text.to_string() })
    }

    /// Whether it has no expressions.
    pub fn is_plain(&self) -> bool {
        self.parts.iter().all(|p| matches!(p, Piece::Text(_)))
    }

    /// The text for what `scope` shows.
    pub fn render(&self, scope: &Scope<'_>) -> Result<String, Fault> {
        let mut out = Growing::default();
        for part in &self.parts {
            match part {
                Piece::Text(t) => out.push(t)?,
                Piece::Expr(e) => out.push(&write::text(&e.eval(scope)?)?)?,
            }
        }
        Ok(out.finish())
    }
}

/// The text up to the closing brace of an expression, over braces and quotes inside it.
fn close(text: &str) -> Option<&str> {
    let (mut depth, mut quote) = (0, None);
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        match (quote, c) {
            (Some(_), '\\') => drop(chars.next()),
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') if depth == 0 => return Some(&text[..i]),
            (None, '}') => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::{Content, Env, RunVars};

    #[test]
    fn templates_are_filled() {
        let names = Names { item: true, ..Names::default() };
        let mut reads = Reads::default();
        let t = Template::parse("a-{item.x}-{{b}}-{run.id}", &names, &mut reads).expect("parses");
        let (run, env) = (RunVars { id: "7".into(), ..RunVars::default() }, Env::default());
        let mut scope = Scope::of_run(&run, &env);
        let slots = [Some("\"é\"")];
        scope.slots = &slots;
        scope.content = Content::Json("{}");
        assert_eq!(t.render(&scope).expect("fills"), "a-é-{b}-7");
        let t = Template::parse(r"{item.x + '\'}'}", &names, &mut reads).expect("a quote in a text does not end it");
        assert_eq!(t.render(&scope).expect("fills"), "é'}");
        let fault = Template::parse("å{item.", &names, &mut reads).expect_err("open");
        assert!(fault.text.contains("without"));
    }
}
