//! A Rust function of the user as an action.

use crate::queue::Hands;
use anabranch_flow::model::{Act, ActionFn};
use anabranch_run::world::{CallLog, Failure, Replies};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Threads that call the function. They end when this is dropped and the calls under way have returned.
pub fn start(act: &Act, code: &ActionFn, replies: &Replies) -> Hands {
    let code = code.clone();
    let call = move |_, job: &_, _: &mut CallLog| {
        let call = AssertUnwindSafe(|| (code.0)(job));
        let outcome = catch_unwind(call).unwrap_or_else(|_| Err("the function panicked".into()));
        outcome.map(|value| Some(value.to_string().into())).map_err(Failure::for_good)
    };
    Hands::new(act.concurrency, replies, Arc::new(call))
}
