//! The tree of a flow file: YAML values with their places, or the same made in Rust.
//!
//! A tree of its own, because `check` tells every fault in one pass, each with
//! its line and column, and because YAML's traps (tags, aliases, doubled keys)
//! deserve words of their own.

use crate::call::ActionFn;
use crate::diagnostic::{Diagnostic, Span};
use crate::expr::{RustFn, json};
use anabranch_engine::limits;
use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// A value in a flow file.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where it stands; none if it was made in Rust.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Text; `plain` = without quotes, so it may mean a number, true, false or null.
    Scalar {
        /// The text.
        text: String,
        /// Written without quotes.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A map in order.
    Map(Vec<(Node, Node)>),
    /// A function, given through the Rust builder.
    Code(RustFn),
    /// A function that works on items, given through the Rust builder.
    Action(ActionFn),
}

impl Node {
    /// Text made in Rust.
    pub fn text(text: impl Into<String>) -> Node {
        Node { span: Span::default(), kind: Kind::Scalar { text: text.into(), plain: false } }
    }

    /// A plain scalar made in Rust: a number, true, false, null.
    pub fn plain(text: impl ToString) -> Node {
        Node { span: Span::default(), kind: Kind::Scalar { text: text.to_string(), plain: true } }
    }

    /// A list made in Rust.
    pub fn list(items: impl IntoIterator<Item = Node>) -> Node {
        Node { span: Span::default(), kind: Kind::List(items.into_iter().collect()) }
    }

    /// A map made in Rust.
    pub fn map<K: Into<String>>(items: impl IntoIterator<Item = (K, Node)>) -> Node {
        let pairs = items.into_iter().map(|(k, v)| (Node::text(k), v)).collect();
        Node { span: Span::default(), kind: Kind::Map(pairs) }
    }

    /// The text of a scalar.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Whether it is null, or nothing at all.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null"))
    }

    /// It as JSON: what is plain may be a number, true, false or null.
    pub fn to_json(&self) -> String {
        match &self.kind {
            Kind::Scalar { text, plain } => {
                let meant = *plain && json::check(text.as_bytes()).is_ok();
                if self.is_null() {
                    "null".into()
                } else if meant {
                    text.clone()
                } else {
                    serde_json::Value::from(text.as_str()).to_string()
                }
            }
            Kind::List(l) => format!("[{}]", l.iter().map(Node::to_json).collect::<Vec<_>>().join(",")),
            Kind::Map(m) => {
                let pair = |(k, v): &(Node, Node)| {
                    format!("{}:{}", serde_json::Value::from(k.as_str().unwrap_or_default()), v.to_json())
                };
                format!("{{{}}}", m.iter().map(pair).collect::<Vec<_>>().join(","))
            }
            Kind::Code(_) | Kind::Action(_) => "null".into(),
        }
    }

    /// What people call it.
    pub fn what(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar { .. } if self.is_null() => "nothing",
            Kind::Scalar { .. } => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
            Kind::Code(_) | Kind::Action(_) => "a function",
        }
    }
}

/// Reads a flow file. What can be read despite a fault is read, so that further faults are found.
pub fn parse(text: &str, faults: &mut Vec<Diagnostic>) -> Option<Node> {
    if text.len() > limits::YAML_BYTES {
        let what = format!("the file has {} bytes, a flow has at most {}", text.len(), limits::YAML_BYTES);
        faults.push(Diagnostic::error("file-too-large", Span::default(), what));
        return None;
    }
    let mut reader = Reader { parser: Parser::new_from_str(text), text, anchors: HashMap::new(), nodes: 0, faults };
    reader.document()
}

struct Reader<'t, 'f> {
    parser: Parser<'t, StrInput<'t>>,
    text: &'t str,
    anchors: HashMap<usize, Option<Node>>,
    nodes: usize,
    faults: &'f mut Vec<Diagnostic>,
}

type Spanned<'t> = (Event<'t>, saphyr_parser::Span);

impl<'t> Reader<'t, '_> {
    fn fault(&mut self, code: &'static str, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.faults.push(Diagnostic::error(code, span, message));
        let last = self.faults.len() - 1;
        &mut self.faults[last]
    }

    fn next(&mut self) -> Option<Spanned<'t>> {
        match self.parser.next_event()? {
            Ok(event) => Some(event),
            Err(e) => {
                let (line, column) = (e.marker().line(), e.marker().col());
                let span = Span { line, column, end: column + 1 };
                let line_text = self.text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
                let (message, help) = plain(e.info(), line_text);
                let open = message.contains("parsing a flow").then(|| crate::brace::open(self.text, span)).flatten();
                match open {
                    // behind the last line there is nothing to show
                    Some((c, at)) if line_text.is_empty() => {
                        self.fault("yaml", at, format!("this `{c}` is not closed")).help = help;
                    }
                    Some((c, at)) => {
                        let told = format!("the `{c}` of line {}, column {} is open here", at.line, at.column + 1);
                        self.fault("yaml", span, message).help = Some(told);
                    }
                    None => self.fault("yaml", span, message).help = help,
                }
                None
            }
        }
    }

    fn document(&mut self) -> Option<Node> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
                (Event::StreamEnd | Event::DocumentEnd, _) => return None,
                event => {
                    let node = self.node(event, 0)?;
                    while let Some((event, span)) = self.next() {
                        if let Event::DocumentStart(_) = event {
                            self.fault(
                                "two-documents",
                                span_of(span),
                                "a file holds one flow; a second one begins here",
                            );
                            break;
                        }
                    }
                    return Some(node);
                }
            }
        }
    }

    fn node(&mut self, (event, span): Spanned<'t>, depth: usize) -> Option<Node> {
        let at = span_of(span);
        self.nodes += 1;
        if self.nodes > limits::YAML_NODES || depth > limits::YAML_DEPTH {
            self.fault(
                "yaml-too-large",
                at,
                format!(
                    "the file has more than {} values, or is nested deeper than {}",
                    limits::YAML_NODES,
                    limits::YAML_DEPTH
                ),
            );
            return None;
        }
        let (kind, anchor, end) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                // what was taken for a tag was meant as text: it is checked as such
                let text = self.tag(tag.as_deref(), at).unwrap_or_else(|| text.into_owned());
                (Kind::Scalar { text, plain }, anchor, at)
            }
            Event::SequenceStart(anchor, tag) => {
                self.tag(tag.as_deref(), at);
                self.open(anchor);
                let mut list = vec![];
                let end = loop {
                    match self.next()? {
                        (Event::SequenceEnd, span) => break span_of(span),
                        event => list.push(self.node(event, depth + 1)?),
                    }
                };
                (Kind::List(list), anchor, end)
            }
            Event::MappingStart(anchor, tag) => {
                self.tag(tag.as_deref(), at);
                self.open(anchor);
                let (map, end) = self.map(depth)?;
                (Kind::Map(map), anchor, end)
            }
            Event::Alias(id) => return self.alias(id, at),
            _ => return None,
        };
        let end = if end.line == at.line { end.end.max(at.column + 1) } else { at.column + 1 };
        let node = Node { span: Span { end, ..at }, kind };
        if anchor > 0 {
            self.anchors.insert(anchor, Some(node.clone()));
        }
        Some(node)
    }

    fn map(&mut self, depth: usize) -> Option<(Vec<(Node, Node)>, Span)> {
        let mut map: Vec<(Node, Node)> = vec![];
        let mut merged: HashSet<String> = HashSet::new(); // names that came with `<<`
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, span) => return Some((map, span_of(span))),
                event => self.node(event, depth + 1)?,
            };
            let event = self.next()?;
            let value = self.node(event, depth + 1)?;
            let Some(name) = key.as_str() else {
                map.push((key, value));
                continue;
            };
            if name == "<<" {
                self.merge_key(&mut map, &mut merged, value);
                continue;
            }
            match map.iter_mut().find(|(k, _)| k.as_str() == Some(name)) {
                None => map.push((key, value)),
                Some(had) if merged.remove(name) => *had = (key, value),
                Some((first, _)) => {
                    let (line, name) = (first.span.line, name.to_string());
                    self.fault("key-twice", key.span, format!("`{name}` is written twice")).label =
                        format!("the first one is in line {line}");
                }
            }
        }
    }

    /// `<<: *anchor`: the names of another map, where this one does not say them itself, before or behind it.
    fn merge_key(&mut self, map: &mut Vec<(Node, Node)>, merged: &mut HashSet<String>, value: Node) {
        let nodes = if let Kind::List(l) = value.kind { l } else { vec![value] };
        for node in nodes {
            let Kind::Map(pairs) = node.kind else {
                self.fault("merge-key", node.span, "`<<` needs a map, or a list of maps");
                continue;
            };
            for (k, v) in pairs {
                if !map.iter().any(|(had, _)| had.as_str() == k.as_str()) {
                    merged.extend(k.as_str().map(str::to_string));
                    map.push((k, v));
                }
            }
        }
    }

    fn open(&mut self, anchor: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, None);
        }
    }

    fn alias(&mut self, id: usize, at: Span) -> Option<Node> {
        match self.anchors.get(&id) {
            Some(Some(node)) => {
                let node = node.clone();
                self.nodes += count(&node);
                if self.nodes > limits::YAML_NODES {
                    self.fault(
                        "yaml-too-large",
                        at,
                        format!("the aliases of this file make more than {} values", limits::YAML_NODES),
                    );
                    return None;
                }
                Some(node)
            }
            _ => {
                self.fault("alias-cycle", at, "this alias is inside the value that it names");
                None
            }
        }
    }

    /// Complains about a tag; gives the text that was probably meant.
    fn tag(&mut self, tag: Option<&saphyr_parser::Tag>, at: Span) -> Option<String> {
        let tag = tag.filter(|t| !t.is_yaml_core_schema())?;
        let line = self.text.lines().nth(at.line.saturating_sub(1)).unwrap_or_default();
        let begin = line
            .char_indices()
            .filter(|(_, c)| *c == '!')
            .map(|(i, _)| i)
            .find(|i| line[*i..].starts_with(&format!("!{}", tag.suffix)));
        let column = begin.map_or(at.column, |b| line[..b].chars().count());
        let rest = begin.map_or("", |b| line[b..].trim_end_matches([' ', '}', ']', ',']));
        let span = Span { line: at.line, column, end: column + rest.chars().count().max(1) };
        let key = begin
            .and_then(|b| line[..b].trim_end().strip_suffix(':'))
            .and_then(|k| k.rsplit([' ', '{', ',']).next())
            .unwrap_or("key");
        let fault = self.fault("yaml-tag", span, format!("`{key}` needs a value, but YAML reads a tag here"));
        fault.label = "`!` starts a tag in YAML".into();
        fault.help = Some(format!("write  {key}: '{rest}'"));
        Some(rest.to_string())
    }
}

fn count(node: &Node) -> usize {
    match &node.kind {
        Kind::List(l) => 1 + l.iter().map(count).sum::<usize>(),
        Kind::Map(m) => 1 + m.iter().map(|(k, v)| count(k) + count(v)).sum::<usize>(),
        _ => 1,
    }
}

fn span_of(span: saphyr_parser::Span) -> Span {
    let (line, column) = (span.start.line(), span.start.col());
    let end = if span.end.line() == line { span.end.col() } else { column + 1 };
    Span { line, column, end: end.max(column + 1) }
}

/// The parser's words in ours, with the usual reason.
fn plain(info: &str, line: &str) -> (String, Option<String>) {
    let info: Cow<'_, str> = info.into();
    if line.contains('\t') && line.trim_start_matches(' ').starts_with('\t') {
        return ("a tab is used where YAML indents".into(), Some("indent with spaces".into()));
    }
    if info.contains("mapping values are not allowed") {
        let help = "text that holds `: ` goes in quotes, as in  where: 'item.x ? \"a\" : \"b\"'";
        return ("a second `:` in one value".into(), Some(help.into()));
    }
    if info.contains("unknown anchor") {
        return ("this alias names nothing".into(), Some("an anchor `&name` comes before its alias `*name`".into()));
    }
    (format!("not YAML: {info}"), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A map of scalars as `key=value`, in order, and what is wrong.
    fn read(text: &str) -> (Vec<String>, Vec<String>) {
        let mut faults = vec![];
        let root = parse(text, &mut faults).expect("is a tree");
        let Kind::Map(parts) = root.kind else { panic!("not a map") };
        let Some((_, Node { kind: Kind::Map(map), .. })) = parts.last() else { panic!("not a map") };
        let pairs = map.iter().map(|(k, v)| format!("{}={}", k.as_str().expect("text"), v.as_str().expect("text")));
        (pairs.collect(), faults.into_iter().map(|f| f.message).collect())
    }

    #[test]
    fn own_keys_win_over_merged_ones_wherever_they_stand() {
        let anchors = "x: &x { a: x, b: x }\ny: &y { b: y, c: y }\n";
        for (map, want) in [
            ("{ <<: *x, a: own }", vec!["a=own", "b=x"]),
            ("{ a: own, <<: *x }", vec!["a=own", "b=x"]),
            ("{ b: own, <<: *x, a: own }", vec!["b=own", "a=own"]),
            ("{ <<: [*x, *y], c: own }", vec!["a=x", "b=x", "c=own"]),
            ("{ <<: *y, <<: *x, d: own }", vec!["b=y", "c=y", "a=x", "d=own"]),
        ] {
            assert_eq!(
                read(&format!("{anchors}m: {map}\n")),
                (want.iter().map(|w| w.to_string()).collect(), vec![]),
                "{map}"
            );
        }
        let twice = vec!["`a` is written twice".to_string()];
        for map in ["{ <<: *x, a: 1, a: 2 }", "{ a: 1, <<: *x, a: 2 }"] {
            let (pairs, faults) = read(&format!("{anchors}m: {map}\n"));
            assert!(pairs.contains(&"a=1".to_string()), "{pairs:?}");
            assert_eq!(faults, twice, "{map}");
        }
        let (_, faults) = read(&format!("{anchors}m: {{ <<: [*x, text] }}\n"));
        assert_eq!(faults, ["`<<` needs a map, or a list of maps"]);
    }
}
