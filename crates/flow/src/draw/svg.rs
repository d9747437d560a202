//! A flow as a picture in SVG, from top to bottom: a node stands below all that lead to it.

use super::picture::{Picture, Shape};
use crate::model::Flow;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Columns of a label at most.
const COLUMNS: usize = 30;
/// The width of a column, of the room around a label, and between nodes.
const COLUMN: f64 = 7.0;
const ROOM: f64 = 22.0;
const GAP: f64 = 28.0;
/// The height of a node, and between rows.
const HEIGHT: f64 = 46.0;
const BETWEEN: f64 = 44.0;

/// The colours: of a page that is light or dark, as its reader has it.
pub const STYLE: &str = "svg{--ink:#1b1f24;--dim:#57606a;--line:#6e7781;--step:#eef4fb;--edge:#3d6ea5;--stream:#f3eefa;--file:#f5f4ef;\
font-family:ui-sans-serif,system-ui,sans-serif;font-size:13px}\
@media(prefers-color-scheme:dark){svg{--ink:#e8ecf1;--dim:#a9b4c0;--line:#8b98a5;--step:#17273a;--edge:#6ea8e6;--stream:#2a1f3d;--file:#2b2a24}}\
svg text{fill:var(--ink)}svg .note{fill:var(--dim);font-size:12px}svg path{fill:none;stroke:var(--line);stroke-width:1.3}\
svg marker path{fill:var(--line);stroke:none}svg rect{stroke:var(--edge);stroke-width:1.2;fill:var(--step)}\
svg .stream{fill:var(--stream)}svg .file{fill:var(--file);stroke-dasharray:4 3}";

/// A flow as SVG; with a second line in the nodes of the steps that have one.
pub fn svg(flow: &Flow, notes: &BTreeMap<String, String>) -> String {
    let mut drawn = String::new();
    let (width, height) = inner(flow, notes, &mut drawn);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         role=\"img\" aria-label=\"the flow {}\"><style>{STYLE}</style>{drawn}</svg>\n",
        escaped(flow.name.as_str())
    )
}

/// A node with its place.
struct Placed {
    lines: (String, String),
    shape: Shape,
    width: f64,
    row: usize,
    x: f64,
}

fn inner(flow: &Flow, notes: &BTreeMap<String, String>, out: &mut String) -> (f64, f64) {
    let Picture { nodes, edges } = Picture::of(flow);
    let at = |id: &str| nodes.iter().position(|(of, ..)| of == id).unwrap_or(0);
    let edges = bundled(edges.into_iter().map(|(a, b, name)| (at(&a), at(&b), name)));
    let mut placed: Vec<Placed> = vec![];
    for (id, label, shape) in &nodes {
        let step = id.strip_prefix("step").and_then(|i| flow.steps.get(i.parse::<usize>().ok()?));
        let note = step.and_then(|s| notes.get(&s.name)).cloned().unwrap_or_default();
        let lines = (cut(label), cut(&note));
        let columns = lines.0.chars().count().max(lines.1.chars().count());
        placed.push(Placed { lines, shape: *shape, width: columns as f64 * COLUMN + ROOM, row: 0, x: 0.0 });
    }
    for _ in 0..placed.len() {
        for (a, b, _) in &edges {
            placed[*b].row = placed[*b].row.max(placed[*a].row + 1);
        }
    }
    let rows = rows(&placed, &edges);
    let wide = |row: &Vec<usize>| row.iter().map(|n| placed[*n].width + GAP).sum::<f64>();
    let width = rows.iter().map(wide).fold(0.0, f64::max) + GAP;
    let starts: Vec<f64> = rows.iter().map(|row| (width - wide(row) + GAP) / 2.0).collect();
    for (row, mut x) in rows.iter().zip(starts) {
        for n in row {
            placed[*n].x = x;
            x += placed[*n].width + GAP;
        }
    }
    let top = |row: usize| GAP / 2.0 + row as f64 * (HEIGHT + BETWEEN);
    *out += "<defs><marker id=\"to\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">\
             <path d=\"M0 0L8 4L0 8z\"/></marker></defs>";
    for (a, b, name) in &edges {
        let (from, to) = (&placed[*a], &placed[*b]);
        let (x1, y1) = (from.x + from.width / 2.0, top(from.row) + HEIGHT);
        let (x2, y2) = (to.x + to.width / 2.0, top(to.row));
        let bend = (y2 - y1) / 2.0;
        let _ = write!(
            out,
            "<path d=\"M{x1:.0} {y1:.0}C{x1:.0} {:.0} {x2:.0} {:.0} {x2:.0} {y2:.0}\" marker-end=\"url(#to)\"/>",
            y1 + bend,
            y2 - bend
        );
        if !name.is_empty() {
            let (x, y) = ((x1 + x2) / 2.0 + 6.0, (y1 + y2) / 2.0 + 4.0);
            let _ = write!(out, "<text class=\"note\" x=\"{x:.0}\" y=\"{y:.0}\">{}</text>", escaped(&cut(name)));
        }
    }
    placed.iter().for_each(|node| draw(node, top(node.row), out));
    (width, top(rows.len()) - BETWEEN + GAP / 2.0)
}

/// Edges between the same two nodes as one, with the first name and how many more there are.
fn bundled(edges: impl Iterator<Item = (usize, usize, String)>) -> Vec<(usize, usize, String)> {
    let mut bundles: Vec<((usize, usize), Vec<String>)> = vec![];
    for (a, b, name) in edges {
        match bundles.iter_mut().find(|(ends, _)| *ends == (a, b)) {
            Some((_, names)) => names.push(name),
            None => bundles.push(((a, b), vec![name])),
        }
    }
    let named = |((a, b), names): ((usize, usize), Vec<String>)| match names.as_slice() {
        [one] => (a, b, one.clone()),
        [first, rest @ ..] => (a, b, format!("{first} and {} more", rest.len())),
        [] => (a, b, String::new()),
    };
    bundles.into_iter().map(named).collect()
}

/// The nodes of each row, those of parents that stand left first.
fn rows(placed: &[Placed], edges: &[(usize, usize, String)]) -> Vec<Vec<usize>> {
    let mut rows: Vec<Vec<usize>> = vec![vec![]; placed.iter().map(|p| p.row + 1).max().unwrap_or(0)];
    let mut rank = vec![0.0; placed.len()];
    (0..placed.len()).for_each(|n| rows[placed[n].row].push(n));
    for row in &mut rows {
        let mean = |n: usize| {
            let parents: Vec<f64> = edges.iter().filter(|(_, b, _)| *b == n).map(|(a, ..)| rank[*a]).collect();
            if parents.is_empty() { f64::MAX } else { parents.iter().sum::<f64>() / parents.len() as f64 }
        };
        row.sort_by(|a, b| mean(*a).total_cmp(&mean(*b)).then(a.cmp(b)));
        let n = row.len() as f64;
        row.iter().enumerate().for_each(|(i, node)| rank[*node] = (i as f64 + 0.5) / n);
    }
    rows
}

fn draw(node: &Placed, y: f64, out: &mut String) {
    let (class, round) = match node.shape {
        Shape::Step => ("step", 5.0),
        Shape::Stream => ("stream", HEIGHT / 2.0),
        Shape::File => ("file", 2.0),
    };
    let (x, width, middle) = (node.x, node.width, node.x + node.width / 2.0);
    let _ = write!(
        out,
        "<rect class=\"{class}\" x=\"{x:.0}\" y=\"{y:.0}\" width=\"{width:.0}\" height=\"{HEIGHT}\" rx=\"{round}\"/>"
    );
    let mut line = |class: &str, at: f64, text: &str| {
        let text = escaped(text);
        let _ = write!(
            out,
            "<text class=\"{class}\" x=\"{middle:.0}\" y=\"{:.0}\" text-anchor=\"middle\">{text}</text>",
            y + at
        );
    };
    match node.lines.1.as_str() {
        "" => line("name", HEIGHT / 2.0 + 4.0, &node.lines.0),
        note => {
            line("name", 19.0, &node.lines.0);
            line("note", 36.0, note);
        }
    }
}

fn cut(text: &str) -> String {
    let text = text.replace(['\n', '\t'], " ");
    match text.char_indices().nth(COLUMNS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// Text between tags.
pub fn escaped(text: &str) -> String {
    let plain = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    plain.replace(|c: char| c.is_control() && c != '\n' && c != '\t', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::check_text;

    #[test]
    fn each_node_stands_below_what_leads_to_it() {
        let text = "
flow: drawn
streams: { in: { source: 'in<1>.jsonl' }, out: { sink: out.jsonl } }
steps:
  big: { filter: in, where: 'item.n > 1', otherwise: small }
  out: { merge: [big, small], to: out }
";
        let flow = check_text(text, &|_| None).flow.expect("a flow");
        let notes = BTreeMap::from([("big".to_string(), "7 passed".to_string())]);
        let drawn = svg(&flow, &notes);
        assert!(drawn.contains("in&lt;1&gt;.jsonl") && drawn.contains("7 passed"), "{drawn}");
        let y = |text: &str| {
            let before = &drawn[..drawn.find(text).unwrap_or_else(|| panic!("{text}: {drawn}"))];
            let at = before.rfind("y=\"").expect("a place") + 3;
            drawn[at..].split('"').next().expect("a number").parse::<f64>().expect("a number")
        };
        assert!(
            y(">in&lt;1") < y(">filter big") && y(">filter big") < y(">merge out") && y(">merge out") < y(">out.jsonl")
        );
        assert_eq!(drawn.matches("<rect").count(), 4);
    }
}
