//! Bytes and items: lines of an input, items of one format in a stream of another, items as lines of a file. Pure.

pub mod convert;
pub mod lines;
pub mod render;
