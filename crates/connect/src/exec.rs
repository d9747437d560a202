//! `exec`: a process for each item, with the book's contract: the item is in the
//! file `$WORK_ITEM_FILE` and on standard input, exit 0 is done, standard output is the result.

use crate::bell::Bell;
use crate::children::{Fixed, command, ended, not_started};
use crate::notes::Keeper;
use crate::queue::Hands;
use crate::talk::{GRACE, Talk};
use anabranch_engine::{Error, Result, limits};
use anabranch_flow::call::{Call, Request};
use anabranch_flow::model::{Act, Command, Logs};
use anabranch_run::world::{CallLog, Failure, Outcome, Replies, Session};
use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Threads that run a process for each call.
pub struct Exec {
    hands: Hands,
    stop: Arc<Bell>,
}

/// Calls a program once, and waits for it.
pub fn once(folder: &Path, keeper: Arc<Keeper>, call: &Call, timeout: Duration) -> Outcome {
    let stop = Bell::new().map_err(|e| Failure::Run(Error::machine(format!("cannot make a pipe: {e}"))))?;
    let (folder, keep) = (folder.to_path_buf(), limits::ERROR_TEXT_BYTES);
    let caller = Caller { folder, keeper, timeout, stop: Arc::new(stop), fixed: false, keep };
    caller.call(usize::MAX, call, &mut CallLog::default())
}

struct Caller {
    folder: PathBuf,
    keeper: Arc<Keeper>,
    timeout: Duration,
    stop: Arc<Bell>,
    /// The program is the same for every item.
    fixed: bool,
    /// So much is kept of what it writes beside its result.
    keep: usize,
}

impl Exec {
    /// Begins to take calls; processes come with them.
    pub fn start(folder: &Path, keeper: Arc<Keeper>, act: &Act, command: &Command, replies: &Replies) -> Result<Exec> {
        let stop = Bell::new().map_err(|e| Error::machine(format!("cannot make a pipe: {e}")))?;
        let stop = Arc::new(stop);
        let (fixed, timeout) = (command.fixed, act.timeout);
        let keep = if act.logs == Logs::None { limits::ERROR_TEXT_BYTES } else { limits::LOG_BYTES };
        let caller = Caller { folder: folder.to_path_buf(), keeper, timeout, stop: stop.clone(), fixed, keep };
        let call = Arc::new(move |me: usize, job: &Call, log: &mut CallLog| caller.call(me, job, log));
        Ok(Exec { hands: Hands::new(act.concurrency, replies, call), stop })
    }
}

impl Session for Exec {
    fn start(&mut self, job: Call) {
        self.hands.start(job);
    }
}

impl Drop for Exec {
    fn drop(&mut self) {
        self.hands.close();
        self.stop.ring();
        self.hands.join();
    }
}

impl Caller {
    fn call(&self, me: usize, job: &Call, log: &mut CallLog) -> Outcome {
        let file = self.keeper.items.path().join(format!("item-{me}"));
        // the file is also standard input, so that a program never takes a part for the whole when we are killed; no item
        // is to blame for a full disk: the run stops, and goes on when there is space
        let item = write(&file, &job.value);
        let item = item.map_err(|e| Failure::Run(crate::failed("cannot write the item of a call to", &file, &e)))?;
        let Request::Exec { args, env } = &job.request else {
            return Err(Failure::Run(Error::bug("a call that names no program reached exec")));
        };
        let mut env = env.clone();
        env.push(("WORK_ITEM_FILE".into(), file.to_string_lossy().into_owned()));
        env.push(("WORK_ITEM_ID".into(), job.id.clone()));
        env.push(("WORK_ATTEMPT".into(), job.attempt.to_string()));
        let mut command = command(&self.folder, args, &env, &self.keeper).ok_or("no program is named")?;
        let begun = Talk::start(command.stdin(item), &self.keeper);
        let mut talk = begun.map_err(|e| {
            let fixed = Fixed { program: self.fixed, arguments: false };
            not_started(&args[0], &self.folder, fixed, &e)
        })?;
        talk.keep = self.keep;
        let heard = self.listen(&mut talk);
        let (status, said) = talk.end();
        if let Ok(status) = &status {
            log.status = Some(ended(*status, ""));
        }
        log.stderr = std::mem::take(&mut talk.said);
        let failed = heard.and_then(|()| match status.map_err(unheard)? {
            status if status.success() => Ok(()),
            status => Err(ended(status, &said).into()),
        });
        let mut out = std::mem::take(&mut talk.heard);
        if let Err(failure) = failed {
            out.drain(..out.len().saturating_sub(self.keep));
            log.stdout = out;
            return Err(failure);
        }
        Ok(if out.is_empty() { None } else { Some(out.into()) })
    }

    /// Hears the program until it has ended, at most as long as a call may take.
    fn listen(&self, talk: &mut Talk) -> Result<(), Failure> {
        let mut until = Instant::now().checked_add(self.timeout); // none: for ever
        let mut has_ended = false;
        loop {
            let before = talk.heard.len();
            let turn = talk.turn(false, until, &self.stop);
            let turn = turn.map_err(unheard)?;
            if turn.rung {
                return Err("the run was stopped".into());
            }
            if talk.heard.len() > limits::RESULT_BYTES {
                return Err(format!("the result has more than {} bytes", limits::RESULT_BYTES).into());
            }
            if talk.exited() && !has_ended {
                has_ended = true;
                until = Instant::now().checked_add(GRACE);
            }
            let over = until.is_some_and(|until| Instant::now() >= until);
            match has_ended {
                // all that it said before its end is in the pipe: it is read however late we are
                true if talk.is_mute() || (over && talk.heard.len() == before) => return Ok(()),
                false if over => return Err(format!("timeout after {:?}", self.timeout).into()),
                _ => {}
            }
        }
    }
}

/// How a program ended cannot be told: no item is to blame.
fn unheard(e: std::io::Error) -> Failure {
    Failure::Run(Error::machine(format!("cannot wait for a program: {e}")).help("run again to continue"))
}

/// A new file with these bytes, to be read from its beginning. What an earlier call left behind may still read its own.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<File> {
    let _ = std::fs::remove_file(path);
    let mut file = File::options().read(true).write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}
