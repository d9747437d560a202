//! A program whose answers carry no id: a line in, a line out. Which answer belongs to which line is known only because
//! never more than one line is with the program, and because each answer is believed only when the program was seen to
//! come back for more: the pipe to it is so small that its next line, sent without its end, is taken out only by a
//! program that has said all it had to say, and cannot be answered yet. Whatever stands on its output then is too much.

use crate::desk::{Desk, error_of, one_line};
use crate::talk::{GRACE, Talk};
use anabranch_engine::limits;
use anabranch_flow::call::Call;
use anabranch_run::world::{Failure, Outcome};
use std::time::{Duration, Instant};

/// How long an answer waits to be believed where no line follows.
const QUIET: Duration = Duration::from_millis(10);

/// The talk with one program.
pub struct InOrder<'d> {
    desk: &'d Desk,
    child: Option<Talk>,
    /// Lines that this program has answered.
    answered: u64,
    /// The last answer, until it is believed.
    held: Option<(u64, Outcome)>,
}

/// How far a line got.
enum Got {
    /// Its answer is held.
    Answer,
    /// The program must be started again for it.
    Again,
    /// It is the item's fault, or the run's.
    Failed(Failure),
    /// No more is wanted.
    Stopped,
}

impl<'d> InOrder<'d> {
    /// Nothing is said yet.
    pub fn new(desk: &'d Desk) -> InOrder<'d> {
        InOrder { desk, child: None, answered: 0, held: None }
    }

    /// Makes the calls of the queue until it is closed; the program that is left.
    pub fn work(mut self) -> Result<Option<Talk>, Failure> {
        loop {
            let mut next = self.desk.queue.try_pop();
            if next.is_none() {
                self.rest()?;
                self.desk.flush();
                next = self.desk.queue.pop();
            }
            let Some(job) = next else { return Ok(self.child) };
            loop {
                match self.ask(&job) {
                    Ok(Got::Answer) => break,
                    Ok(Got::Again) => {}
                    Ok(Got::Stopped) => return Ok(None),
                    Ok(Got::Failed(failure)) | Err(failure) => {
                        self.give_up(job.slot, failure);
                        break;
                    }
                }
            }
        }
    }

    /// An item has had its attempt; nothing that this program says can be told apart any more.
    fn give_up(&mut self, slot: u64, failure: Failure) {
        self.believe();
        self.child = None;
        self.desk.reply(slot, Err(failure));
    }

    /// No line follows: the answer is believed if the program stays silent for a moment.
    fn rest(&mut self) -> Result<(), Failure> {
        let until = Instant::now() + QUIET;
        while self.held.is_some()
            && let Some(child) = &mut self.child
        {
            if child.has_line().is_some() {
                self.too_much();
                return Ok(());
            }
            if child.is_mute() || Instant::now() >= until || self.desk.turn(child, false, Some(until))?.rung {
                break;
            }
        }
        self.believe();
        Ok(())
    }

    /// The last answer is the only one.
    fn believe(&mut self) {
        if let Some((slot, outcome)) = self.held.take() {
            self.desk.reply(slot, outcome);
        }
    }

    /// A whole line stands there that answers nothing. The item before it has two answers then, and none is believed.
    fn too_much(&mut self) -> Got {
        let child = self.child.take();
        if let Some((slot, _)) = self.held.take() {
            let error =
                "the program wrote a line that nobody asked for, beside its answer to this item: a line in, a line out";
            self.desk.reply(slot, Err(error.into()));
            return Got::Again;
        }
        match self.answered {
            0 => Got::Failed("the program wrote a line that nobody asked for, before it was given one".into()),
            _ => Got::Failed(Failure::Run(self.desk.unasked(&child.map(|c| c.heard).unwrap_or_default()))),
        }
    }

    /// Sends one item and holds its answer.
    fn ask(&mut self, job: &Call) -> Result<Got, Failure> {
        let line = one_line(&job.value)?;
        if self.child.is_none() {
            let child = self.desk.begin()?;
            child.narrow();
            (self.child, self.answered) = (Some(child), 0);
        }
        let late = self.desk.late();
        match self.send(&line, late)? {
            Some(got) => Ok(got),
            None => self.listen(job.slot, late),
        }
    }

    /// Sends a line, its end only when the program has come back for it; none if it is sent.
    fn send(&mut self, line: &[u8], late: Option<Instant>) -> Result<Option<Got>, Failure> {
        // the pipe is empty: all that went before was answered
        let mut sent = self.child.as_mut().map_or(0, |child| child.write(line));
        loop {
            let Some(child) = &mut self.child else { return Ok(Some(Got::Again)) };
            let turn = self.desk.turn(child, true, late)?;
            if turn.rung {
                return Ok(Some(Got::Stopped));
            }
            if child.is_mute() || child.exited() || !child.takes_input() {
                return self.gone().map(Some);
            }
            if child.has_line().is_some() || child.heard.len() > limits::RESULT_BYTES {
                return Ok(Some(self.too_much()));
            }
            if sent < line.len() && turn.writable {
                sent += child.write(&line[sent..]);
            } else if turn.writable && child.write(b"\n") == 1 {
                self.believe();
                return Ok(None);
            }
            if late.is_some_and(|late| Instant::now() >= late) {
                self.believe();
                return Ok(Some(Got::Failed(self.desk.silence().into())));
            }
        }
    }

    /// The program ended before it had the whole line. What it answered before is complete; the line is another one's,
    /// unless it is the first.
    fn gone(&mut self) -> Result<Got, Failure> {
        let until = Some(Instant::now() + GRACE);
        while let Some(child) = self.child.as_mut().filter(|c| !c.is_mute()) {
            let before = child.heard.len();
            if self.desk.turn(child, false, until)?.rung {
                return Ok(Got::Stopped);
            }
            // all that it said before its end is in the pipe: it is read however late we are
            if child.heard.len() == before && until <= Some(Instant::now()) {
                break;
            }
        }
        if self.answered > 0 && self.child.as_mut().is_some_and(|c| c.has_line().is_some()) {
            return Ok(self.too_much());
        }
        self.believe();
        Ok(match self.child.take() {
            Some(child) if self.answered == 0 => Got::Failed(self.desk.autopsy(child).into()),
            _ => Got::Again,
        })
    }

    /// Hears the answer to the line that was sent.
    fn listen(&mut self, slot: u64, late: Option<Instant>) -> Result<Got, Failure> {
        let mut until = late;
        let mut heard = true;
        loop {
            let Some(child) = &mut self.child else { return Ok(Got::Again) };
            if let Some(line) = child.take_line()? {
                self.answered += 1;
                self.held = Some((slot, answer(line)));
                return Ok(Got::Answer);
            }
            let over = until.is_some_and(|until| Instant::now() >= until) && !(heard && child.exited());
            match child.exited() {
                _ if child.is_mute() => return Ok(Got::Failed(self.autopsy())),
                true if over => return Ok(Got::Failed(self.autopsy())), // what it left behind holds its output open
                false if over => return Ok(Got::Failed(self.desk.silence().into())),
                _ => {}
            }
            let (lived, before) = (!child.exited(), child.heard.len());
            if self.desk.turn(child, false, until)?.rung {
                return Ok(Got::Stopped);
            }
            heard = child.heard.len() > before;
            if lived && child.exited() {
                heard = true; // what it said last may still be in the pipe
                until = Instant::now().checked_add(GRACE);
            }
        }
    }

    fn autopsy(&mut self) -> Failure {
        self.child.take().map(|child| self.desk.autopsy(child)).unwrap_or_default().into()
    }
}

/// The reply `{"error": text}` fails its item.
fn answer(line: Vec<u8>) -> Outcome {
    if let Ok(serde_json::Value::Object(map)) = serde_json::from_slice(&line)
        && map.len() == 1
        && let Some(error) = error_of(map.get("error"))
    {
        return Err(error.into());
    }
    Ok(if line.is_empty() { None } else { Some(line.into()) })
}
