//! Expressions: CEL text, parsed once, compiled to a small tree over the fields
//! it needs, evaluated over lazily read items.
//!
//! The parser is the crate `cel`; the evaluator is ours, because it reads only
//! the fields that an expression names. The language is
//! <https://github.com/google/cel-spec>, with one deviation: `int` with `double`
//! gives `double`, since JSON has one kind of number.

mod aggregates;
mod compare;
mod compile;
mod convert;
mod eval;
mod format;
mod func;
mod functions;
mod growing;
mod hint;
pub mod json;
mod known;
mod number;
mod parse;
mod places;
mod reading;
mod regexes;
mod scope;
mod size;
mod special;
mod strings;
pub mod time;
mod times;
mod types;
mod value;
pub mod write;

pub use compare::find;
pub use compile::{Compiled, Names, Reads, RustFn, compile};
pub use growing::Growing;
pub use parse::parse;
pub use scope::{Content, Env, Place, RunVars, Scope, Zone};
pub use size::Size;
pub use types::FieldType;
pub use value::Value;

use std::fmt;

/// Why an expression could not be computed for an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault(Box<str>);

impl Fault {
    /// A fault that says `text`.
    pub fn new(text: impl Into<Box<str>>) -> Fault {
        Fault(text.into())
    }

    /// A number does not fit.
    pub fn overflow() -> Fault {
        Fault::new("a number is out of range")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseFault {
    /// What is wrong.
    pub text: String,
    /// Where, in characters from the start.
    pub at: usize,
}

#[cfg(test)]
mod tests;
