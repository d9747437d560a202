//! Expressions: CEL text, parsed once, compiled to a small tree over the fields
//! it needs, evaluated over lazily read items.
//!
//! The parser is the crate `cel`; the evaluator is ours, because it reads only
//! the fields that an expression names. The language is
//! <https://github.com/google/cel-spec>, with one deviation: `int` with `double`
//! gives `double`, since JSON has one kind of number.

mod compile;
mod eval;
mod functions;
pub mod json;
mod parse;
mod scope;
mod strings;
mod times;
mod value;
pub mod write;

pub use compile::{Compiled, Names, Reads, RustFn, compile};
pub use functions::into_opened as opened;
pub use parse::{ParseFault, parse};
pub use scope::{Content, Env, Place, RunVars, Scope};
pub use value::{Value, find};

use std::fmt;

/// Why an expression could not be computed for an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault(Box<str>);

impl Fault {
    /// A fault that says `text`.
    pub fn new(text: impl Into<Box<str>>) -> Fault {
        Fault(text.into())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
