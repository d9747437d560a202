//! One call of an action.

use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// One call of an action.
#[derive(Debug, Clone, Default)]
pub struct Call {
    /// Names the call in its reply.
    pub slot: u64,
    /// The idempotency key: equal over attempts, restarts and retries.
    pub id: String,
    /// Attempt, from 1.
    pub attempt: u32,
    /// The item's key.
    pub key: Option<Bytes>,
    /// The item's value.
    pub value: Bytes,
    /// What is called, and how.
    pub request: Request,
    /// Whether it is still wanted: asked once before the call is made.
    pub ticket: Ticket,
}

/// What is called, and how.
#[derive(Debug, Clone, Default)]
pub enum Request {
    /// A program that is started for the item.
    Exec {
        /// The program and its arguments, filled in.
        args: Vec<String>,
        /// Variables, filled in.
        env: Vec<(String, String)>,
    },
    /// A program that is there already: it gets a line.
    #[default]
    Pipe,
    /// A Rust function.
    Code {
        /// The item's headers.
        headers: Vec<(String, Option<Bytes>)>,
    },
}

impl Request {
    /// Bytes that it takes beside the item.
    pub fn bytes(&self) -> usize {
        match self {
            Request::Exec { args, env } => {
                args.iter().map(String::len).sum::<usize>() + env.iter().map(|(_, v)| v.len()).sum::<usize>()
            }
            Request::Pipe => 0,
            Request::Code { headers } => headers.iter().map(|(n, v)| n.len() + v.as_ref().map_or(0, Bytes::len)).sum(),
        }
    }
}

/// What a Rust function of the user gives: the value that goes on, or why it failed.
pub type ActionResult = Result<serde_json::Value, String>;

/// A Rust function that works on an item.
#[derive(Clone)]
pub struct ActionFn(pub Arc<dyn Fn(&Call) -> ActionResult + Send + Sync>);

impl std::fmt::Debug for ActionFn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a Rust function")
    }
}

/// What a Rust function is told of the call that it is.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'c> {
    /// The idempotency key: equal over attempts, restarts and retries.
    pub id: &'c str,
    /// Which attempt it is, from 1.
    pub attempt: u32,
    /// The key of the item.
    pub key: Option<&'c [u8]>,
    headers: &'c [(String, Option<Bytes>)],
}

impl<'c> Attempt<'c> {
    /// The attempt that a call is.
    pub fn of(call: &'c Call) -> Attempt<'c> {
        let headers = if let Request::Code { headers } = &call.request { headers.as_slice() } else { &[] };
        Attempt { id: &call.id, attempt: call.attempt, key: call.key.as_deref(), headers }
    }

    /// The header of that name.
    pub fn header(&self, name: &str) -> Option<&'c [u8]> {
        self.headers.iter().find(|(n, _)| n == name).and_then(|(_, value)| value.as_deref())
    }
}

/// A call that waits is either begun or withdrawn, never both.
#[derive(Debug, Clone, Default)]
pub struct Ticket(Arc<AtomicU8>);

const BEGUN: u8 = 1;

const WITHDRAWN: u8 = 2;

impl Ticket {
    /// Begins the call; false if it was withdrawn. Another attempt begins it again.
    pub fn begin(&self) -> bool {
        let was = self.0.compare_exchange(0, BEGUN, Ordering::AcqRel, Ordering::Acquire);
        was.is_ok() || was == Err(BEGUN)
    }

    /// Withdraws the call; false if it was begun.
    pub fn withdraw(&self) -> bool {
        self.0.compare_exchange(0, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}
