//! Text with expressions in it: `{EXPR}`; `{{` is a brace. `${NAME}` is the text of a variable, whatever stands in it, and
//! `$$` is a dollar.

use crate::expr::{Compiled, Fault, Growing, Names, ParseFault, Reads, Scope, compile, write};

/// A text with expressions in it.
#[derive(Debug, Clone)]
pub struct Template {
    parts: Vec<Piece>,
    /// The text it came from, with its variables filled in: to compare and to show.
    pub text: String,
}

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    Expr(Compiled),
}

impl Template {
    /// Reads a template; faults tell the character. `fill` gives the text of a variable.
    ///
    /// # Errors
    ///
    /// An expression in it cannot be compiled.
    pub fn parse(
        text: &str,
        names: &Names,
        reads: &mut Reads,
        fill: &mut dyn FnMut(&str) -> String,
    ) -> Result<Template, ParseFault> {
        let mut parts = vec![];
        let (mut plain, mut shown) = (String::new(), String::new());
        let mut rest = text;
        while let Some(found) = rest.find(['{', '}', '$']) {
            plain.push_str(&rest[..found]);
            shown.push_str(&rest[..found]);
            rest = &rest[found..];
            let at = text.len() - rest.len();
            if let Some((name, after)) = variable(rest) {
                let value = fill(name);
                plain.push_str(&value);
                shown.push_str(&value);
                rest = after;
            } else if let Some(twice) = ["{{", "}}", "$$"].into_iter().find(|twice| rest.starts_with(twice)) {
                plain.push_str(&twice[1..]);
                shown.push_str(twice);
                rest = &rest[2..];
            } else if let Some(open) = rest.strip_prefix('{') {
                let inner = close(open)
                    .ok_or_else(|| ParseFault { text: "`{` without `}` (a brace is written `{{`)".into(), at })?;
                if let Some((name, _)) = inner.find("${").and_then(|i| variable(&inner[i..])) {
                    let text = format!("a variable is text, not a part of an expression: write `env.{name}`");
                    return Err(ParseFault { text, at });
                }
                let compiled = compile(inner, names, reads).map_err(|f| ParseFault { at: at + 1 + f.at, ..f })?;
                parts.push(Piece::Text(std::mem::take(&mut plain)));
                parts.push(Piece::Expr(compiled));
                shown.push_str(&rest[..inner.len() + 2]);
                rest = &open[inner.len() + 1..];
            } else {
                plain.push_str(&rest[..1]);
                shown.push_str(&rest[..1]);
                rest = &rest[1..];
            }
        }
        plain.push_str(rest);
        shown.push_str(rest);
        parts.push(Piece::Text(plain));
        Ok(Template { parts, text: shown })
    }

    /// Whether it has no expressions.
    pub fn is_plain(&self) -> bool {
        self.parts.iter().all(|p| matches!(p, Piece::Text(_)))
    }

    /// Its pieces: text, and `None` where an expression stands.
    pub fn pieces(&self) -> Vec<Option<String>> {
        let piece = |p: &Piece| if let Piece::Text(t) = p { Some(t.clone()) } else { None };
        self.parts.iter().map(piece).collect()
    }

    /// The text for what `scope` shows.
    ///
    /// # Errors
    ///
    /// An expression in it cannot be computed.
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

/// The name of a variable at the beginning of a text, and what follows it.
pub fn variable(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix("${")?.split_once('}')
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
        let mut fill = |name: &str| format!("<{name} {{item.x}} $$>");
        let text = "a-{item.x}-{{b}}-{run.id}-${V}-$$-$";
        let t = Template::parse(text, &names, &mut reads, &mut fill).expect("parses");
        let (run, env) = (RunVars { id: "7".into(), ..RunVars::default() }, Env::default());
        let mut scope = Scope::of_run(&run, &env);
        let slots = [Some("\"é\"")];
        scope.slots = &slots;
        scope.content = Content::Json("{}");
        assert_eq!(t.render(&scope).expect("fills"), "a-é-{b}-7-<V {item.x} $$>-$-$", "a variable is no language");
        let quoted = Template::parse(r"{item.x + '\'}'}", &names, &mut reads, &mut fill);
        assert_eq!(quoted.expect("a quote in a text does not end it").render(&scope).expect("fills"), "é'}");
        let mut fault = |text| Template::parse(text, &names, &mut Reads::default(), &mut fill).expect_err("a fault");
        assert!(fault("å{item.").text.contains("without"));
        assert!(fault("a {item.x + \"${V}\"}").text.contains("write `env.V`"));
    }
}
