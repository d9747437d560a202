//! Whose turn it is, and what time it is. Each process of a trial has a thread, and exactly one of them goes on; the others
//! wait for their turn. It passes where a process calls its engine or has nothing to do, and who is next a seed decides. Time
//! moves a little at each call, and to the next moment at which somebody has something to do when nobody has now.

use crate::faults::Faults;
use crate::rng::Rng;
use anabranch_engine::{Error, Result};
use anabranch_run::world::Moment;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The clock of people begins here, in milliseconds since 1970: 2026-01-01.
const BEGAN: i64 = 1_767_225_600_000;

/// A process that stands still does so for this long, and up to as much longer again.
const STALL: Duration = Duration::from_secs(15);

/// Time moves by up to so much at a call.
const CALL: u64 = 200;

/// Decides whose turn it is.
pub struct Scheduler {
    state: Mutex<State>,
    turn: Condvar,
}

struct State {
    dice: Rng,
    faults: Faults,
    now: Moment,
    processes: Vec<Waits>,
    holder: Option<usize>,
    calls: u64,
    most: u64,
    trace: Trace,
    broken: Vec<String>,
}

/// What a process waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    ForTurn,
    Until(Moment),
    Gone,
}

impl Scheduler {
    /// What this seed makes of it. After `most` calls every one fails: a run that has no end is found that way.
    pub fn new(seed: u64, faults: Faults, most: u64) -> Arc<Scheduler> {
        let (dice, now, processes, broken) = (Rng::new(seed), Moment::ZERO, vec![], vec![]);
        let state = State { dice, faults, now, processes, holder: None, calls: 0, most, trace: Trace::new(), broken };
        Arc::new(Scheduler { state: Mutex::new(state), turn: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new process. It waits for its turn once it begins.
    pub fn process(self: &Arc<Scheduler>) -> Process {
        let mut state = self.state();
        state.processes.push(Waits::ForTurn);
        let no = state.processes.len() - 1;
        drop(state);
        Process { scheduler: self.clone(), no, dead: Arc::default(), alarm: None }
    }

    /// Lets the processes go on that have begun, until all have ended.
    pub fn start(&self) {
        let mut state = self.state();
        state.pass();
        self.turn.notify_all();
    }

    /// Sets what goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// A number that tells this course of things from every other one.
    pub fn trace(&self) -> u64 {
        self.state().trace.hash
    }

    /// Writes down each call from now on.
    pub fn write_down(&self) {
        self.state().trace.lines = Some(vec![]);
    }

    /// What was written down.
    pub fn written(&self) -> Vec<String> {
        self.state().trace.lines.take().unwrap_or_default()
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Rules of the waist that were broken.
    pub fn broken(&self) -> Vec<String> {
        self.state().broken.clone()
    }
}

impl State {
    /// Gives the turn to somebody who has something to do, as soon as there is one.
    fn pass(&mut self) {
        loop {
            let now = self.now;
            let is_ready = |w: &Waits| match w {
                Waits::ForTurn => true,
                Waits::Until(due) => *due <= now,
                Waits::Gone => false,
            };
            let ready: Vec<usize> = (0..self.processes.len()).filter(|p| is_ready(&self.processes[*p])).collect();
            if !ready.is_empty() {
                let next = ready[if ready.len() == 1 { 0 } else { self.dice.below(ready.len() as u64) as usize }];
                self.processes[next] = Waits::ForTurn;
                self.holder = Some(next);
                return;
            }
            let due = self.processes.iter().filter_map(|w| if let Waits::Until(due) = w { Some(*due) } else { None });
            match due.min() {
                Some(due) => self.now = due,
                None => {
                    self.holder = None;
                    return;
                }
            }
        }
    }

    fn odds(&mut self, thousandths: u64) -> bool {
        thousandths > 0 && self.dice.below(1000) < thousandths
    }
}

/// A process of a trial, from its start to its end.
#[derive(Clone)]
pub struct Process {
    scheduler: Arc<Scheduler>,
    no: usize,
    dead: Arc<AtomicBool>,
    /// Set once it is later than that.
    alarm: Option<(Moment, Arc<AtomicBool>)>,
}

impl Process {
    /// Waits for the first turn.
    pub fn begin(&self) {
        drop(self.wait_for_turn(self.scheduler.state()));
    }

    /// Takes the turn at once: for a process that is alone.
    pub fn begin_alone(&self) {
        self.scheduler.state().holder = Some(self.no);
    }

    /// Ends, and passes the turn on.
    pub fn end(&self) {
        let mut state = self.scheduler.state();
        state.processes[self.no] = Waits::Gone;
        state.pass();
        self.scheduler.turn.notify_all();
    }

    /// The process that is started after this one has died.
    pub fn again(&self) -> Process {
        Process { dead: Arc::default(), alarm: None, ..self.clone() }
    }

    /// The same process, that sets a flag once so much time has passed.
    pub fn with_alarm(&self, after: Duration, flag: Arc<AtomicBool>) -> Process {
        Process { alarm: Some((self.now() + after, flag)), ..self.clone() }
    }

    /// It is killed: each call fails from now on.
    pub fn kill(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    /// Whether it was killed.
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    fn wait_for_turn<'s>(&'s self, mut state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        while state.holder != Some(self.no) {
            state = self.scheduler.turn.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }

    /// A call: time moves, and anything may come before it.
    ///
    /// # Errors
    ///
    /// The process is dead, or there were too many calls.
    pub fn call(&self, what: fmt::Arguments<'_>) -> Result<()> {
        let mut state = self.scheduler.state();
        state.calls += 1;
        let (now, no) = (state.now, self.no);
        state.trace.note(format_args!("{} {no} {what}", now.as_micros()));
        if state.calls > state.most {
            return Err(Error::machine("the trial has no end"));
        }
        let faults = state.faults;
        if state.odds(faults.die) {
            state.trace.note(format_args!("{no} dies"));
            self.kill();
        }
        if self.is_dead() {
            return Err(Error::machine("the process was killed"));
        }
        if let Some((_, flag)) = self.alarm.as_ref().filter(|(at, _)| *at <= now) {
            flag.store(true, Ordering::Relaxed);
        }
        let more = state.dice.below(CALL);
        state.now += Duration::from_micros(more);
        if state.odds(faults.stall) {
            let until = state.now + STALL + Duration::from_millis(state.dice.below(STALL.as_millis() as u64));
            state.trace.note(format_args!("{no} stalls"));
            state.processes[no] = Waits::Until(until);
        }
        if state.processes[no] != Waits::ForTurn || (state.processes.len() > 1 && state.odds(faults.switch)) {
            self.pass(state);
        }
        Ok(())
    }

    fn pass<'s>(&'s self, mut state: MutexGuard<'s, State>) {
        state.pass();
        if state.holder != Some(self.no) {
            self.scheduler.turn.notify_all();
            drop(self.wait_for_turn(state));
        }
    }

    /// Has nothing to do for so long.
    pub fn sleep(&self, longest: Duration) {
        let mut state = self.scheduler.state();
        state.calls += 1; // who does nothing but sleep has no end, too
        let until = state.now + longest.max(Duration::from_micros(1));
        state.processes[self.no] = Waits::Until(until);
        self.pass(state);
    }

    /// A time that only goes on.
    pub fn now(&self) -> Moment {
        self.scheduler.state().now
    }

    /// What people's clocks show, in milliseconds since 1970.
    pub fn clock(&self) -> i64 {
        BEGAN + self.now().as_millis() as i64
    }

    /// A number below `n`.
    pub fn below(&self, n: u64) -> u64 {
        self.scheduler.state().dice.below(n)
    }

    /// Whether a fault comes now.
    pub fn comes(&self, odds: impl Fn(&Faults) -> u64) -> bool {
        let mut state = self.scheduler.state();
        let odds = odds(&state.faults);
        state.odds(odds)
    }

    /// How much later what is committed now is seen.
    pub fn late(&self) -> Duration {
        let mut state = self.scheduler.state();
        let most = state.faults.late.as_micros() as u64;
        Duration::from_micros(if most == 0 { 0 } else { state.dice.below(most) })
    }

    /// Notes something that decides what happens.
    pub fn note(&self, what: fmt::Arguments<'_>) {
        self.scheduler.state().trace.note(what);
    }

    /// A rule of the waist was broken.
    pub fn broke(&self, what: String) {
        self.scheduler.state().broken.push(what);
    }
}

/// The course of things as a number, and as text where somebody wants to read it.
struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    fn new() -> Trace {
        Trace { hash: 0xcbf2_9ce4_8422_2325, lines: None }
    }

    fn note(&mut self, what: fmt::Arguments<'_>) {
        if let Some(lines) = &mut self.lines {
            lines.push(what.to_string());
        }
        let _ = self.write_fmt(what); // writing to a number does not fail
        self.hash = self.hash.rotate_left(5);
    }
}

/// FNV-1a, 64 bits.
impl Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}
