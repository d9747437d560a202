//! What people are shown: tables, numbers, and the report of a run.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod history;
pub mod report;
pub mod table;
pub mod text;
