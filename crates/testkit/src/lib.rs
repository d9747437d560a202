//! What tests share and nobody installs: the suite that every engine must pass.

pub mod conformance;
pub mod faulty;
