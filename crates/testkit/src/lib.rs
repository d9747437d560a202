//! What tests share and nobody installs: the suite that every engine must pass.

pub mod cluster;
pub mod conformance;
pub mod faulty;
pub mod trial;

pub use anabranch_trial::rng;
