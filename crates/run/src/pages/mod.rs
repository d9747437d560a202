//! What people are shown that is made of more than a report: what a run would do, and a report as a page with letters and logs.

pub mod html;
pub mod plan;
