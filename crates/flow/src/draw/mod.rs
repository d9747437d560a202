//! A flow as a picture: lines of text, or what other tools draw.

mod picture;
mod svg;
mod text;

pub use picture::{dot, mermaid};
pub use svg::{escaped, svg};
pub use text::text;
