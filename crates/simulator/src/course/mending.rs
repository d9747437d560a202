//! Repairs: failed items of a batch are tried again, edited or given up, while processes come, stall and die.

use super::{Trial, each_at, reports, short};
use crate::drawn::state::{self, Decision, State};
use anabranch_engine::{Cursor, Engine, Phase};
use anabranch_run::{ByHand, DeadLetter, Letters, Options, Repair, Way, batches};
use anabranch_trial::log::MemoryLog;
use anabranch_trial::rng::Rng;
use anabranch_trial::scheduler::Process;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A letter that can be settled.
struct Open {
    id: String,
    step: usize,
    item: Value,
}

/// What is done with which letters.
struct Chosen {
    repair: Repair,
    decided: Vec<(usize, Value, Option<Decision>)>,
    opens: Option<usize>,
}

impl Trial<'_> {
    /// Works for an older batch again. False if there is none.
    pub(super) fn mend(
        &self,
        main: &mut Process,
        state: &mut State,
        dice: &mut Rng,
        newest: usize,
    ) -> Result<bool, String> {
        let shape = &self.setup.shape;
        let from = if state::reads_files_again(shape) { newest } else { 0 };
        let of_use = |no: &usize| {
            let batch = &state.batches[*no];
            batch.exit != 1 && !(batch.letters.is_empty() && batch.waits.is_empty())
        };
        let all: Vec<usize> = (from..state.batches.len()).filter(of_use).collect();
        if all.is_empty() || !state::is_mendable(shape) {
            return Ok(false);
        }
        let no = all[dice.below(all.len() as u64) as usize];
        let log = self.log.seen_by(main);
        let open = self.open(&log, state, no)?;
        let chosen = self.choose(state, no, &open, dice);
        if chosen.decided.is_empty() && chosen.repair.open.is_none() {
            return Ok(false);
        }
        self.scheduler.set_faults(self.setup.faults);
        self.work(main, dice, Some(&chosen.repair));
        *main = self.scheduler.process();
        main.begin_alone();
        self.scheduler.set_faults(self.setup.faults.ceased());
        let log = self.log.seen_by(main);
        self.ended(main, &log, state.runs + 1, &chosen.repair)?;
        let batch = &mut state.batches[no];
        batch.opened.extend(chosen.opens);
        for (step, item, decision) in &chosen.decided {
            let of = batch.decided.entry((*step, item.to_string())).or_default();
            of.extend(decision.clone());
        }
        let letters: Vec<(usize, Value)> = chosen.decided.into_iter().map(|(step, item, _)| (step, item)).collect();
        let first = batch.runs[0];
        let end = state.repair(shape, no, &letters);
        let all = reports(&log, &self.flow.name)?;
        let report = all.iter().find(|r| r.run == state.runs).ok_or("a repair has no report")?;
        if !report.balanced || u64::from(report.exit) != end.exit || report.batch != first {
            let (run, exit) = (state.runs, end.exit);
            return Err(format!(
                "run {run} should mend batch {first} and end with {exit}, balanced: {}",
                short(report)
            ));
        }
        Ok(true)
    }

    /// The letters of a batch that are not settled: they are those that the model has.
    fn open(&self, log: &MemoryLog, state: &State, no: usize) -> Result<Vec<Open>, String> {
        let (shape, batch) = (&self.setup.shape, &state.batches[no]);
        let said = |e: anabranch_engine::Error| e.to_string();
        let found = batches(log, &self.flow.name, Some(batch.runs[0])).map_err(said)?;
        let found = found.first().ok_or_else(|| format!("batch {} has no books", batch.runs[0]))?;
        let (dead, mut open) = (self.flow.name.own("dead").map_err(said)?, vec![]);
        for (p, extent) in found.letters(&dead) {
            each_at(log, (&dead, p, extent.from..extent.to), |offset, item| {
                let letter = DeadLetter::read(item);
                let step = shape.steps.iter().position(|s| s.name == letter.failed.step);
                let item = serde_json::from_slice(letter.failed.item.value.as_deref().unwrap_or_default());
                if let (None, Some(step), Ok(item)) = (found.settled(p, offset), step, item) {
                    open.push(Open { id: letter.id, step, item });
                }
            })
            .map_err(said)?;
        }
        let key = |step: usize, item: &Value| format!("{step} {item}");
        let mut is: Vec<String> = open.iter().map(|o| key(o.step, &o.item)).collect();
        let mut want: Vec<String> = batch.letters.iter().map(|(s, item)| key(*s, item)).collect();
        is.sort();
        want.sort();
        if is != want {
            return Err(format!("batch {} should have the letters {want:?}, and has {is:?}", batch.runs[0]));
        }
        Ok(open)
    }

    fn choose(&self, state: &State, no: usize, open: &[Open], dice: &mut Rng) -> Chosen {
        let late = dice.eighths(4);
        let (mut retry, mut skip, mut values) = (vec![], vec![], BTreeMap::new());
        let mut decided = vec![];
        for Open { id, step, item } in open {
            let batch = &state.batches[no];
            let itself = batch.said.results.contains_key(step);
            let refused = itself || !late && batch.said_behind(&self.setup.shape, *step);
            match dice.below(8) {
                0 | 1 => continue,
                2 | 3 => {
                    skip.push(id.clone());
                    decided.push((*step, item.clone(), Some(Decision::Skip)));
                }
                _ if refused => continue,
                4 | 5 => {
                    retry.push(id.clone());
                    decided.push((*step, item.clone(), None));
                }
                _ => {
                    let mut value = item.clone();
                    value["v"] = json!(1 + dice.below(8));
                    values.insert(id.clone(), value.to_string());
                    decided.push((*step, item.clone(), Some(Decision::Edit(value))));
                }
            }
        }
        let edited: Vec<String> = values.keys().cloned().collect();
        let edit = Way::Edit(Arc::new(move |letter| {
            values.get(&letter.id).map(|value| value.clone().into()).ok_or_else(|| "nobody edits it".into())
        }));
        let opens = state.batches[no].waits.first().copied().filter(|_| dice.eighths(5));
        let open =
            opens.map(|s| ByHand { step: self.setup.shape.steps[s].name.clone(), by: "somebody".into(), reason: None });
        let repair = Repair { late, open, ..Repair::of(state.batches[no].runs[0]) };
        let repair = repair.with(Letters::These(retry), Way::Retry).with(Letters::These(skip), Way::Skip);
        Chosen { repair: repair.with(Letters::These(edited), edit), decided, opens }
    }

    /// Faults have ceased: the repair comes to its end.
    fn ended(&self, main: &Process, log: &MemoryLog, run: u64, repair: &Repair) -> Result<(), String> {
        for _ in 0..3 {
            main.sleep(super::SEEN);
            let newest = log.accounts(&self.flow.name, &mut Cursor::default(), Duration::ZERO);
            let record = newest.map_err(|e| e.to_string())?.into_iter().find_map(|a| a.record);
            match record {
                Some(r) if r.number == run && r.phase.closed() && r.phase != Phase::Abandoned => return Ok(()),
                Some(r) if r.number > run => {
                    let all = reports(log, &self.flow.name)?;
                    let ended = all.iter().find(|r| r.run == run).map(short).unwrap_or_default();
                    return Err(format!("run {} came after the repair {run}: {ended}", r.number));
                }
                _ => {}
            }
            let options = Options { workers: 1, repair: Some(repair.clone()), ..Options::default() };
            if let Err(e) = self.once(main, options) {
                return Err(format!("faults have ceased, and a repair ends with {:?}: {e}", e.kind));
            }
        }
        Err("a repair has closed, and is still open".into())
    }
}
