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
//! | [`waist`] | the traits [`Engine`], [`Lane`], [`Crew`], [`Admin`] |
//! | [`limits`] | every bound |
//! | [`partition`] | which partition an item goes to |

pub mod account;
pub mod batch;
pub mod error;
mod held;
pub mod item;
pub mod limits;
pub mod name;
pub mod partition;
pub mod waist;

pub use account::{Account, Again, End, Extent, Held, Mending, Next, Phase, Placed, RunKind, RunRecord, Tally};
pub use batch::{Batch, Builder, Codec, Packer, Record, Rows};
pub use error::{Error, Kind, Result};
pub use held::HeldLane;
pub use item::Item;
pub use name::{FlowId, OWN_NAMES, StreamName};
pub use waist::{
    Admin, At, BatchRef, Chunk, Commit, Crew, Cursor, Dest, Engine, Group, Handle, Lane, LaneLost, LaneNo, Limit, Load,
    Offset, Pace, Partition, Put, Shape, StreamInfo, StreamSpec, Worker, chunks, items,
};
