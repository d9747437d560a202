//! What actions answer in a test.

use crate::world::{Mock, Mocked};
use anabranch_engine::Item;
use anabranch_flow::call::Call;
use anabranch_flow::expr::{Compiled, Fault, Reads, Value, write};
use anabranch_flow::format::Format;
use anabranch_flow::model::{Act, Answers, Flow, Kind};
use anabranch_flow::number::StepNo;
use anabranch_flow::patterns::{Part, Vars, View};
use anabranch_flow::suite::{Answer, Gives};
use anabranch_run::world::Failure;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the actions of a flow answer, by step.
pub fn of(flow: &Flow, mocked: &BTreeMap<StepNo, Vec<Answer>>) -> BTreeMap<String, Mock> {
    let mut all: BTreeMap<String, Mock> = BTreeMap::new();
    for (no, answers) in mocked {
        let step = &flow.steps[*no];
        let Kind::Act(act) = &step.kind else { continue };
        let format = step.inputs.first().map(|s| flow.streams[*s].format).unwrap_or_default();
        let vars = Vars { env: flow.env.clone(), ..Vars::default() };
        let played = Played { answers: answers.clone(), act: Act::clone(act), format, vars };
        all.insert(step.name.clone(), Arc::new(move |call| played.call(call)));
    }
    all
}

/// The action of a step.
struct Played {
    answers: Vec<Answer>,
    act: Act,
    format: Format,
    vars: Vars,
}

impl Played {
    fn call(&self, call: &Call) -> Mocked {
        let at = (call.attempt.max(1) as usize - 1).min(self.answers.len().saturating_sub(1));
        let Some(Answer { gives, delay }) = self.answers.get(at) else {
            return Mocked { outcome: Err(Failure::for_good("there is no answer")), after: std::time::Duration::ZERO };
        };
        let outcome = match gives {
            Gives::Error(text) => Err(Failure::from(text.as_str())),
            Gives::Value(expression, reads) => {
                self.value(call, expression, reads).map_err(|f| Failure::for_good(format!("mock: {f}")))
            }
        };
        Mocked { outcome, after: *delay }
    }

    /// What the program would have printed.
    fn value(&self, call: &Call, expression: &Compiled, reads: &Reads) -> Result<Option<Bytes>, Fault> {
        let item = Item { key: call.key.clone(), ..Item::of(self.item(call), 0) };
        let part = Part::of_nowhere(&item).map_err(|e| Fault::new(e.text))?;
        let records = part.body.records().map_err(|e| Fault::new(e.text))?;
        let view = View { part: &part, records, vars: &self.vars, format: self.format, shard: None };
        let record = view.items().next().ok_or_else(|| Fault::new("there is no item"))?;
        let mut slots = vec![];
        let scope = view.scope(&record, reads, &mut slots)?;
        let value = expression.eval(&scope)?;
        if matches!(value, Value::Null | Value::Optional(None)) {
            return Ok(None);
        }
        if self.act.work.as_printed() {
            return write::item(&value).map(|bytes| Some(bytes.into()));
        }
        let mut json = vec![];
        write::json(&mut json, &value)?;
        Ok(Some(json.into()))
    }

    /// The item of a call; a question with an id has it inside.
    fn item(&self, call: &Call) -> Vec<u8> {
        let asked = || serde_json::from_slice::<serde_json::Value>(&call.value).ok()?.get("item").cloned();
        match (self.act.answers == Answers::ById).then(asked).flatten() {
            Some(serde_json::Value::String(text)) if self.format != Format::Json => text.into_bytes(),
            Some(item) => item.to_string().into_bytes(),
            None => call.value.to_vec(),
        }
    }
}
