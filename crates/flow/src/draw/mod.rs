//! A flow as a picture: lines of text, or what other tools draw.

mod picture;
mod text;

pub use picture::{dot, mermaid};
pub use text::text;
