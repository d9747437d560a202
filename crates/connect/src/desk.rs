//! What the talks with programs have in common: replies that are kept a moment, waiting, starting and ending a program.

use crate::bell::Bell;
use crate::children::{Fixed, command, ended, not_started, with};
use crate::notes::Keeper;
use crate::queue::Queue;
use crate::talk::{GRACE, Talk, Turn};
use anabranch_engine::{Error, Kind};
use anabranch_flow::model::Answers;
use anabranch_run::world::{Failure, Outcome, Replies, Reply};
use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a program may take to end when its input has.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long a reply is kept, so that those of quick programs wake the run together.
const KEEP: Duration = Duration::from_millis(1);

/// What all seats of a step have in common.
#[derive(Clone)]
pub struct Office {
    /// The folder of the flow.
    pub folder: PathBuf,
    /// Notes the processes.
    pub keeper: Arc<Keeper>,
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Its variables.
    pub env: Vec<(String, String)>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How answers find their items.
    pub answers: Answers,
    /// What is made is text.
    pub text: bool,
}

/// What a thread of a seat has.
pub struct Desk {
    /// What it has in common with the others.
    pub office: Office,
    /// Its calls.
    pub queue: Arc<Queue>,
    /// Rung when everything is to end at once, and by the queue.
    pub bell: Arc<Bell>,
    replies: Replies,
    kept: RefCell<Vec<Reply>>,
    /// When those that are kept go.
    due: Cell<Option<Instant>>,
}

impl Desk {
    /// A desk with nothing on it.
    pub fn new(office: Office, queue: Arc<Queue>, bell: Arc<Bell>, replies: Replies) -> Desk {
        Desk { office, queue, bell, replies, kept: RefCell::default(), due: Cell::default() }
    }

    /// Answers a call.
    pub fn reply(&self, slot: u64, outcome: Outcome) {
        let mut kept = self.kept.borrow_mut();
        kept.push(Reply { slot, outcome, log: None });
        if kept.len() == 1 {
            self.due.set(Instant::now().checked_add(KEEP));
        }
    }

    /// Sends the replies that are kept.
    pub fn flush(&self) {
        self.due.set(None);
        let kept = self.kept.take();
        if !kept.is_empty() {
            self.replies.send(kept);
        }
    }

    /// A turn with the program, which ends sooner if replies are due.
    pub fn turn(&self, child: &mut Talk, write: bool, until: Option<Instant>) -> Result<Turn, Failure> {
        if self.due.get().is_some_and(|due| Instant::now() >= due) {
            self.flush();
        }
        let soon = until.into_iter().chain(self.due.get()).min();
        child.turn(write, soon, &self.bell).map_err(|e| format!("cannot wait for the program: {e}").into())
    }

    /// Starts the program.
    pub fn begin(&self) -> Result<Talk, Failure> {
        let office = &self.office;
        let command = command(&office.folder, &office.args, &office.env, &office.keeper);
        let mut command = command.ok_or("no program is named")?;
        let talk = Talk::start(&mut command, &office.keeper);
        talk.map_err(|e| {
            let fixed = Fixed { program: true, arguments: true };
            not_started(&office.args[0], &office.folder, fixed, &e)
        })
    }

    /// When an answer to something that is sent now is late; never, if that is too far.
    pub fn late(&self) -> Option<Instant> {
        Instant::now().checked_add(self.office.timeout)
    }

    /// Why there is no answer in time.
    pub fn silence(&self) -> String {
        format!("no answer within {:?}; does it flush each line? jq needs --unbuffered", self.office.timeout)
    }

    /// What became of a program that will say nothing more.
    pub fn autopsy(&self, mut child: Talk) -> String {
        let until = Instant::now().checked_add(GRACE);
        while !child.exited() && until.is_some_and(|until| Instant::now() < until) {
            match child.turn(false, until, &self.bell) {
                Ok(turn) if !turn.rung => {}
                _ => break,
            }
        }
        let by_itself = child.exited();
        let (status, said) = child.end();
        let how = match status.map(|s| ended(s, "")) {
            _ if !by_itself => "the program closed its input or output on this item".into(),
            Ok(how) => match how.strip_prefix("exit ") {
                Some(code) => format!("the program exited (status {code}) on this item"),
                None => format!("the program was {how} on this item"),
            },
            Err(e) => format!("the program is gone: {e}"),
        };
        with(how, &said)
    }

    /// The input is over. Whatever the program still says belongs to no item: then it did not answer each line with one.
    pub fn farewell(&self, mut child: Talk) -> Result<(), Failure> {
        child.close();
        self.bell.hush();
        let until = Instant::now().checked_add(FAREWELL);
        while child.heard.is_empty() && !child.is_mute() && until.is_some_and(|until| Instant::now() < until) {
            child.turn(false, until, &self.bell).map_err(|e| format!("cannot wait for the program: {e}"))?;
        }
        if child.heard.is_empty() {
            return Ok(());
        }
        Err(Failure::Run(self.unasked(&child.heard)))
    }

    /// The error of a program that said more than it was asked, when it is too late to blame an item. The run cannot be
    /// gone on with.
    pub fn unasked(&self, heard: &[u8]) -> Error {
        let line = heard.split(|b| *b == b'\n').next().unwrap_or_default();
        let line: String = String::from_utf8_lossy(line).chars().take(80).collect();
        let rule = match self.office.answers {
            Answers::InOrder => {
                "so its answers may be those of other items. Each line is answered with one line; or each answer \
                 carries the id of its item (answers: by-id)"
            }
            Answers::ById => "no item with that id is with it: each item is answered once",
        };
        Error::new(Kind::Lost, format!("{} wrote an answer that nobody asked for, {rule}: {line}", self.office.args[0]))
    }
}

/// What `error` in an answer says; none if there is none.
pub fn error_of(error: Option<&serde_json::Value>) -> Option<String> {
    match error? {
        serde_json::Value::Null | serde_json::Value::Bool(false) => None,
        error => Some(error.as_str().map_or_else(|| error.to_string(), str::to_string)),
    }
}

/// An item as one line: in JSON, line breaks can only stand between values.
pub fn one_line(value: &[u8]) -> Result<Vec<u8>, String> {
    if memchr::memchr2(b'\n', b'\r', value).is_none() {
        return Ok(value.to_vec());
    }
    if serde_json::from_slice::<&serde_json::value::RawValue>(value).is_err() {
        return Err("a text with a line break cannot be a line of its own".into());
    }
    Ok(value.iter().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b }).collect())
}
