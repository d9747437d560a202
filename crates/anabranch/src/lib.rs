//! Batch flows that finish: exactly once, with no server, and with a report that
//! proves that nothing was lost.
//!
//! A flow is a file, or made in Rust; it runs in a folder, and ends:
//!
//! ```
//! use anabranch::RunFlow;
//! use anabranch::flow::build::{FlowBuilder, filter, reduce, stream};
//! use serde::Deserialize;
//!
//! #[derive(Deserialize)]
//! struct Sale { amount: f64 }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! std::fs::write(folder.join("sales.jsonl"), "{\"product\":\"tea\",\"amount\":20}\n{\"product\":\"tea\",\"amount\":9}\n")?;
//! let report = FlowBuilder::new("sales")
//!     .stream("sales", stream().source("sales.jsonl"))
//!     .stream("per-product", stream().sink("per-product.jsonl"))
//!     .step("big", filter("sales", |sale: Sale| sale.amount >= 10.0))
//!     .step("per-product", reduce("big").by("item.product").value([("sales", "count()")]))
//!     .build()?
//!     .run_in(folder)?;
//! println!("{report}");
//! assert!(report.balanced);
//! assert_eq!(std::fs::read_to_string(folder.join("per-product.jsonl"))?, "{\"product\":\"tea\",\"sales\":1}\n");
//! # Ok(())
//! # }
//! ```
//!
//! For a file that is [`run`]`("flow.yaml")`. More hands on it, another engine, progress, a stop: [`run::run`].
//!
//! | part | is |
//! |---|---|
//! | [`flow`] | flows, their patterns and the check |
//! | [`mod@run`] | how a flow is carried out, and its report |
//! | [`engine`] | the narrow waist between a flow and the place where its streams live |
//! | [`Embedded`] | the engine with no server: a durable log in a directory |
//! | `Kafka` | a Kafka cluster; `Config` says how its brokers are spoken to (feature `kafka`) |
//! | [`Local`] | files, processes and standard input and output |
//! | [`testing`] | tests of a flow, on a log in memory |
//!
//! | feature | is |
//! |---|---|
//! | `cli` (default) | the command `anabranch`, with `kafka` in it |
//! | `kafka` (default) | the engine on Kafka. Without both, neither the protocol nor TLS nor a parser of arguments is compiled |

#[cfg(feature = "cli")]
#[deny(clippy::print_stdout, clippy::print_stderr)] // they panic where nothing can be written
pub mod cli;
pub mod testing;
mod whole;

pub use anabranch_connect::Local;
pub use anabranch_engine as engine;
pub use anabranch_engine_embedded::Embedded;
#[cfg(feature = "kafka")]
pub use anabranch_engine_kafka::{Config, Kafka};
pub use anabranch_flow as flow;
pub use anabranch_run as run;
pub use whole::{Failure, RunFlow, run};
