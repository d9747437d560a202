//! What a plan foretells is what the run then does.

use super::Trial;
use anabranch_engine::{Cursor, Engine};
use anabranch_run::{Forecast, How, Report, What, forecast};
use anabranch_trial::log::MemoryLog;
use anabranch_trial::scheduler::Process;
use anabranch_trial::world::Around;
use std::sync::Arc;
use std::time::Duration;

impl Trial<'_> {
    /// What the next run is foretold to do.
    pub(super) fn foretell(&self, main: &Process, log: &MemoryLog) -> Result<Forecast, String> {
        let around = Around::of(main, &self.files, &self.mocks);
        let told =
            forecast(self.flow.clone(), Arc::new(log.clone()), around.world.clone()).map_err(|e| e.to_string())?;
        if told.what != What::New || told.refused.is_some() {
            return Err(format!("a new run should be foretold: {told:?}"));
        }
        for sink in &told.sinks {
            let path = sink.path.clone().unwrap_or_default();
            if (sink.how == How::Made) == self.files.seen_by(main).found(&path).is_some() {
                return Err(format!("{path} is foretold to be {:?}", sink.how));
            }
        }
        Ok(told)
    }

    /// What was foretold beside what the run did.
    pub(super) fn came_true(&self, told: &Forecast, log: &MemoryLog, report: &Report) -> Result<(), String> {
        if told.run != report.run {
            return Err(format!("run {} was foretold, and run {} came", told.run, report.run));
        }
        let accounts = log.accounts(&self.flow.name, &mut Cursor::default(), Duration::ZERO);
        let accounts = accounts.map_err(|e| e.to_string())?;
        let chair = accounts.iter().find(|a| a.lane == 0).ok_or("there is no account")?;
        for reads in &told.sources {
            let items = reads.items.ok_or_else(|| format!("not counted: {reads:?}"))?;
            let step = reads.step.clone().unwrap_or_else(|| format!("source:{}", reads.stream));
            let of = self.flow.streams.iter().find(|s| s.name == reads.stream).ok_or("no such stream")?;
            let read = chair.read.iter().filter(|(r, _)| r.step == step && (reads.from != "log" || r.stream == of.at));
            let n: u64 = read.map(|(_, next)| next.items).sum();
            let all = told.sources.iter().filter(|r| (&r.stream, &r.step) == (&reads.stream, &reads.step));
            let foretold: u64 = all.filter_map(|r| r.items).sum();
            if n > foretold || (reads.exact && n != foretold) {
                return Err(format!("{step} was foretold to read {items} items of {}, and read {n}", reads.stream));
            }
        }
        for calls in &told.calls {
            let taken = report.steps.iter().find(|s| s.step == calls.step).map_or(0, |s| s.taken);
            if calls.items.is_some_and(|most| taken > most) {
                return Err(format!("{calls:?} was foretold, and {taken} items came"));
            }
        }
        Ok(())
    }
}
