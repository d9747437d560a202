//! Random flows on a log in memory, in an order that a seed decides: one to four processes that come, stall, die and come
//! back, commits in doubt, news that is late, three batches; checked against the naive model after each of them.

mod asked;
mod compared;
mod course;
pub mod drawn;
mod setup;
mod shrink;

pub use asked::Asked;
pub use compared::Compared;
pub use course::Course;
pub use setup::Setup;
pub use shrink::shrink;
