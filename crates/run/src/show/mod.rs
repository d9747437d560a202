//! What people are shown: tables, numbers, and the report of a run.

pub mod report;
pub mod table;
pub mod text;
