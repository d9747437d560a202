//! For tests: a pattern applied to lines, as batches, and what came out at each port.

use super::{Body, Effects, Finals, Origin, Part, Scratch, Vars, View, What};
use crate::check::check_text;
use crate::format::Format;
use crate::model::Step;
use anabranch_engine::{Builder, Codec, Rows};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a pattern made of lines.
#[derive(Debug, Default, PartialEq)]
pub struct Made {
    /// Values by port and, where the pattern chooses it, partition.
    pub out: BTreeMap<(usize, Option<u32>), Vec<String>>,
    /// Rows that failed.
    pub failed: Vec<usize>,
    /// Items taken, passed, filtered, folded.
    pub counts: (u64, u64, u64, u64),
}

/// The one step called `x` of a flow whose stream `all` is fed from outside.
pub fn step(keys: &str) -> Step {
    let ports = ["a", "b", "c", "s-0", "s-1", "s-2", "s-A", "s-B", "p"];
    let declared: String = ports.iter().map(|p| format!("  {p}: {{}}\n")).collect();
    let text = format!("flow: trial\nstreams:\n  all: {{}}\n{declared}steps:\n  x: {keys}\n");
    let checked = check_text(&text, &|_| None);
    let flow = checked.flow.unwrap_or_else(|| panic!("{:?}", checked.diagnostics));
    flow.steps.into_iter().next().expect("one step")
}

/// Items like those of a stream, some of them broken.
pub fn lines() -> impl Strategy<Value = Vec<String>> {
    let key = prop_oneof![Just("\"A\""), Just("\"B\""), Just("\"C\""), Just("null"), Just("7")];
    let good = (-5i64..6, key).prop_map(|(n, k)| format!("{{\"n\":{n},\"k\":{k}}}"));
    let bad = prop_oneof![Just("{\"k\":1}".to_string()), Just("{\"n\":".to_string()), Just("[]".to_string())];
    proptest::collection::vec(prop_oneof![8 => good, 1 => bad], 1..60)
}

fn part(lines: &[String]) -> Part {
    let mut b = Builder::new(Codec::None);
    for (i, line) in lines.iter().enumerate() {
        b.push(i as i64, None, Some(line.as_bytes()), &[]);
    }
    let at = Arc::new((0..lines.len() as u64).map(|i| (i, i)).collect());
    let origin = Origin::File { stream: "all".into(), path: "r1/in".into(), at };
    Part { body: Body::Ready(b.finish().expect("lines")), rows: None, origin, partition: 0 }
}

/// Applies a step to lines.
pub fn apply(step: &Step, lines: &[String], scratch: &mut Scratch) -> Made {
    apply_from(step, 0, lines, scratch)
}

/// The same, of lines that come through one of several inputs.
pub fn apply_from(step: &Step, input: usize, lines: &[String], scratch: &mut Scratch) -> Made {
    let pattern = step.pattern().expect("a pattern");
    let part = part(lines);
    let vars = Vars::default();
    let records = part.body.records().expect("reads");
    let view = View { part: &part, records, vars: &vars, format: Format::Json, shard: None };
    let mut effects = Effects::default();
    pattern.apply(input, &view, scratch, &mut effects);
    let mut made =
        Made { counts: (effects.taken, effects.passed, effects.filtered, effects.folded), ..Made::default() };
    made.failed = effects.failed.iter().map(|(row, _)| *row).collect();
    for emit in effects.emits {
        let part = match emit.what {
            What::Whole => part.clone(),
            What::Rows(rows) => part.select(rows),
            What::New(batch, _) => {
                Part { body: Body::Ready(batch), rows: None, origin: part.origin.clone(), partition: 0 }
            }
        };
        let chosen = part.rows.clone().unwrap_or_else(|| Rows::all(part.body.count()));
        let values = part.body.records().expect("reads").iter().filter(|r| chosen.has(r.row()));
        let values = values.map(|r| String::from_utf8_lossy(r.value().unwrap_or_default()).into_owned());
        made.out.entry((emit.port, emit.partition)).or_default().extend(values);
    }
    made
}

/// All finals of a step whose input came in these pieces, asked for so many at a time.
pub fn finals(step: &Step, pieces: &[Vec<String>], at_once: usize) -> Vec<String> {
    let pieces: Vec<(usize, &[String])> = pieces.iter().map(|p| (0, p.as_slice())).collect();
    finals_from(step, &pieces, at_once)
}

/// The same, of pieces that came through several inputs.
pub fn finals_from(step: &Step, pieces: &[(usize, &[String])], at_once: usize) -> Vec<String> {
    let pattern = step.pattern().expect("a pattern");
    let vars = Vars::default();
    let mut all = Scratch::default();
    for (input, piece) in pieces.iter().filter(|(_, p)| !p.is_empty()) {
        let mut scratch = Scratch::default();
        apply_from(step, *input, piece, &mut scratch);
        all.stripe(0);
        all.stripes.iter_mut().zip(scratch.stripes).for_each(|(all, one)| pattern.absorb(&vars, all, one));
    }
    let mut out = vec![];
    let n = pattern.order(&vars, &mut all).expect("an order");
    for from in (0..n).step_by(at_once) {
        let mut finals = Finals::default();
        pattern.finals(&vars, &all, from..n.min(from + at_once), &mut finals).expect("finals");
        out.extend(
            finals.items.into_iter().map(|i| String::from_utf8_lossy(&i.value.unwrap_or_default()).into_owned()),
        );
    }
    out
}

/// What the naive model reads of a line: `n` and `k`, if it is an object that has them.
pub fn read(line: &str) -> Option<serde_json::Value> {
    serde_json::from_str(line).ok()
}
