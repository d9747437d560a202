//! Batch flows that finish: exactly once, with no server, and with a report that
//! proves that nothing was lost.
//!
//! This crate is what users add and install: the library below, and the command `anabranch`.
//!
//! | part | is |
//! |---|---|
//! | [`flow`] | flows, their patterns and the check |
//! | [`run`] | how a flow is carried out, and its report |
//! | [`engine`] | the narrow waist between a flow and the place where its streams live |
//! | [`Embedded`] | the engine with no server: a durable log in a directory |
//! | [`Kafka`] | a Kafka cluster; [`Config`] says how its brokers are spoken to |
//! | [`Local`] | files, processes and standard input and output |

#[deny(clippy::print_stdout, clippy::print_stderr)] // they panic where nothing can be written
pub mod cli;

pub use anabranch_connect::Local;
pub use anabranch_engine as engine;
pub use anabranch_engine_embedded::Embedded;
pub use anabranch_engine_kafka::{Config, Kafka};
pub use anabranch_flow as flow;
pub use anabranch_run as run;
