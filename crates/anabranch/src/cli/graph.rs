//! `anabranch graph`

use super::args::{Args, Graph};
use super::{Exit, place, print};
use anabranch_engine::Result;
use anabranch_flow::draw;
use anabranch_flow::model::{Flow, SinkAt, SourceAt};
use anabranch_flow::number::StreamNo;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Draws a flow, or says it as a document.
pub fn graph(args: &Args, a: &Graph) -> Result<Exit> {
    let Some(flow) = place::flow_alone(args, &a.flow)? else { return Ok(2) };
    match (args.json, a.format.as_str()) {
        (true, _) => print::document(&document(&flow)),
        (false, "mermaid") => print::show(&draw::mermaid(&flow)),
        (false, "svg") => print::show(&draw::svg(&flow, &BTreeMap::new())),
        (false, "dot") => print::show(&draw::dot(&flow)),
        (false, _) => print::show(&draw::text(&flow)),
    }
    Ok(0)
}

fn document(flow: &Flow) -> Value {
    let name = |s: &StreamNo| flow.streams[*s].name.clone();
    let streams = flow.streams.iter().map(|s| {
        let source = s.source.as_ref().map(|s| match &s.from {
            SourceAt::Files(path) => json!({ "file": path }),
            SourceAt::Stdin => json!({ "stdin": {} }),
            SourceAt::Items(items) => json!({ "items": items.len() }),
        });
        let sink = s.sink.as_ref().map(|s| match &s.to {
            SinkAt::File(path) => json!({ "file": path.text }),
            SinkAt::Stdout => json!({ "stdout": {} }),
        });
        json!({ "stream": s.name, "declared": s.declared, "source": source, "sink": sink })
    });
    let steps = flow.steps.iter().map(|s| {
        json!({ "step": s.name, "verb": s.verb(), "inputs": s.inputs.iter().map(name).collect::<Vec<_>>(),
                "outputs": s.outputs.iter().map(name).collect::<Vec<_>>(), "done": s.done.as_ref().map(name) })
    });
    json!({ "schema": "anabranch.graph/1", "flow": flow.name.as_str(), "doc": flow.doc,
            "streams": streams.collect::<Vec<_>>(), "steps": steps.collect::<Vec<_>>() })
}
