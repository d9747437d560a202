//! Expressions and templates of a flow file, with faults at the right character.

use super::keys::{Faults, text};
use crate::diagnostic::{Diagnostic, Severity, Span};
use crate::expr::{Compiled, Env, Names, ParseFault, Reads, compile};
use crate::format::Format;
use crate::template::{Template, variable};
use crate::tree::{Kind, Node};

/// Names for expressions over the items of a stream.
pub fn item_names(format: Format, shard: bool, env: &Env) -> Names {
    let plain_item = format != Format::Json;
    Names { item: true, plain_item, shard, env: env.keys().cloned().collect(), ..Names::default() }
}

/// Names at a source.
pub fn source_names(format: Format, env: &Env) -> Names {
    item_names(format, false, env)
}

/// Names where there is only the run.
pub fn run_names(env: &Env) -> Names {
    Names { env: env.keys().cloned().collect(), ..Names::default() }
}

/// Compiles the expression of a node.
pub fn expression(node: &Node, key: &str, names: &Names, reads: &mut Reads, faults: &mut Faults) -> Option<Compiled> {
    if let Kind::Code(code) = &node.kind {
        reads.item = true;
        return Some(Compiled::of_code(code.clone()));
    }
    let text = text(node, key, faults)?;
    let compiled = compile(text, names, reads).map_err(|f| faults.push(at(node, &f))).ok()?;
    faults.extend(compiled.warnings.iter().map(|f| Diagnostic {
        severity: Severity::Warning,
        code: "types",
        ..at(node, f)
    }));
    Some(compiled)
}

/// A fault of an expression as a diagnostic at its character.
fn at(node: &Node, fault: &ParseFault) -> Diagnostic {
    let quote = usize::from(matches!(node.kind, Kind::Scalar { plain: false, .. }));
    let column = node.span.column + quote + fault.at;
    let fits = column < node.span.end;
    let span = if fits {
        Span { column, end: column + 1, ..node.span }
    } else {
        Span { column: node.span.end.saturating_sub(1), ..node.span }
    };
    Diagnostic::error("expression", span, fault.text.clone())
}

/// A predicate: its form must not give anything but true or false.
pub fn predicate(node: &Node, key: &str, names: &Names, reads: &mut Reads, faults: &mut Faults) -> Option<Compiled> {
    let compiled = expression(node, key, names, reads, faults)?;
    if compiled.gives_bool == Some(false) {
        faults.push(
            Diagnostic::error("not-a-condition", node.span, format!("`{key}` must be true or false"))
                .label("this is always something else"),
        );
    }
    Some(compiled)
}

/// A map of expressions, in order.
pub fn object(
    node: &Node,
    key: &str,
    names: &Names,
    reads: &mut Reads,
    faults: &mut Faults,
) -> Option<Vec<(String, Compiled)>> {
    let Kind::Map(map) = &node.kind else { return None };
    let mut out = vec![];
    for (k, v) in map {
        let Some(name) = k.as_str() else { continue };
        if let Some(e) = expression(v, key, names, reads, faults) {
            out.push((name.to_string(), e));
        }
    }
    Some(out)
}

/// What a template may use: names in its expressions, and variables.
#[derive(Clone, Copy)]
pub struct Filling<'f> {
    /// Names for expressions.
    pub names: &'f Names,
    /// The variables.
    pub env: &'f Env,
}

impl Filling<'_> {
    /// Compiles a text with `{EXPR}` and `${NAME}` in it.
    pub fn template(self, node: &Node, key: &str, reads: &mut Reads, faults: &mut Faults) -> Option<Template> {
        let text = text(node, key, faults)?;
        let told = |f: ParseFault| at(node, &f).help("`{…}` is an expression here; a brace is written `{{`");
        self.filled(text, node.span, reads, faults).map_err(|f| faults.push(told(f))).ok()
    }

    /// A template with its variables filled in.
    ///
    /// # Errors
    ///
    /// An expression in it cannot be compiled.
    pub fn filled(
        self,
        text: &str,
        span: Span,
        reads: &mut Reads,
        faults: &mut Faults,
    ) -> Result<Template, ParseFault> {
        Template::parse(text, self.names, reads, &mut |name| value(name, span, self.env, faults))
    }
}

/// Fills in `${NAME}`; `$$` is a dollar.
pub fn interpolate(text: &str, span: Span, env: &Env, faults: &mut Faults) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = variable(rest) {
            out.push_str(&value(name, span, env, faults));
            rest = after;
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out + rest
}

/// The text of a variable.
fn value(name: &str, span: Span, env: &Env, faults: &mut Faults) -> String {
    if let Some(value) = env.get(name) {
        return value.clone();
    }
    let near = crate::names::nearest(name, env.keys().map(String::as_str)).map(|n| format!("did you mean `{n}`?"));
    let label = near.unwrap_or_else(|| format!("list it:  env: {{ {name}: default }}"));
    faults.push(Diagnostic::error("unknown-env", span, format!("`{name}` is not listed under env")).label(label));
    String::new()
}
