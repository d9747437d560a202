//! Runs that are tried: on a log in memory, with no file, no thread at work and no sleep, in an order that a seed decides.
//!
//! | module | holds |
//! |---|---|
//! | [`scheduler`] | whose turn it is, and what time: one process at a time, chosen by the seed |
//! | [`faults`] | what goes wrong, and how often |
//! | [`log`] | an engine in memory |
//! | [`world`] | files and actions in memory |
//! | [`testing`] | tests of a flow |
//! | [`rng`] | numbers that come again with the same seed |

pub mod faults;
pub mod log;
pub mod rng;
pub mod scheduler;
pub mod testing;
pub mod world;
