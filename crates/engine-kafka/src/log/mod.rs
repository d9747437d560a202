//! The log on Kafka: transactions that are commits, batches that are read still packed, accounts, and notes.

pub mod ahead;
pub mod fetch;
pub mod lane;
pub mod ledger;
pub mod notes;
pub mod pack;
pub mod produce;
pub mod stamp;
pub mod transaction;
