//! What the reduces have folded: chunks are merged in input order, stripes side by side.

use crate::context::RunContext;
use anabranch_engine::{Error, Result, limits};
use anabranch_flow::number::StepNo;
use anabranch_flow::patterns::{Pattern, STRIPES, Scratch, Stripe};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The scratch of each reduce, and the chunks that are not merged into it yet.
pub struct Folds {
    threads: usize,
    merged: BTreeMap<StepNo, Scratch>,
    waiting: BTreeMap<StepNo, Vec<Scratch>>,
}

/// Chunks that wait before they are merged together: a stripe then stays in a core's cache for all of them.
const TOGETHER: usize = 8;

/// Keys below which threads cost more than they bring.
const FEW: usize = 4_096;

/// One stripe of a step, and the same stripe of the chunks that follow it.
type Merge<'m> = (&'m dyn Pattern, &'m mut Stripe, Vec<Stripe>);

impl Folds {
    /// Nothing folded yet; so many threads merge.
    pub fn new(threads: usize) -> Folds {
        Folds { threads, merged: BTreeMap::new(), waiting: BTreeMap::new() }
    }

    /// Takes what a step folded of the next chunk.
    pub fn add(&mut self, context: &RunContext, step: StepNo, chunk: Scratch) -> Result<()> {
        let waiting = self.waiting.entry(step).or_default();
        waiting.push(chunk);
        if waiting.len() >= TOGETHER {
            self.merge(context)?;
            return self.bounded(context, step);
        }
        Ok(())
    }

    /// What a step has folded of everything that was added.
    pub fn of(&mut self, context: &RunContext, step: StepNo) -> Result<&mut Scratch> {
        self.merge(context)?;
        Ok(self.merged.entry(step).or_default())
    }

    /// A step has said its finals.
    pub fn remove(&mut self, step: StepNo) {
        self.merged.remove(&step);
    }

    fn merge(&mut self, context: &RunContext) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let keys: usize = waiting.values().flatten().map(Scratch::keys).sum();
        for step in waiting.keys() {
            self.merged.entry(*step).or_default().stripe(0);
        }
        let mut merges: Vec<Merge<'_>> = vec![];
        let mut merged = self.merged.iter_mut();
        for (step, chunks) in waiting {
            let (pattern, into) = (context.flow.steps[step].pattern(), merged.find(|(s, _)| **s == step));
            let (Some(pattern), Some((_, into))) = (pattern, into) else {
                return Err(Error::bug(format!(
                    "items were folded for {}, which folds none",
                    context.flow.steps[step].name
                )));
            };
            let mut parts: Vec<Vec<Stripe>> = (0..STRIPES).map(|_| Vec::with_capacity(chunks.len())).collect();
            for chunk in chunks {
                parts.iter_mut().zip(chunk.stripes).for_each(|(part, stripe)| part.push(stripe));
            }
            merges.extend(into.stripes.iter_mut().zip(parts).map(|(into, part)| (pattern, into, part)));
        }
        let merges = Mutex::new(merges);
        let work = || {
            loop {
                let next = merges.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let Some((pattern, into, chunks)) = next else { return };
                chunks.into_iter().for_each(|chunk| pattern.absorb(&context.vars, into, chunk));
            }
        };
        let helpers = if keys < FEW { 0 } else { self.threads.min(STRIPES) - 1 };
        std::thread::scope(|scope| {
            for _ in 0..helpers {
                // without a helper this thread does it all
                let _ = std::thread::Builder::new().name("fold".into()).spawn_scoped(scope, work);
            }
            work();
        });
        Ok(())
    }

    /// The folds must fit the memory that they may take.
    fn bounded(&self, context: &RunContext, step: StepNo) -> Result<()> {
        let Some(scratch) = self.merged.get(&step) else { return Ok(()) };
        if scratch.bytes() <= limits::FOLD_BYTES {
            return Ok(());
        }
        let (name, keys) = (&context.flow.steps[step].name, scratch.keys());
        let text = format!(
            "the reduce {name} holds {keys} keys in {} MB; it may take {} MB",
            scratch.bytes() >> 20,
            limits::FOLD_BYTES >> 20
        );
        Err(Error::machine(text)
            .help("fold by fewer keys, or shard the stream and reduce each shard in a run of its own"))
    }
}
