//! What users program against: flows, their patterns, and the runner. No I/O of its own.

mod brace;
pub mod build;
pub mod call;
pub mod check;
pub mod diagnostic;
pub mod draw;
pub mod ends;
pub mod expr;
pub mod format;
pub mod model;
pub mod names;
pub mod number;
pub mod paths;
pub mod patterns;
pub mod plan;
pub mod read;
pub mod reference;
pub mod schema;
pub mod spec;
pub mod suite;
pub mod template;
pub mod tree;
