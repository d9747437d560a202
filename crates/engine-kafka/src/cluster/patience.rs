//! Waiting for trouble with brokers to pass.

use crate::cluster::Cluster;
use crate::net::trouble::Trouble;
use anabranch_engine::{Error, Kind};
use std::time::{Duration, Instant};

/// How long trouble that passes is waited for. It is less where most probably nothing will change.
fn longest(e: &Error) -> Duration {
    Duration::from_secs(if e.kind == Kind::Usage { 30 } else { 120 })
}

/// Trouble that lasts for so long is told.
const TELL_AFTER: Duration = Duration::from_secs(5);

/// How long trouble is waited for.
pub struct Patience {
    since: Instant,
    pause: Duration,
}

impl Patience {
    /// None so far; pauses begin with this one.
    pub fn new(pause: Duration) -> Patience {
        Patience { since: Instant::now(), pause }
    }

    /// Waits a little, before it is tried again; pauses grow up to `longest`.
    pub fn pause(&mut self, longest: Duration) {
        std::thread::park_timeout(self.pause);
        self.pause = (self.pause * 2).min(longest);
    }

    /// Whether it has lasted too long.
    pub fn is_over(&self, e: &Error) -> bool {
        self.since.elapsed() >= longest(e)
    }

    /// Whether it is time to tell of it.
    pub fn is_long(&self) -> bool {
        self.since.elapsed() >= TELL_AFTER
    }
}

impl Cluster {
    /// Tries until it goes well, the trouble is one that stays, or it lasts too long.
    pub fn patiently<T>(&self, mut attempt: impl FnMut() -> Result<T, Trouble>) -> Result<T, Error> {
        let mut patience = Patience::new(Duration::from_millis(5));
        loop {
            match attempt() {
                Ok(done) => return Ok(done),
                Err(Trouble::Fatal(e)) => return Err(e),
                Err(Trouble::Again(e)) if patience.is_over(&e) => return Err(e),
                Err(Trouble::Again(e)) => {
                    self.told(&patience, &e);
                    patience.pause(Duration::from_millis(250));
                }
            }
        }
    }

    /// Tells of trouble that lasts; many may meet the same one.
    pub fn told(&self, patience: &Patience, e: &Error) {
        if patience.is_long() {
            self.tell(&format!("{}; retrying", e.text));
        }
    }
}
