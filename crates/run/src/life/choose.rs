//! What a repair is to do with which letters: found over the books of the batch, before anything is changed.

use crate::context::RunContext;
use crate::context::choices::{Choices, Revision};
use crate::ledger::marks::Mark;
use crate::life::books::Batch;
use crate::piece::letter::DeadLetter;
use crate::piece::wanted::{Letters, Repair, Way};
use anabranch_engine::{Again, At, Error, Result, Tally, items, limits};
use anabranch_flow::model::{Flow, Kind};
use anabranch_flow::number::StepNo;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;

/// What a repair does.
#[derive(Default)]
pub struct Chosen {
    /// With which letters.
    pub choices: Choices,
    /// What the nodes did, without what is tried again, and with what is given up as skipped.
    pub tally: BTreeMap<String, Tally>,
    /// How many letters are tried again, by step and the stream from which it took them.
    pub again: BTreeMap<(String, String), u64>,
    /// Steps behind them that have said their results.
    pub late: BTreeSet<String>,
    /// Letters that were meant by what they are and cannot be chosen, by the reason.
    pub left: BTreeMap<String, u64>,
}

impl Chosen {
    /// The letters that are tried again, as a record has them.
    pub fn again(&self) -> Vec<Again> {
        let again = self.again.iter().map(|((step, of), n)| Again { step: step.clone(), of: of.clone(), letters: *n });
        again.collect()
    }
}

/// Finds what is wanted among the letters of a batch. They are read once, one after the other.
pub fn choose(context: &RunContext, batch: &Batch, wanted: &Repair) -> Result<Chosen> {
    let mut chosen = Chosen { tally: batch.books.account.tally.clone(), ..Chosen::default() };
    let mut named: HashMap<&str, (&Way, bool)> = HashMap::new();
    for (letters, way) in &wanted.choices {
        let Letters::These(ids) = letters else { continue };
        for id in ids {
            if named.insert(id, (way, false)).is_some() {
                return Err(Error::usage(format!("the dead letter {id} is named twice")));
            }
        }
    }
    let behind = behind_all(context, batch);
    for (p, extent) in batch.letters(&context.dead) {
        let at = At { stream: context.dead.clone(), partition: p, offset: extent.from };
        let _ = items(&*context.engine, at, extent.to, |offset, item| {
            let letter = DeadLetter::read(item);
            let by_name = named.get_mut(letter.id.as_str()).map(|(way, seen)| (*way, std::mem::replace(seen, true)).0);
            let like = || {
                let mut all = wanted.choices.iter().filter_map(|(letters, way)| match letters {
                    Letters::All(like) => Some((like, way)),
                    Letters::These(_) => None,
                });
                all.find(|(like, _)| like.is(&letter)).map(|(_, way)| way)
            };
            let Some(way) = by_name.or_else(like) else { return Ok(ControlFlow::Continue(())) };
            let chose = match batch.settled(p, offset) {
                Some(settled) if by_name.is_some() => {
                    let (id, how, run) = (&letter.id, settled.how, settled.run);
                    Err(Error::usage(format!("the dead letter {id} is settled already: it was {how} in run {run}")))
                }
                Some(_) => return Ok(ControlFlow::Continue(())),
                None => take(context, &mut chosen, (p, offset), &letter, (way, wanted.late, &behind)),
            };
            match chose {
                Err(e) if by_name.is_some() => return Err(e),
                Err(e) => *chosen.left.entry(reason(&e, &letter)).or_default() += 1,
                Ok(()) => {}
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    if let Some((id, _)) = named.iter().find(|(_, (_, seen))| !seen) {
        let text = format!("batch {} has no dead letter {id}", wanted.batch);
        return Err(Error::usage(text).help(format!("anabranch dead list  shows those of {}", context.flow.name)));
    }
    Ok(chosen)
}

/// Why letters stay, without the name of this one.
fn reason(e: &Error, letter: &DeadLetter) -> String {
    e.text.replacen(&format!("the dead letter {}", letter.id), "it", 1)
}

/// For each step: reduces behind it that have said their results, and pairs.
fn behind_all(context: &RunContext, batch: &Batch) -> BTreeMap<StepNo, BTreeSet<StepNo>> {
    let flow = &context.flow;
    flow.numbered_steps().map(|(s, _)| (s, said_behind(flow, batch, s))).collect()
}

/// Reduces that a step leads to, or is, and that have said their results; and pairs, which have moved on.
fn said_behind(flow: &Flow, batch: &Batch, step: StepNo) -> BTreeSet<StepNo> {
    let (mut todo, mut seen, mut said) = (vec![step], BTreeSet::new(), BTreeSet::new());
    while let Some(s) = todo.pop() {
        if !seen.insert(s) {
            continue;
        }
        let ended = Mark::Done(&flow.steps[s].name).is_in(&batch.books.account);
        if ended && matches!(flow.steps[s].kind, Kind::Reduce(..) | Kind::Pair(_)) {
            said.insert(s);
        } else {
            todo.extend(flow.steps[s].outputs.iter().flat_map(|o| &flow.streams[*o].readers).map(|(r, _)| *r));
        }
    }
    said
}

type How<'h> = (&'h Way, bool, &'h BTreeMap<StepNo, BTreeSet<StepNo>>);

/// Chooses a letter that is not settled.
fn take(
    context: &RunContext,
    chosen: &mut Chosen,
    place: (u32, i64),
    letter: &DeadLetter,
    (way, late, behind): How<'_>,
) -> Result<()> {
    let (id, step) = (&letter.id, &letter.failed.step);
    if let Way::Skip = way {
        let counted = chosen.tally.entry(step.clone()).or_default();
        counted.dead = counted.dead.saturating_sub(1);
        counted.skipped += 1;
        chosen.choices.skip.add(place.0, place.1);
        return Ok(());
    }
    let (of, s) = way_back(context, letter, matches!(way, Way::Edit(_)))?;
    let said = behind.get(&s).into_iter().flatten().map(|s| &context.flow.steps[*s]);
    for reduce in said {
        let name = &reduce.name;
        // an item of its own cannot go on anywhere else, and pairs have moved on
        let never = *name == *step || matches!(reduce.kind, Kind::Pair(_));
        if never || !late {
            let text = format!("{name} has written its results: the dead letter {id} would come too late");
            let help = match never {
                true => "skip it".to_string(),
                false => format!("skip it, or let it go on without {name}:  --late"),
            };
            return Err(Error::usage(text).help(help));
        }
        chosen.late.insert(name.clone());
    }
    if let Some(revision) = revised(context, letter, s, way)? {
        let is_many = chosen.choices.revised.len() >= limits::REVISED_AT_ONCE;
        if is_many || chosen.choices.revised_bytes() > limits::REVISED_BYTES {
            let most = limits::REVISED_AT_ONCE;
            return Err(Error::usage(format!("at most {most} dead letters, and 16 MiB of items, are revised at once"))
                .help("do it in several turns"));
        }
        chosen.choices.revised.insert(place, revision);
    }
    let counted = chosen.tally.entry(step.clone()).or_default();
    counted.dead = counted.dead.saturating_sub(1);
    if let Some(took) = counted.took.get_mut(&of) {
        *took = took.saturating_sub(1);
    }
    *chosen.again.entry((step.clone(), of)).or_default() += 1;
    chosen.choices.retry.add(place.0, place.1);
    Ok(())
}

/// The stream from which a step took an item, and the step.
fn way_back(context: &RunContext, letter: &DeadLetter, edited: bool) -> Result<(String, StepNo)> {
    let (flow, id, step) = (&context.flow, &letter.id, &letter.failed.step);
    let of = letter.failed.reason.taken.as_ref().map(|taken| taken.of.clone()).unwrap_or_default();
    if letter.cut.is_some() && !edited {
        let text = format!("the dead letter {id} was too large to be kept whole, and cannot be tried again");
        return Err(Error::usage(text).help("skip it, or run the batch again"));
    }
    let found = flow.step_no(step).zip(flow.stream_no(&of));
    match found.filter(|(s, of)| flow.steps[*s].inputs.contains(of)) {
        Some((s, _)) => Ok((of, s)),
        None => Err(Error::usage(format!("the dead letter {id} failed at {step}, and cannot be retried there"))
            .help("skip it, or run the batch again")),
    }
}

/// What is in the place of the item or of its answer.
fn revised(context: &RunContext, letter: &DeadLetter, step: StepNo, way: &Way) -> Result<Option<Revision>> {
    let (id, step) = (&letter.id, &context.flow.steps[step]);
    let revision = match way {
        Way::Retry | Way::Skip => return Ok(None),
        Way::Edit(edit) => {
            let value = edit(letter).map_err(|why| Error::usage(format!("the dead letter {id}: {why}")))?;
            Revision::Value(value)
        }
        Way::Settle(_) if !matches!(step.kind, Kind::Act(_)) => {
            let text = format!("the dead letter {id} failed at {}, which calls no action", step.name);
            return Err(Error::usage(text).help("edit the item, or skip it"));
        }
        Way::Settle(result) => Revision::Answer(result.clone()),
    };
    let bytes = revision.bytes();
    let most = context.engine.largest(&context.dead)?.min(limits::VALUE_BYTES);
    if bytes > most {
        return Err(Error::usage(format!(
            "the dead letter {id} would have {bytes} bytes, and at most {most} are taken"
        )));
    }
    Ok(Some(revision))
}
