//! The life of a run, from its opening to its report.

pub mod attempt;
pub mod books;
pub mod changed;
mod choose;
mod close;
mod commit;
pub mod forecast;
pub mod inspect;
pub mod look;
mod manifests;
mod open;
mod patience;
mod prepare;
mod record;
pub mod repair;
pub mod reports;
mod told;
mod trim;
