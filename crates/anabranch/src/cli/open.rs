//! `anabranch open`: a gate that waits for somebody is opened, and the batch goes on.

use super::args::{self, Args, Open};
use super::letters::Batches;
use super::{Exit, place, repair};
use anabranch_engine::{Error, Phase, Result};
use anabranch_flow::model::{Flow, Kind};
use anabranch_flow::names::nearest;
use anabranch_run::{ByHand, Repair};

/// Opens a gate for the batches that are meant.
pub fn open(args: &Args, a: &Open) -> Result<Exit> {
    let (arg, step) = place::the_step(&a.flow, a.step.as_ref());
    let Some(flow) = place::flow(args, &arg)? else { return Ok(2) };
    let waiting = waiting(&Batches::of(&*place::engine_of(args, &arg.flow)?, &flow)?);
    let step = step.ok_or_else(|| {
        Error::usage("it is not said which gate is to be opened").help(match waiting.as_slice() {
            [] => "none waits to be opened by hand".to_string(),
            some => format!("these wait: {}", listed(some)),
        })
    })?;
    is_by_hand(&flow, &step)?;
    let of_step: Vec<u64> = waiting.iter().filter(|(s, _)| *s == step).map(|(_, batch)| *batch).collect();
    let batches = match (a.batch, of_step.as_slice()) {
        (Some(batch), _) => vec![batch],
        (None, []) => return Err(Error::usage(format!("no batch waits at {step} for somebody to open it"))),
        (None, [one]) => vec![*one],
        (None, all) if a.all => all.to_vec(),
        (None, all) => {
            let numbers: Vec<String> = all.iter().map(u64::to_string).collect();
            return Err(Error::usage(format!("{} batches wait at {step}: {}", all.len(), numbers.join(", ")))
                .help("say which one with  --batch N , or open it for  --all"));
        }
    };
    let hand = ByHand { step, by: a.by.clone(), reason: a.reason.clone() };
    let repairs = batches.into_iter().map(|batch| Repair { open: Some(hand.clone()), ..Repair::of(batch) });
    let how = args::Run { flow: arg, fresh: false, progress: "auto".into() };
    repair::one_by_one(args, &how, repairs.collect::<Vec<_>>().into_iter())
}

/// Gates that wait for somebody, and the batches that wait there, oldest first.
fn waiting(batches: &Batches) -> Vec<(String, u64)> {
    let held = batches.all.iter().map(|b| &b.books).filter(|books| books.phase == Phase::Held);
    let of = |books: &anabranch_run::BatchBooks| {
        let gates = books.gates.iter().filter(|(_, gate)| gate.waits);
        gates.map(|(step, _)| (step.clone(), books.record.batch)).collect::<Vec<_>>()
    };
    held.flat_map(of).collect()
}

fn listed(waiting: &[(String, u64)]) -> String {
    let some: Vec<String> = waiting.iter().take(10).map(|(step, batch)| format!("{step} (batch {batch})")).collect();
    some.join(", ")
}

fn is_by_hand(flow: &Flow, step: &str) -> Result<()> {
    let gates = flow.steps.iter().filter(|s| matches!(s.kind, Kind::Barrier(gate) if gate.by_hand));
    let names: Vec<&str> = gates.map(|s| s.name.as_str()).collect();
    if names.contains(&step) {
        return Ok(());
    }
    let text = format!("{} has no join {step} that is opened by hand", flow.name);
    Err(Error::usage(text).help(match nearest(step, names.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None if names.is_empty() => "a join is opened by hand that has  open: by-hand".into(),
        None => format!("these are: {}", names.join(", ")),
    }))
}
