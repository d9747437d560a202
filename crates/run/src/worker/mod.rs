//! A process at work: the lanes that it holds, the readers in them, and what it knows of the run.

pub mod actions;
pub mod crew;
mod dispatch;
pub mod event;
pub mod finals;
pub mod folds;
pub mod lane;
pub mod mirror;
pub mod pair;
mod pending;
pub mod pool;
pub mod reader;
pub mod sinks;
mod stall;
pub mod stdin;
pub mod times;
mod trial;
pub mod turn;

use crate::context::RunContext;
use crate::ledger::facts::{Facts, Progress};
use crate::ledger::marks::Mark;
use crate::ledger::{Ledger, Standing};
use crate::piece::outcome::Outcome;
use crate::worker::folds::Folds;
use crate::worker::lane::{Advance, LaneAtWork};
use crate::worker::reader::{ReaderAtWork, ReaderNo};
use crate::worker::sinks::Sinks;
use crate::world::Moment;
use anabranch_engine::account::Reader;
use anabranch_engine::{Account, Error, Kind as ErrorKind, Lane, LaneNo, Result, RunRecord, limits};
use anabranch_flow::number::StepNo;
use anabranch_flow::plan::ReadFrom;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The lanes of a run that this process works.
pub struct Worker {
    pub(crate) context: Arc<RunContext>,
    pub(crate) lanes: BTreeMap<LaneNo, LaneAtWork>,
    /// The newest accounts of all lanes.
    pub(crate) ledger: Ledger,
    pub(crate) record: RunRecord,
    pub(crate) facts: Facts,
    pub(crate) readers: BTreeMap<ReaderNo, ReaderAtWork>,
    pub(crate) folds: Folds,
    pub(crate) sinks: Sinks,
    /// Threads that work on pieces.
    pub(crate) threads: usize,
    /// When something was committed last.
    pub(crate) committed: Option<Moment>,
    /// What this process knows beside the accounts.
    pub(crate) seen: Seen,
}

/// What a process knows beside the accounts.
#[derive(Debug, Default)]
pub struct Seen {
    /// Groups that could not be set.
    pub left_alone: mirror::LeftAlone,
    /// When each step began and ended.
    pub times: times::Times,
}

impl Worker {
    /// Takes up a run where its accounts say it is; with lane 0, if this process has the chair.
    pub fn new(
        context: Arc<RunContext>,
        ledger: Ledger,
        lane: Option<Box<dyn Lane>>,
        threads: usize,
    ) -> Result<Worker> {
        let record = ledger.record().cloned().ok_or_else(|| Error::bug("a run without a record"))?;
        let facts = ledger.standing(&context, &record).derive();
        let mut worker = Worker {
            context,
            lanes: BTreeMap::new(),
            ledger,
            record,
            facts,
            readers: BTreeMap::new(),
            folds: Folds::new(threads),
            sinks: Sinks::new(),
            threads,
            committed: None,
            seen: Seen::default(),
        };
        lane.map_or(Ok(()), |lane| worker.adopt(lane))?;
        Ok(worker)
    }

    /// How the run stands, as far as this process knows.
    pub fn standing(&self) -> Standing<'_> {
        self.ledger.standing(&self.context, &self.record)
    }

    /// Begins to work a lane.
    pub(crate) fn adopt(&mut self, lane: Box<dyn Lane>) -> Result<()> {
        let held = LaneAtWork::new(&self.context, lane)?;
        let lane = held.account().lane;
        self.ledger.learn(held.settled().clone());
        self.facts = self.standing().derive();
        self.lanes.insert(lane, held);
        self.readers.extend(self.readers_of(lane));
        Ok(())
    }

    /// Begins nothing new in a lane; false if that was so.
    pub(crate) fn leave(&mut self, lane: LaneNo) -> bool {
        self.lanes.get_mut(&lane).is_some_and(|held| !std::mem::replace(&mut held.leaving, true))
    }

    /// The lanes in which nothing new is begun.
    pub(crate) fn leaving(&self) -> impl Iterator<Item = LaneNo> {
        self.lanes.iter().filter(|(_, held)| held.leaving).map(|(lane, _)| *lane)
    }

    /// Lets a lane go in which nothing is under way.
    pub(crate) fn release(&mut self, lane: LaneNo) {
        self.lanes.remove(&lane);
        self.readers.retain(|_, r| r.lane != lane);
    }

    /// A reader for each partition of each root in a lane, under the number that it has in the whole flow. One that folds
    /// begins at the start of the run, to fold again what is committed.
    fn readers_of(&self, lane: LaneNo) -> BTreeMap<ReaderNo, ReaderAtWork> {
        let context = &self.context;
        let mut readers = BTreeMap::new();
        let mut no = 0;
        for (u, unit) in context.plan.numbered_units() {
            let said = |s: &StepNo| self.standing().mark(Mark::Done(&context.flow.steps[*s].name)) > 0;
            let replay = !unit.folds.is_empty() && !unit.folds.iter().all(said);
            for (r, root) in unit.roots.iter().enumerate().filter(|(_, r)| r.how != ReadFrom::Stdin) {
                for partition in 0..context.partitions[root.from] {
                    no += 1;
                    if context.lane_of(u, r, partition) != lane {
                        continue;
                    }
                    let key = context.reader(root, partition);
                    let next = self.standing().next(&key);
                    let sent = if replay { self.standing().start(&key) } else { next };
                    let queue = VecDeque::new();
                    let reader = ReaderAtWork { lane, unit: u, root: r, partition, sent, replay_to: next, queue };
                    readers.insert(ReaderNo(no), reader);
                }
            }
        }
        readers
    }

    /// A reader of a lane that is held.
    pub(crate) fn at(&self, no: ReaderNo) -> Result<&ReaderAtWork> {
        self.readers.get(&no).ok_or_else(|| gone(no))
    }

    /// A reader of a lane that is held, to hand out more of it.
    pub(crate) fn at_mut(&mut self, no: ReaderNo) -> Result<&mut ReaderAtWork> {
        self.readers.get_mut(&no).ok_or_else(|| gone(no))
    }

    /// What lies before `next` is handed out.
    pub(crate) fn sent(&mut self, no: ReaderNo, next: i64) {
        self.readers.entry(no).and_modify(|r| r.sent = next);
    }

    /// The lane of a reader, and its name in accounts.
    pub(crate) fn reader(&self, no: ReaderNo) -> Result<(LaneNo, Reader)> {
        let reader = self.at(no)?;
        let root = &self.context.plan.units[reader.unit].roots[reader.root];
        Ok((reader.lane, self.context.reader(root, reader.partition)))
    }

    /// Where a reader may read to now.
    pub(crate) fn readable(&self, reader: &ReaderAtWork) -> Option<i64> {
        let root = &self.context.plan.units[reader.unit].roots[reader.root];
        (self.facts.gates_before(root) == Some(true)).then(|| {
            let spot = self.context.spot(root.how, root.from, reader.partition);
            let end = self.standing().written(&spot);
            self.standing().stretch(&spot, reader.sent, end).1
        })
    }

    /// Whether something new may be begun in a reader's lane.
    pub(crate) fn takes_more(&self, reader: &ReaderAtWork) -> bool {
        self.lanes.get(&reader.lane).is_some_and(|held| !held.leaving)
    }

    /// Whether every unit is finished, as far as this process can tell that as the chair.
    pub(crate) fn is_finished(&self) -> bool {
        self.facts.units.iter().all(|u| *u != Progress::Working) && self.lanes.contains_key(&0)
    }

    /// Bytes that wait for commits.
    pub(crate) fn pending(&self) -> usize {
        self.lanes.values().map(LaneAtWork::bytes).sum()
    }

    /// Whether nothing waits for the next commit.
    pub(crate) fn has_nothing_pending(&self) -> bool {
        self.lanes.values().all(|held| held.since().is_none())
    }

    /// Whether everything that was done in a lane is committed.
    pub(crate) fn is_settled(&self, lane: LaneNo) -> bool {
        self.lanes.get(&lane).is_none_or(LaneAtWork::is_idle)
    }

    /// Takes what the folds of a piece gave out of what came of it.
    pub(crate) fn fold(&mut self, outcome: &mut Outcome) -> Result<()> {
        let mut folded = std::mem::take(&mut outcome.scratch).into_iter();
        folded.try_for_each(|(step, scratch)| self.folds.add(&self.context, step, scratch))
    }

    /// A reader got to `next`, and this came of it.
    pub(crate) fn advance(&mut self, no: ReaderNo, next: i64, items: u64, outcome: Outcome) -> Result<()> {
        let (lane, reader) = self.reader(no)?;
        self.take(lane, Advance::of(outcome).read(reader, next, items))
    }

    /// What a lane's next commit will say. Where it stops the run, what is finished elsewhere is committed before.
    pub(crate) fn take(&mut self, lane: LaneNo, advance: Advance) -> Result<()> {
        if advance.stops() {
            let lanes: Vec<LaneNo> = self.lanes.keys().copied().collect();
            lanes.into_iter().try_for_each(|lane| self.commit(lane))?;
        }
        self.held(lane)?.take(advance)
    }

    fn held(&mut self, lane: LaneNo) -> Result<&mut LaneAtWork> {
        let held = self.lanes.get_mut(&lane);
        held.ok_or_else(|| Error::bug(format!("something was done in lane {lane}, which is not held")))
    }

    /// Commits everything that is pending in a lane.
    pub(crate) fn commit(&mut self, lane: LaneNo) -> Result<()> {
        self.committed = Some(self.context.world.clock.moment());
        let held = self.lanes.get_mut(&lane);
        let held = held.ok_or_else(|| Error::bug(format!("a commit in lane {lane}, which is not held")))?;
        held.commit(&self.context, &mut self.sinks)?;
        while self.held(lane)?.unsettled >= limits::COMMITS_UNDER_WAY {
            self.settle(lane)?;
        }
        Ok(())
    }

    fn settle(&mut self, lane: LaneNo) -> Result<()> {
        let held = self.held(lane)?;
        held.settle()?;
        let account = held.settled().clone();
        self.ledger.learn(account);
        self.derive();
        Ok(())
    }

    /// What follows from the accounts, and when it was seen.
    fn derive(&mut self) {
        self.facts = self.standing().derive();
        let (standing, now) = (self.ledger.standing(&self.context, &self.record), self.context.world.clock.now());
        self.seen.times.see(standing, &self.facts, now);
    }

    /// Waits for a commit, if there is one.
    pub(crate) fn settle_one(&mut self) -> Result<bool> {
        let lane = self.lanes.iter().find(|(_, held)| held.unsettled > 0).map(|(lane, _)| *lane);
        lane.map_or(Ok(false), |lane| self.settle(lane).map(|()| true))
    }

    /// Takes what other processes committed.
    pub(crate) fn learn(&mut self, accounts: Vec<Account>) -> Result<()> {
        let mut news = false;
        for account in accounts {
            news |= match self.lanes.get(&account.lane) {
                Some(held) if held.is_behind(&account) => {
                    let text = format!("another process works lane {}", account.lane);
                    return Err(Error::new(ErrorKind::Doubt, text));
                }
                Some(_) => false,
                None => self.ledger.learn(account),
            }
        }
        if news {
            self.derive();
        }
        Ok(())
    }

    /// Writes the positions into consumer groups; what people should know of that.
    pub(crate) fn mirror(&mut self) -> Vec<String> {
        mirror::mirror(self.ledger.standing(&self.context, &self.record), &mut self.seen.left_alone)
    }
}

fn gone(no: ReaderNo) -> Error {
    Error::bug(format!("something was read through reader {}, which is not held", no.0))
}
