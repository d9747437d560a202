//! What tests share and nobody installs: the suite that every engine must pass.

pub mod cluster;
pub mod conformance;
pub mod drawn;
pub mod faulty;
pub mod rng;
pub mod trial;
