//! What a flow that has changed means for a run that is open, and for a batch that waits.

use crate::context::RunContext;
use crate::ledger::marks::Mark;
use crate::life::books::BatchBooks;
use anabranch_flow::check::hash::differences;
use anabranch_flow::model::Flow;
use anabranch_flow::number::StepNo;
use anabranch_flow::plan::Node;
use serde::Serialize;
use std::collections::BTreeMap;

/// A part of a flow that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// For what it matters: `run 3`, `batch 2`.
    pub of: String,
    /// The part: `steps.checked.exec`.
    pub path: String,
    /// How it is not as it was.
    pub sort: Sort,
    /// What it means.
    pub verdict: Change,
    /// Why, in a sentence.
    pub why: String,
}

/// What a change means for what was begun before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It goes on with the flow as it is now.
    MayGoOn,
    /// It comes to its end only with the flow as it was.
    MustFinishFirst,
    /// It cannot come to its end: it has to be given up.
    NeedsFresh,
}

impl Change {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Change::MayGoOn => "may go on",
            Change::MustFinishFirst => "must finish first",
            Change::NeedsFresh => "needs --fresh",
        }
    }
}

/// Keys of a step that say what it does with an item.
const MENDABLE: [&str; 10] =
    ["exec", "pipe", "http", "value", "set", "each", "where", "env", "idempotency-key", "on-error"];

/// Step and key of a part.
fn of_step(path: &str) -> Option<(&str, &str)> {
    let mut words = path.strip_prefix("steps.")?.splitn(2, '.');
    Some((words.next()?, words.next().unwrap_or_default()))
}

/// How a part of a flow is not as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sort {
    /// It was not there.
    New,
    /// It is not there any more.
    Gone,
    /// It is another one.
    Differs,
}

/// In what two versions of a flow differ. Of a step or a stream that is new or gone its keys are not told.
fn parts(was: &Parts, is: &Parts) -> Vec<(String, Sort)> {
    let sort = |path: &String| match (was.contains_key(path), is.contains_key(path)) {
        (false, _) => Sort::New,
        (_, false) => Sort::Gone,
        _ => Sort::Differs,
    };
    let is_whole =
        |path: &String| path.rsplit_once('.').is_none_or(|(of, _)| was.contains_key(of) == is.contains_key(of));
    let all = differences(was, is).into_iter().filter(is_whole);
    all.map(|path| (path.clone(), sort(&path))).collect()
}

/// The differences that matter to an open run: it goes on only with the flow that began it, but for what changes nothing
/// that it writes.
pub fn for_run(run: u64, was: (&Parts, &Parts), flow: &Flow) -> Vec<Difference> {
    let of = format!("run {run}");
    let differ = |(path, sort): (String, Sort), verdict, why: &str| Difference {
        of: of.clone(),
        path,
        sort,
        verdict,
        why: why.into(),
    };
    let counts = parts(was.0, &flow.parts).into_iter();
    let counts = counts.map(|(path, sort)| {
        let why = match (sort, path.split('.').next()) {
            (Sort::New | Sort::Gone, _) => {
                "a run has the same steps and streams, with the same keys, from its beginning to its end"
            }
            (_, Some("steps")) => "a step does the same with every item of a run",
            (_, Some("env")) => "the variables of a run are those with which it began",
            _ => "what a run reads and writes is settled when it begins",
        };
        differ((path, sort), Change::MustFinishFirst, why)
    });
    let free = differences(was.1, &flow.free).into_iter();
    let free = free.map(|path| differ((path, Sort::Differs), Change::MayGoOn, "it changes nothing that is written"));
    counts.chain(free).collect()
}

/// A hash for each part of a flow.
pub type Parts = BTreeMap<String, String>;

/// The differences that matter to a batch whose failed items are taken up again. A flow that differs from the one that left
/// them may be what mends them: in what steps do with an item, where what such a step did before need not be done again.
pub fn for_batch(context: &RunContext, books: &BatchBooks) -> Vec<Difference> {
    let flow = &context.flow;
    let unsaid = |f: &&StepNo| !Mark::Done(&flow.steps[**f].name).is_in(&books.account);
    let folds = |s: StepNo| {
        let unit = context.plan.unit_of(Node::Step(s)).map(|u| &context.plan.units[u])?;
        unit.folds.iter().find(unsaid).copied()
    };
    let of = format!("batch {}", books.record.batch);
    let judge = |(path, sort): (String, Sort)| {
        let mendable = of_step(&path).filter(|(_, key)| MENDABLE.contains(key));
        let step = mendable.and_then(|(name, _)| flow.step_no(name).map(|s| (name, s)));
        let (verdict, why) = match step.map(|(name, s)| (name, folds(s))) {
            None => (
                Change::MustFinishFirst,
                "what was done for the batch is judged and counted again: only what a step does with an item may differ".into(),
            ),
            Some((_, None)) => (Change::MayGoOn, "its failed items are tried again with it".to_string()),
            Some((name, Some(fold))) => {
                let fold = &flow.steps[fold].name;
                let what = if fold == name { "what it has folded".into() } else { format!("what {name} has made") };
                (Change::MustFinishFirst, format!("{fold} reads again {what}, and that has to be the same"))
            }
        };
        Difference { of: of.clone(), path, sort, verdict, why }
    };
    parts(&books.parts, &flow.parts).into_iter().map(judge).collect()
}
