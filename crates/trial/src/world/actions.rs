//! Actions that are played: what is called answers as it was told to, in its own time.

use super::Turns;
use crate::scheduler::Process;
use anabranch_engine::Result;
use anabranch_flow::call::Call;
use anabranch_flow::model::Act;
use anabranch_run::world::{
    Actions, Begun, CallLog, Failure, Moment, Outcome, Replies, Reply, Seat, Session, Step, Threads,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a call gives, and after how long.
pub struct Mocked {
    /// What it gives.
    pub outcome: Outcome,
    /// How long it takes.
    pub after: Duration,
}

/// Plays an action.
pub type Mock = Arc<dyn Fn(&Call) -> Mocked + Send + Sync>;

/// What is played, by step.
#[derive(Default)]
pub struct Mocks(pub BTreeMap<String, Mock>);

impl Mocks {
    /// As one process calls them.
    pub fn of(self: &Arc<Mocks>, process: &Process, turns: &Arc<Turns>) -> Played {
        Played { mocks: self.clone(), process: process.clone(), turns: turns.clone() }
    }
}

/// The actions of a process.
pub struct Played {
    mocks: Arc<Mocks>,
    process: Process,
    turns: Arc<Turns>,
}

impl Actions for Played {
    fn program(&self, _: &str, _: bool) -> Option<String> {
        None
    }

    fn hash(&self, _: &str) -> Option<u64> {
        None
    }

    fn once(&self, _: &Call, _: Duration) -> Outcome {
        Ok(None) // nobody is told of a test
    }

    fn begin(&self, act: &Act, seat: Seat, replies: Replies) -> Result<Box<dyn Session>> {
        let calls = Arc::new(Mutex::new(Calls::default()));
        let desk = Desk {
            step: seat.step.clone(),
            mock: self.mocks.0.get(&seat.step).cloned(),
            most: act.concurrency,
            timeout: act.timeout,
            process: self.process.clone(),
            replies,
        };
        let of_desk = calls.clone();
        self.turns
            .begin(format!("calls of {}", seat.step), Box::new(move |_| desk.step(&of_desk)))
            .map(Begun::leave)?;
        Ok(Box::new(Playing(calls)))
    }
}

/// Calls that wait, and those that are made.
#[derive(Default)]
struct Calls {
    waiting: Vec<Call>,
    made: Vec<(Moment, u64, Outcome)>,
    over: bool,
}

struct Playing(Arc<Mutex<Calls>>);

impl Session for Playing {
    fn start(&mut self, job: Call) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = calls.waiting.iter().take_while(|waits| waits.attempt > 1 || job.attempt == 1).count();
        calls.waiting.insert(at, job);
    }
}

impl Drop for Playing {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).over = true;
    }
}

/// Makes the calls of a step.
struct Desk {
    step: String,
    mock: Option<Mock>,
    most: usize,
    timeout: Duration,
    process: Process,
    replies: Replies,
}

impl Desk {
    fn step(&self, calls: &Mutex<Calls>) -> Step {
        let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.over {
            return Step::Over;
        }
        let now = self.process.now();
        while calls.made.len() < self.most && !calls.waiting.is_empty() {
            let call = calls.waiting.remove(0);
            if call.ticket.begin() {
                let (outcome, after) = self.call(&call);
                calls.made.push((now + after, call.slot, outcome));
            }
        }
        let due: Vec<usize> = (0..calls.made.len()).filter(|i| calls.made[*i].0 <= now).collect();
        if due.is_empty() {
            return Step::Nothing;
        }
        let pick = if due.len() > 1 { self.process.below(due.len() as u64) as usize } else { 0 };
        let (_, slot, outcome) = calls.made.remove(due[pick]);
        let log = Some(CallLog { status: outcome.is_err().then(|| "exit 1".into()), ..CallLog::default() });
        drop(calls);
        if self.replies.send(vec![Reply { slot, outcome, log }]) { Step::Done } else { Step::Over }
    }

    fn call(&self, call: &Call) -> (Outcome, Duration) {
        let Some(mock) = &self.mock else {
            let text = format!("the action of {} is not played: nothing is called in a test", self.step);
            return (Err(Failure::for_good(text)), Duration::ZERO);
        };
        let Mocked { outcome, after } = mock(call);
        if after > self.timeout {
            return (Err(format!("no answer within {:?}", self.timeout).into()), self.timeout);
        }
        (outcome, after)
    }
}
