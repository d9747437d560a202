//! A flow as nodes and edges, in the languages of Mermaid (<https://mermaid.js.org/syntax/flowchart.html>) and Graphviz
//! (<https://graphviz.org/doc/info/lang.html>).

use super::text::label;
use crate::model::{Flow, SinkAt, SourceAt, Writer};
use crate::number::StreamNo;
use std::fmt::Write;

/// What a node is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A step.
    Step,
    /// A stream of the log.
    Stream,
    /// A file, or the like.
    File,
}

/// Nodes by their ids, with labels; and edges, with the stream that goes along where its name says more than the step's.
#[derive(Default)]
pub struct Picture {
    /// Their ids and labels.
    pub nodes: Vec<(String, String, Shape)>,
    /// From where to where.
    pub edges: Vec<(String, String, String)>,
}

impl Picture {
    /// Of a flow.
    pub fn of(flow: &Flow) -> Picture {
        let mut picture = Picture::default();
        for (i, step) in flow.numbered_steps() {
            picture.nodes.push((format!("step{}", i.0), label(step), Shape::Step));
        }
        for (s, stream) in flow.numbered_streams() {
            let from = picture.origin(flow, s);
            let by = if let Writer::Step(w, _) = stream.writer { flow.steps[w].name.as_str() } else { "" };
            let outside = stream.writer == Writer::Outside;
            let name = if stream.name == by || outside { "" } else { stream.name.as_str() };
            let mut readers: Vec<_> = stream.readers.iter().map(|(reader, _)| reader.0).collect();
            readers.dedup();
            readers.iter().for_each(|r| picture.edges.push((from.clone(), format!("step{r}"), name.into())));
            if let Some(sink) = &stream.sink {
                let to = if let SinkAt::File(path) = &sink.to { path.text.as_str() } else { "stdout" };
                picture.end(s, (to.into(), Shape::File), (from, name));
            } else if stream.is_public() && !outside {
                picture.end(s, (stream.name.clone(), Shape::Stream), (from, ""));
            }
        }
        picture
    }

    /// The node from which a stream comes.
    fn origin(&mut self, flow: &Flow, s: StreamNo) -> String {
        let stream = &flow.streams[s];
        if let Writer::Step(w, _) = stream.writer {
            return format!("step{}", w.0);
        }
        let (label, shape) = match stream.source.as_ref().map(|s| &s.from) {
            Some(SourceAt::Files(path)) => (path.clone(), Shape::File),
            Some(SourceAt::Stdin) => ("stdin".into(), Shape::File),
            Some(SourceAt::Items(_)) => ("items".into(), Shape::File),
            None => (stream.name.clone(), Shape::Stream),
        };
        let id = format!("from{}", s.0);
        self.nodes.push((id.clone(), label, shape));
        id
    }

    fn end(&mut self, s: StreamNo, (label, shape): (String, Shape), (from, name): (String, &str)) {
        let id = format!("to{}", s.0);
        self.nodes.push((id.clone(), label, shape));
        self.edges.push((from, id, name.into()));
    }
}

/// A Mermaid flowchart: GitHub, GitLab and many editors draw it.
pub fn mermaid(flow: &Flow) -> String {
    let Picture { nodes, edges } = Picture::of(flow);
    let quoted = |text: &str| {
        let plain = text.replace('&', "&amp;").replace('"', "#quot;").replace('<', "&lt;").replace('>', "&gt;");
        format!("\"{}\"", plain.replace('`', "&#96;").replace('\n', " "))
    };
    let mut out = String::from("flowchart LR\n");
    for (id, label, shape) in nodes {
        let (open, close) = match shape {
            Shape::Step => ("[", "]"),
            Shape::Stream => ("[(", ")]"),
            Shape::File => ("([", "])"),
        };
        let _ = writeln!(out, "  {id}{open}{}{close}", quoted(&label));
    }
    for (from, to, name) in edges {
        let name = if name.is_empty() { String::new() } else { format!("|{}|", quoted(&name)) };
        let _ = writeln!(out, "  {from} -->{name} {to}");
    }
    out
}

/// A directed graph for Graphviz: `anabranch graph --format dot | dot -Tsvg`.
pub fn dot(flow: &Flow) -> String {
    let Picture { nodes, edges } = Picture::of(flow);
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " "));
    let mut out = format!("digraph {} {{\n  rankdir=LR; node [fontname=\"sans-serif\"];\n", quoted(flow.name.as_str()));
    for (id, label, shape) in nodes {
        let shape = match shape {
            Shape::Step => "box",
            Shape::Stream => "cylinder",
            Shape::File => "note",
        };
        let _ = writeln!(out, "  {id} [label={}, shape={shape}];", quoted(&label));
    }
    for (from, to, name) in edges {
        let name = if name.is_empty() { String::new() } else { format!(" [label={}]", quoted(&name)) };
        let _ = writeln!(out, "  {from} -> {to}{name};");
    }
    out + "}\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::check_text;

    const FLOW: &str = "
flow: drawn
streams: { in: { source: in.jsonl }, topic: {}, out: { sink: out.jsonl }, kept: {} }
steps:
  big: { filter: in, where: 'item.a == \"x\" && item.n > 1', otherwise: small }
  out: { merge: [big, topic] }
  kept: { copy: small, to: kept }
";

    #[test]
    fn what_others_draw() {
        let flow = check_text(FLOW, &|_| None).flow.expect("a flow");
        let mermaid = mermaid(&flow);
        for line in [
            "flowchart LR\n",
            "step0[\"filter big where item.a == #quot;x#quot; &amp;&amp; item.n &gt; 1\"]\n",
            "([\"in.jsonl\"])\n",
            "[(\"topic\")]\n",
            "step0 -->|\"small\"| step2\n",
            "step0 --> step1\n",
        ] {
            assert!(mermaid.contains(line), "{line}\n{mermaid}");
        }
        let dot = dot(&flow);
        for line in [
            "digraph \"drawn\" {\n",
            "step0 [label=\"filter big where item.a == \\\"x\\\" && item.n > 1\", shape=box];\n",
            "[label=\"out.jsonl\", shape=note];\n",
            "step0 -> step2 [label=\"small\"];\n",
        ] {
            assert!(dot.contains(line), "{line}\n{dot}");
        }
        assert_eq!(mermaid.lines().count(), 1 + 3 + 2 + 2 + 6, "{mermaid}");
    }
}
