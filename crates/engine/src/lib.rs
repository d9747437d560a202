//! The narrow waist of Anabranch: what a flow needs from the place where its
//! streams live, and nothing else.
//!
//! Two engines implement [`Engine`]: the embedded log and Apache Kafka. This
//! crate knows neither, and it knows no pattern: only items, batches of items
//! (Kafka RecordBatch v2), accounts, and the commit that carries them together.
//!
//! | module | holds |
//! |---|---|
//! | [`batch`] | the record batch: encode, walk without objects, select rows |
//! | [`account`] | the state of a lane in a run, and the run record |
//! | [`engine`] | the traits [`Engine`], [`Lane`], [`Crew`] |
//! | [`admin`] | the traits [`Desk`] (for runs) and [`Admin`] (for people's tools) |
//! | [`types`] | what passes through them |
//! | [`limits`] | every bound |
//! | [`partition`] | which partition an item goes to |
//! | [`share`] | which process has which lanes |

pub mod account;
pub mod admin;
pub mod batch;
pub mod engine;
pub mod error;
pub mod item;
pub mod limits;
pub mod name;
pub mod partition;
mod reading;
pub mod share;
mod threaded_lane;
pub mod types;

pub use account::{
    Account, Again, End, Extent, Held, Next, OpenedGate, Phase, Placed, RepairRecord, RunKind, RunRecord, Tally,
};
pub use admin::{Admin, Desk};
pub use batch::{Batch, Builder, Codec, Packer, Record, Rows};
pub use engine::{Crew, Engine, Lane, LaneLost};
pub use error::{Error, Kind, Result};
pub use item::Item;
pub use name::{FlowId, OWN_NAMES, StreamName};
pub use reading::{chunks, items};
pub use threaded_lane::ThreadedLane;
pub use types::{
    At, BatchRef, Chunk, Commit, Cursor, Dest, Group, Handle, KeptReport, LaneNo, Limit, Load, Offset, Pace, Partition,
    Put, Shape, StreamInfo, StreamSpec, Worker,
};
