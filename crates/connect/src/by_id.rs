//! A program whose answers carry the ids of their items: `{"id": …, "item": …}` in, `{"id": …, "result": …}` or
//! `{"id": …, "error": text}` out, in any order. So many lines may be with it at once, and still no answer can come to
//! the wrong item.

use crate::desk::{Desk, error_of, one_line};
use crate::talk::{GRACE, Talk};
use anabranch_engine::limits;
use anabranch_flow::call::Call;
use anabranch_run::world::{Failure, Outcome};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Instant;

/// The talk with one program.
pub struct ById<'d> {
    desk: &'d Desk,
    child: Option<Talk>,
    unsent: Vec<u8>,
    /// Items that are with the program, in the order in which they were sent.
    out: VecDeque<Call>,
    /// An item whose id another one has that is not answered yet.
    aside: Option<Call>,
    /// Items that were with a program that died: they are sent one by one, so that the one to blame is found.
    suspects: usize,
    /// When the next answer is late.
    late: Option<Instant>,
    /// The program has ended, and something that it left behind may hold its output open.
    over: bool,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<serde_json::Value>,
}

impl<'d> ById<'d> {
    /// Nothing is said yet.
    pub fn new(desk: &'d Desk) -> ById<'d> {
        ById {
            desk,
            child: None,
            unsent: vec![],
            out: VecDeque::new(),
            aside: None,
            suspects: 0,
            late: None,
            over: false,
        }
    }

    /// Makes the calls of the queue until it is closed; the program that is left.
    pub fn work(mut self) -> Result<Option<Talk>, Failure> {
        loop {
            self.desk.bell.hush();
            if self.desk.queue.is_closed() && !(self.out.is_empty() && self.aside.is_none()) {
                return Ok(None);
            }
            while let Some(job) = self.next() {
                self.send(job);
            }
            if self.out.is_empty() && self.desk.queue.is_closed() {
                return Ok(self.child);
            }
            if !self.out.is_empty() {
                self.listen()?;
            }
        }
    }

    /// The next item to send; waits for one if none is with the program.
    fn next(&mut self) -> Option<Call> {
        let most = if self.suspects > 0 { 1 } else { limits::PIPE_LINES };
        if self.out.len() >= most || self.unsent.len() >= limits::PIPE_BYTES {
            return None;
        }
        let queue = &self.desk.queue;
        let next = self.aside.take().or_else(|| queue.try_pop()).or_else(|| {
            let idle = self.out.is_empty();
            idle.then(|| self.desk.flush()).and_then(|()| queue.pop())
        })?;
        if self.out.iter().any(|o| o.id == next.id) {
            self.aside = Some(next);
            return None;
        }
        Some(next)
    }

    fn send(&mut self, job: Call) {
        let line = one_line(&job.value).map_err(Failure::from).and_then(|line| {
            if self.child.is_none() {
                self.child = Some(self.desk.begin()?);
                self.over = false;
            }
            Ok(line)
        });
        match line {
            Err(failure) => self.desk.reply(job.slot, Err(failure)),
            Ok(line) => {
                self.unsent.extend_from_slice(&line);
                self.unsent.push(b'\n');
                if self.out.is_empty() {
                    self.late = self.desk.late();
                }
                self.out.push_back(job);
            }
        }
    }

    /// Sends and hears for one turn.
    fn listen(&mut self) -> Result<(), Failure> {
        let Some(child) = &mut self.child else { return Ok(()) };
        let turn = self.desk.turn(child, !self.unsent.is_empty(), self.late)?;
        if turn.writable {
            let sent = child.write(&self.unsent);
            self.unsent.drain(..sent);
            if !child.takes_input() {
                self.unsent.clear(); // its end is seen on its output
            }
        }
        if child.exited() && !self.over {
            self.over = true;
            self.late = Instant::now().checked_add(GRACE);
        }
        while let Some(child) = &mut self.child {
            match child.take_line() {
                Ok(Some(line)) => self.answer(&line)?,
                Ok(None) => break,
                Err(error) => self.lost(&error),
            }
        }
        let is_late = self.late.is_some_and(|late| Instant::now() >= late) && !self.out.is_empty();
        match self.child.take() {
            Some(child) if child.is_mute() || (is_late && self.over) => {
                let said = self.desk.autopsy(child);
                self.lost(&said);
            }
            Some(_) if is_late => self.lost(&self.desk.silence()),
            child => self.child = child,
        }
        Ok(())
    }

    fn answer(&mut self, line: &[u8]) -> Result<(), Failure> {
        let Ok(answer) = serde_json::from_slice::<Answer<'_>>(line) else {
            let line: String = String::from_utf8_lossy(line).chars().take(80).collect();
            self.lost(&format!("the program wrote what is no answer: {line}"));
            return Ok(());
        };
        let at = self.out.iter().position(|o| o.id == answer.id);
        let Some(job) = at.and_then(|at| self.out.remove(at)) else {
            return Err(Failure::Run(self.desk.unasked(line)));
        };
        self.suspects = self.suspects.saturating_sub(1);
        self.late = self.desk.late();
        self.desk.reply(job.slot, self.outcome(&answer));
        Ok(())
    }

    fn outcome(&self, answer: &Answer<'_>) -> Outcome {
        if let Some(error) = error_of(answer.error.as_ref()) {
            return Err(error.into());
        }
        let Some(result) = answer.result.map(RawValue::get) else { return Ok(None) };
        if result.len() > limits::RESULT_BYTES {
            return Err(format!("the result has more than {} bytes", limits::RESULT_BYTES).into());
        }
        let text = if self.desk.office.text { serde_json::from_str::<String>(result).ok() } else { None };
        Ok(Some(text.unwrap_or_else(|| result.to_string()).into()))
    }

    /// The program is gone, or nothing that it says is trusted. An item that was alone with it has had its attempt; of
    /// several none is to blame yet, and they are sent again one by one.
    fn lost(&mut self, error: &str) {
        self.child = None;
        self.unsent.clear();
        let mut out = std::mem::take(&mut self.out);
        if out.len() == 1 {
            self.suspects = self.suspects.saturating_sub(1);
            out.drain(..).for_each(|job| self.desk.reply(job.slot, Err(error.to_string().into())));
            return;
        }
        self.suspects = out.len();
        // in front of all others, in their order
        out.into_iter().rev().for_each(|job| self.desk.queue.put_back(job));
    }
}
