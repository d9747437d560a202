//! Reading a flow as written: keys one by one, expressions and templates in them, with every fault at its place.

pub mod compile;
pub mod keys;
pub mod ports;
pub mod words;

use crate::diagnostic::Span;
use crate::expr::{Env, FieldType, Names};
use crate::format::Format;
pub use keys::Name;

use compile::item_names;
use ports::Ports;
use std::collections::BTreeMap;

/// What a verb must know of its step to read its keys.
pub struct Reading<'c> {
    /// How the items of its inputs are read.
    pub format: Format,
    /// How the items of its outputs are written.
    pub out: Format,
    /// The variables.
    pub env: &'c Env,
    /// It is replicated.
    pub shard: bool,
    /// Types of the fields of its items, where they are told.
    pub types: BTreeMap<String, FieldType>,
    /// How many streams it reads.
    pub inputs: usize,
    /// Where its verb stands.
    pub verb_span: Span,
    /// Its outputs.
    pub ports: &'c Ports,
}

impl Reading<'_> {
    /// Names for expressions over an item.
    pub fn names(&self) -> Names {
        Names { types: self.types.clone(), ..item_names(self.format, self.shard, self.env) }
    }
}
