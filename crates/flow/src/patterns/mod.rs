//! The patterns, one file each: pure functions from a batch to [`Effects`].
//!
//! A pattern does no I/O and knows no clock. What it keeps between batches is
//! its [`Scratch`], which is never durable: it is rebuilt by reading the input again.

pub mod action;
pub mod aggregate;
pub mod barrier;
pub mod copy;
pub mod effects;
pub mod filter;
pub mod fold;
pub mod making;
pub mod merge;
pub mod part;
pub mod reduce;
pub mod shard;
pub mod split;
pub mod table;
#[cfg(test)]
pub(crate) mod trial;
pub mod view;
pub mod work;

pub use effects::{Effects, Emit, What};
pub use making::{MadeFrom, Making};
pub use part::{Body, Origin, Part};
pub use view::{Vars, View};

use crate::expr::Fault;
use crate::read::keys::{Faults, Keys};
use crate::read::ports::Ports;
use crate::read::{Name, Reading};
use crate::spec::{Is, Key, Spec};
use anabranch_engine::limits;
use std::ops::Range;
use table::Groups;

/// A verb: what it is called, which outputs it has, and how its keys are read.
#[derive(Clone, Copy)]
pub struct Verb {
    /// Its keys, and what it does.
    pub spec: Spec,
    /// Whether it only decides where items go.
    pub routes: bool,
    /// Whether it names several outputs itself, so that it cannot be replicated.
    pub fans_out: bool,
    /// Reads the names of its outputs.
    pub ports: ReadPorts,
    /// Reads the rest.
    pub read: ReadKeys,
}

/// Reads the outputs of a step.
pub type ReadPorts = for<'n> fn(&mut Keys<'n>, &Name, &mut Ports, &mut Faults);
/// Reads what a step does.
pub type ReadKeys = for<'n> fn(&mut Keys<'n>, &Reading<'_>, &mut Faults) -> Option<Kind>;

/// Keys of every step.
pub const STEP_KEYS: &[Key] = &[
    Key::new("doc", Is::Text, "What the step is for.", "doc: leaves test orders out"),
    Key::new(
        "on-error",
        Is::Word(&["dead-letter", "skip", "fail"]),
        "What becomes of an item that fails: it is kept with its error, it is counted, or the run stops.",
        "on-error: fail",
    )
    .usual("dead-letter"),
    Key::new(
        "group",
        Is::Texts,
        "The consumer group that shows how far the step is; a list has one for each input.",
        "group: group1",
    )
    .depends("FLOW.STEP"),
];

/// All verbs of the language.
pub const VERBS: [&Verb; 8] =
    [&copy::VERB, &filter::VERB, &split::VERB, &shard::VERB, &merge::VERB, &barrier::VERB, &reduce::VERB, &work::VERB];

impl PartialEq for Verb {
    fn eq(&self, other: &Verb) -> bool {
        self.spec.name == other.spec.name
    }
}

/// What a step does.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub enum Kind {
    Copy(copy::Copy),
    Filter(Box<filter::Filter>),
    Split(Box<split::Split>),
    Shard(Box<shard::Shard>),
    Merge(merge::Merge),
    Barrier(barrier::Gate),
    Reduce(Box<reduce::Reduce>, barrier::Gate),
    Pair(fold::Shape),
    Work(Box<work::Work>),
    Act(Box<work::Act>),
}

impl Kind {
    /// The verb of a step that does this.
    pub fn verb(&self) -> &'static Verb {
        match self {
            Kind::Copy(_) => &copy::VERB,
            Kind::Filter(_) => &filter::VERB,
            Kind::Split(_) => &split::VERB,
            Kind::Shard(_) => &shard::VERB,
            Kind::Merge(_) => &merge::VERB,
            Kind::Barrier(_) => &barrier::VERB,
            Kind::Reduce(..) | Kind::Pair(_) => &reduce::VERB,
            Kind::Work(_) | Kind::Act(_) => &work::VERB,
        }
    }
}

/// What a pattern remembers between batches of one run.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The groups of a reduce, striped by the hash of their key: none, or [`STRIPES`].
    pub stripes: Vec<Stripe>,
    /// The stripe and number of each group in the order of their keys, once the input has ended.
    pub sorted: Vec<(usize, usize)>,
}

/// Groups that can be merged beside those of other stripes.
#[derive(Debug, Default)]
pub struct Stripe {
    /// The groups.
    pub groups: Groups,
}

/// Stripes of a scratch: enough for the cores, and 100,000 keys of one fit a core's cache.
pub const STRIPES: usize = 16;

impl Scratch {
    /// The stripe of the keys with this hash, where chunks are merged.
    pub fn stripe(&mut self, hash: u64) -> &mut Stripe {
        self.stripe_of(hash, Groups::default)
    }

    /// The stripe of the keys with this hash, in the scratch of one chunk.
    pub fn chunk_stripe(&mut self, hash: u64) -> &mut Stripe {
        self.stripe_of(hash, Groups::of_chunk)
    }

    fn stripe_of(&mut self, hash: u64, groups: fn() -> Groups) -> &mut Stripe {
        if self.stripes.is_empty() {
            self.stripes.resize_with(STRIPES, || Stripe { groups: groups() });
        }
        // the table inside a stripe uses the lowest and the highest bits
        &mut self.stripes[(hash >> 32) as usize % STRIPES]
    }

    /// Keys so far.
    pub fn keys(&self) -> usize {
        self.stripes.iter().map(|s| s.groups.len()).sum()
    }

    /// Bytes that they take, roughly.
    pub fn bytes(&self) -> usize {
        self.stripes.iter().map(|s| s.groups.bytes()).sum()
    }
}

/// A computational pattern. Same input, same effects.
pub trait Pattern: Send + Sync {
    /// Works on one batch that came in through `port`. Each chunk of input has a fresh scratch.
    fn apply(&self, port: usize, view: &View<'_>, scratch: &mut Scratch, out: &mut Effects);

    /// Whether it looks into items; one that does not gets a view without records.
    fn looks(&self) -> bool {
        true
    }

    /// Merges a stripe of the next chunk, in input order, into the same stripe of those before.
    fn absorb(&self, vars: &Vars, into: &mut Stripe, chunk: Stripe) {
        let _ = (vars, into, chunk);
    }

    /// Brings its finals into order when the input has ended; how many there are.
    ///
    /// # Errors
    ///
    /// A key cannot be compared.
    fn order(&self, vars: &Vars, scratch: &mut Scratch) -> Result<usize, Fault> {
        let _ = (vars, scratch);
        Ok(0)
    }

    /// The finals of these numbers, in their order.
    ///
    /// # Errors
    ///
    /// A final cannot be made at all; those that fail one by one are among `out`.
    fn finals(&self, vars: &Vars, scratch: &Scratch, which: Range<usize>, out: &mut Finals) -> Result<(), Fault> {
        let _ = (vars, scratch, which, out);
        Ok(())
    }
}

/// Finals on their way out.
#[derive(Debug, Default)]
pub struct Finals {
    /// Items in key order.
    pub items: Vec<anabranch_engine::Item>,
    /// Those that cannot be said: the key as JSON, why, and what is kept of it.
    pub failed: Vec<(String, Fault, anabranch_engine::Item)>,
}

/// A value that is not larger than an item may be.
///
/// # Errors
///
/// It is larger.
pub fn bounded(value: Vec<u8>) -> Result<Vec<u8>, Fault> {
    if value.len() <= limits::ITEM_BYTES {
        return Ok(value);
    }
    Err(too_large(value.len()))
}

/// What is said of a value that is larger than an item may be.
pub fn too_large(bytes: usize) -> Fault {
    Fault::new(format!("the result has {bytes} bytes, an item has at most {}", limits::ITEM_BYTES))
}
