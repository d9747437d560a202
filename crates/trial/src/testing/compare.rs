//! What came out beside what a test expects.

use super::items::{self, Found};
use crate::log::MemoryLog;
use anabranch_engine::Result;
use anabranch_flow::format::Format;
use anabranch_flow::model::Flow;
use anabranch_flow::number::StepNo;
use anabranch_flow::suite::{Item, Test};
use anabranch_run::{DeadLetter, Report, Status, StepLine};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// Something that is not as a test says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// What, in a sentence.
    pub what: String,
    /// Items, one by one.
    pub lines: Vec<Line>,
}

/// An item that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How.
    pub mark: Mark,
    /// The item, or the field of one.
    pub text: String,
}

/// How an item differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It is expected and not there.
    Missing,
    /// It is there and not expected.
    Extra,
    /// It is nearly as expected.
    Differs,
}

impl Mark {
    /// The mark as a word.
    pub fn word(self) -> &'static str {
        match self {
            Mark::Missing => "missing",
            Mark::Extra => "extra",
            Mark::Differs => "differs",
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        for line in &self.lines {
            let sign = match line.mark {
                Mark::Missing => '-',
                Mark::Extra => '+',
                Mark::Differs => '~',
            };
            write!(f, "\n  {sign} {}", line.text)?;
        }
        Ok(())
    }
}

/// Items that are listed of each kind.
const LISTED: usize = 20;

impl Wrong {
    /// Something that is said in a sentence.
    pub fn of(what: impl Into<String>) -> Wrong {
        Wrong { what: what.into(), lines: vec![] }
    }
}

/// What is wrong, and what was found, by stream or step.
type Compared = (Vec<Wrong>, Vec<(String, Vec<String>)>);

/// Streams and dead letters.
pub fn all(log: &MemoryLog, flow: &Flow, test: &Test, report: &Report) -> Result<Compared> {
    let (mut wrong, mut found) = (vec![], vec![]);
    for (s, want) in &test.expect {
        let stream = &flow.streams[*s];
        let got = items::of(log, &stream.at, stream.format)?;
        found.push((stream.name.clone(), got.iter().map(|f| f.value.to_string()).collect()));
        wrong.extend(lists(&stream.name, want, got, test.in_order));
    }
    let mut letters = letters(log, flow)?;
    for (step, want) in &test.dead {
        let name = &flow.steps[*step].name;
        let got = letters.remove(step).unwrap_or_default().into_iter().map(|(found, _)| found).collect();
        wrong.extend(lists(&format!("dead letters of {name}"), want, got, test.in_order));
    }
    let counted = |step: &StepNo| test.report.get(step).is_some_and(|counts| counts.contains_key("dead"));
    for (step, all) in letters.iter().filter(|(step, all)| !all.is_empty() && !counted(step)) {
        let (n, name) = (anabranch_run::show::text::counted(all.len(), "item"), &flow.steps[*step].name);
        let text = format!("{n} failed at {name}, and the test says nothing of that");
        let line = |(found, error): &(Found, String)| Line {
            mark: Mark::Extra,
            text: format!("{}  {error}", shown(&found.value)),
        };
        wrong.push(Wrong { what: text, lines: all.iter().take(LISTED).map(line).collect() });
    }
    if !report.balanced {
        wrong.push(Wrong::of(format!("the books do not balance: {}", report.imbalance.join("; "))));
    }
    Ok((wrong, found))
}

/// Dead letters by step, each with its error.
fn letters(log: &MemoryLog, flow: &Flow) -> Result<BTreeMap<StepNo, Vec<(Found, String)>>> {
    let mut all: BTreeMap<StepNo, Vec<(Found, String)>> = BTreeMap::new();
    for found in items::of(log, &flow.name.own("dead")?, Format::Bytes)? {
        let failed = DeadLetter::read(found.item).failed;
        let Some(step) = flow.step_no(&failed.step) else { continue };
        let format = flow.steps[step].inputs.first().map(|s| flow.streams[*s].format).unwrap_or_default();
        let value = items::value(failed.item.value.as_deref().unwrap_or_default(), format);
        all.entry(step).or_default().push((Found { value, item: failed.item }, failed.reason.error));
    }
    Ok(all)
}

/// How the run ended, its gates, and what it counted.
pub fn report(flow: &Flow, test: &Test, report: &Report) -> Vec<Wrong> {
    let mut wrong = vec![];
    let line = |step: StepNo| report.steps.iter().find(|line| line.step == flow.steps[step].name);
    for (step, of) in flow.numbered_steps().filter(|(_, of)| of.gate().is_some()) {
        let gate = line(step).and_then(|line| line.gate.as_ref());
        let (name, shut) = (&of.name, gate.is_some_and(anabranch_run::Gate::is_shut));
        match (test.held.contains(&step), shut) {
            (true, false) => wrong.push(Wrong::of(format!("{name} should stay shut, and does not"))),
            (false, true) => {
                let gate = gate.map(ToString::to_string).unwrap_or_default();
                wrong.push(Wrong::of(format!("{name} stays shut: it is {gate}")));
            }
            _ => {}
        }
    }
    if report.status == Status::Failed && test.held.is_empty() {
        wrong.push(Wrong::of(anabranch_run::show::report::in_short(report)));
    }
    for (step, counts) in &test.report {
        for (word, want) in counts {
            let got = line(*step).map_or(0, |line| count(line, word));
            if got != *want {
                let name = &flow.steps[*step].name;
                wrong.push(Wrong::of(format!("the report counts {word} {got} at {name}, the test wants {want}")));
            }
        }
    }
    wrong
}

fn count(line: &StepLine, word: &str) -> u64 {
    match word {
        "taken" => line.taken,
        "passed" => line.passed,
        "filtered" => line.filtered,
        "folded" => line.folded,
        "skipped" => line.skipped,
        _ => line.dead,
    }
}

/// Items that are expected beside those that are there.
fn lists(what: &str, want: &[Item], got: Vec<Found>, in_order: bool) -> Option<Wrong> {
    let (expected, there) = (want.len(), got.len());
    let mut got: Vec<Option<Found>> = got.into_iter().map(Some).collect();
    let mut missing: Vec<&Item> = vec![];
    for (i, item) in want.iter().enumerate() {
        let fits = |found: &Option<Found>| found.as_ref().is_some_and(|found| is_as(item, found));
        let at = if in_order { got.get(i).is_some_and(fits).then_some(i) } else { got.iter().position(fits) };
        match at {
            Some(at) => got[at] = None,
            None => missing.push(item),
        }
    }
    let mut extra: Vec<Found> = got.into_iter().flatten().collect();
    if missing.is_empty() && extra.is_empty() {
        return None;
    }
    let mut lines = vec![];
    missing.retain(|item| match nearest(item, &extra) {
        Some(at) => {
            lines.push(Line { mark: Mark::Differs, text: differences(item, &extra.remove(at)) });
            false
        }
        None => true,
    });
    let missing = missing.iter().map(|item| Line { mark: Mark::Missing, text: as_wanted(item) });
    lines.extend(missing.take(LISTED));
    let extra = extra.iter().map(|found| Line { mark: Mark::Extra, text: shown(&found.value) });
    lines.extend(extra.take(LISTED));
    let order = if in_order { ", in this order" } else { "" };
    Some(Wrong { what: format!("{what}: {expected} expected{order}, {there} there"), lines })
}

fn wanted(item: &Item) -> Option<Value> {
    item.value.as_ref().map(|json| serde_json::from_str(json).unwrap_or_else(|_| Value::String(json.clone())))
}

/// Whether two values are the same; a number is one however it is written.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|w| same(v, w)))
        }
        _ => a == b,
    }
}

/// What of an item is not as it should be: what is said, what is wanted, what is there.
fn faults(want: &Item, found: &Found) -> Vec<(String, Value, Value)> {
    let mut out = vec![];
    match (wanted(want), &found.value) {
        (Some(Value::Object(want)), Value::Object(got)) => {
            let keys: std::collections::BTreeSet<&String> = want.keys().chain(got.keys()).collect();
            for key in keys {
                match (want.get(key), got.get(key)) {
                    (Some(a), Some(b)) if same(a, b) => {}
                    (a, b) => out.push((key.clone(), a.cloned().unwrap_or_else(none), b.cloned().unwrap_or_else(none))),
                }
            }
        }
        (Some(want), got) if !same(&want, got) => out.push(("value".into(), want, got.clone())),
        _ => {}
    }
    let text = |bytes: Option<&[u8]>| bytes.map_or_else(none, |b| json!(String::from_utf8_lossy(b)));
    if let Some(key) = &want.key {
        let (want, got) = (key.as_ref().map_or_else(none, |key| json!(key)), text(found.item.key.as_deref()));
        if want != got {
            out.push(("key".into(), want, got));
        }
    }
    for (name, value) in &want.headers {
        let got = text(found.item.header(name));
        if got != json!(value) {
            out.push((format!("header {name}"), json!(value), got));
        }
    }
    if let Some(time) = want.timestamp.filter(|time| *time != found.item.timestamp) {
        out.push(("timestamp".into(), json!(time), json!(found.item.timestamp)));
    }
    out
}

fn none() -> Value {
    Value::String("nothing".into())
}

fn is_as(want: &Item, found: &Found) -> bool {
    faults(want, found).is_empty()
}

/// The item that is most like the one that is wanted: at least half of the fields of its value are the same.
fn nearest(want: &Item, found: &[Found]) -> Option<usize> {
    let fields = wanted(want)?.as_object().map_or(1, serde_json::Map::len);
    let value = Item { value: want.value.clone(), ..Item::default() };
    let all = found.iter().enumerate().map(|(i, found)| (faults(&value, found).len(), i));
    all.min().filter(|(faults, _)| 2 * faults <= fields).map(|(_, i)| i)
}

fn differences(want: &Item, found: &Found) -> String {
    let each = faults(want, found).into_iter().map(|(field, want, got)| format!("{field}: {got}, expected {want}"));
    format!("{}  {}", shown(&found.value), each.collect::<Vec<_>>().join("; "))
}

fn as_wanted(item: &Item) -> String {
    let mut text = wanted(item).map_or_else(|| "an item".into(), |value| shown(&value));
    if let Some(key) = &item.key {
        text += &format!("  key {}", key.as_deref().unwrap_or("none"));
    }
    text
}

/// An item in a line that is not too long.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN { text } else { text.chars().take(SHOWN).chain(['…']).collect() }
}

const SHOWN: usize = 300;
