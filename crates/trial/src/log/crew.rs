//! Those who work a flow on a log in memory. Who is silent for long has left.

use super::MemoryLog;
use anabranch_engine::share::share;
use anabranch_engine::{Crew, FlowId, LaneNo, Result};
use anabranch_run::world::Moment;
use std::collections::BTreeMap;
use std::time::Duration;

/// Who is not heard of for so long has left.
const SILENCE: Duration = Duration::from_secs(10);

/// A process is told no more often what it is to hold.
const EVERY: Duration = Duration::from_millis(200);

/// Those who work a flow.
#[derive(Default)]
pub struct Members {
    pub lanes: u32,
    pub all: BTreeMap<u64, Heard>,
    joined: u64,
}

/// What was last heard of a member.
pub struct Heard {
    at: Moment,
    pub holds: Vec<LaneNo>,
}

/// One of them.
pub struct Member {
    log: MemoryLog,
    flow: FlowId,
    no: u64,
    lanes: u32,
    last: Option<(Moment, Vec<LaneNo>)>,
}

impl Member {
    /// Joins. The first one decides how many lanes there are.
    pub fn join(log: &MemoryLog, flow: &FlowId, want: u32) -> Member {
        let mut store = log.store();
        let members = store.crews.entry(flow.clone()).or_default();
        if members.lanes == 0 {
            members.lanes = want;
        }
        members.joined += 1;
        let (no, lanes) = (members.joined, members.lanes);
        members.all.insert(no, Heard { at: log.process.now(), holds: vec![] });
        drop(store);
        Member { log: log.clone(), flow: flow.clone(), no, lanes, last: None }
    }
}

impl Crew for Member {
    fn lanes(&self) -> u32 {
        self.lanes
    }

    fn mine(&mut self, holding: &[LaneNo]) -> Result<Vec<LaneNo>> {
        self.log.process.call(format_args!("mine {holding:?}"))?;
        let now = self.log.process.now();
        if let Some((at, said)) = &self.last
            && (now < *at + EVERY || self.log.process.comes(|f| f.stale))
        {
            let heard = Heard { at: now, holds: holding.to_vec() };
            self.log.store().crews.entry(self.flow.clone()).or_default().all.insert(self.no, heard);
            return Ok(said.clone());
        }
        let mut store = self.log.store();
        let members = &mut store.crews.entry(self.flow.clone()).or_default().all;
        members.insert(self.no, Heard { at: now, holds: holding.to_vec() });
        members.retain(|_, heard| heard.at + SILENCE > now);
        let known: Vec<(String, Vec<LaneNo>)> =
            members.iter().map(|(no, heard)| (format!("{no:06}"), heard.holds.clone())).collect();
        drop(store);
        let mine = share(self.lanes, &known).remove(&format!("{:06}", self.no)).unwrap_or_default();
        self.log.process.note(format_args!("{} is to hold {mine:?}", self.no));
        self.last = Some((now, mine.clone()));
        Ok(mine)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // one that is killed says nothing
        if !self.log.process.is_dead() {
            self.log.store().crews.entry(self.flow.clone()).or_default().all.remove(&self.no);
        }
    }
}
