//! Waiting for what is committed and not seen yet.

use crate::context::RunContext;
use crate::world::World;
use anabranch_engine::{Desk, Result};
use std::time::Duration;

/// How long, and how often it is looked.
pub struct Patience<'p> {
    world: &'p World,
    engine: &'p dyn Desk,
    most: Duration,
    every: Duration,
}

impl<'p> Patience<'p> {
    /// Patience for `most`, with a look every so often.
    pub fn new(world: &'p World, engine: &'p dyn Desk, most: Duration, every: Duration) -> Patience<'p> {
        Patience { world, engine, most, every }
    }

    /// The same in a run.
    pub fn of(context: &'p RunContext, most: Duration, every: Duration) -> Patience<'p> {
        Patience::new(&context.world, &*context.engine, most, every)
    }

    /// Looks until it is seen, or until the time is over: what the last look gave, and whether it was seen. The last look begins
    /// behind the end of the time, so that a process that stood still has looked, too.
    pub fn look<T>(&self, mut look: impl FnMut() -> Result<(T, bool)>) -> Result<(T, bool)> {
        let until = self.world.clock.moment() + self.most;
        loop {
            let over = self.engine.counts_by_offset() || self.world.clock.moment() > until;
            let (found, is_seen) = look()?;
            if is_seen || over {
                return Ok((found, is_seen));
            }
            self.engine.wait(self.every);
        }
    }
}
