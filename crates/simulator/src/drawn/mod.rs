//! Flows that are drawn: what trials run that want flows which nobody thought of.

mod draw;
pub mod model;
mod shape;
pub mod state;

pub use draw::draw;
pub use shape::{Home, Rest, Shape, Source, Step, Stream, Test, Tolerate, Verb};
