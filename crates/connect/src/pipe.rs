//! `pipe`: long-lived processes, a line in and a line out, replies in order.

use crate::children::{Group, Heard, command, ended};
use anabranch_engine::{Error, Result, limits};
use anabranch_flow::expr::{Env, RunVars, Scope};
use anabranch_flow::model::{Act, Command};
use anabranch_flow::run::io::{Job, Reply, Seat, Session};
use bytes::Bytes;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ChildStdout;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A child for each seat; the key of an item picks it, else its place.
pub struct Pipe {
    seats: Vec<Sender<Job>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Pipe {
    /// Starts a thread for each child; a child starts with its first line.
    pub fn start(folder: &Path, act: &Act, command: &Command, seat: &Seat, replies: &Sender<Reply>) -> Result<Pipe> {
        let (run, env) = (RunVars::default(), Env::default());
        let scope = Scope::of_run(&run, &env);
        let filled = |t: &anabranch_flow::template::Template| {
            t.render(&scope).map_err(|f| Error::usage(format!("{}: {f}", seat.step)))
        };
        let args = command.args.iter().map(filled).collect::<Result<Vec<_>>>()?;
        let vars = command.env.iter().map(|(n, v)| Ok((n.clone(), filled(v)?))).collect::<Result<Vec<_>>>()?;
        let stop = Arc::new(AtomicBool::new(false));
        let (mut seats, mut threads) = (vec![], vec![]);
        for i in 0..act.concurrency {
            let (jobs, queue) = channel();
            let worker = Worker {
                folder: folder.to_path_buf(),
                args: args.clone(),
                env: vars.clone(),
                timeout: act.timeout,
                stop: stop.clone(),
                replies: replies.clone(),
                waiting: VecDeque::new(),
                unasked: false,
            };
            let thread = std::thread::Builder::new().name(format!("pipe {i}")).spawn(move || worker.run(&queue));
            threads.push(thread.map_err(|e| Error::machine(format!("cannot start a thread: {e}")))?);
            seats.push(jobs);
        }
        Ok(Pipe { seats, stop, threads })
    }
}

impl Session for Pipe {
    fn start(&mut self, job: Job) {
        let by = job.key.as_deref().unwrap_or(job.id.as_bytes());
        let seat = anabranch_engine::partition::of_key(by, self.seats.len() as u32) as usize;
        if let Some(seat) = self.seats.get(seat) {
            let _ = seat.send(job);
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.seats.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

struct Worker {
    folder: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    timeout: Duration,
    stop: Arc<AtomicBool>,
    replies: Sender<Reply>,
    /// Lines that were sent and not answered, with the time since when each is the oldest or was sent.
    waiting: VecDeque<(Job, Instant)>,
    /// Which answer belongs to which line is not known any more.
    unasked: bool,
}

/// A child at work.
struct Running {
    group: Group,
    feed: Sender<Vec<u8>>,
    answers: Receiver<Option<Vec<u8>>>,
    said: Heard,
}

/// Lines that may be with a child at once.
const AHEAD: usize = 64;

impl Worker {
    fn run(mut self, queue: &Receiver<Job>) {
        let mut running: Option<Running> = None;
        let mut open = true;
        while (open || !self.waiting.is_empty()) && !self.stop.load(Ordering::Relaxed) {
            while open && self.waiting.len() < AHEAD {
                let next = if self.waiting.is_empty() {
                    queue.recv_timeout(Duration::from_millis(20))
                } else {
                    queue.try_recv().map_err(|_| RecvTimeoutError::Timeout)
                };
                match next {
                    Ok(job) if !job.ticket.begin() => {}
                    Ok(job) => self.send(&mut running, job),
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => open = false,
                }
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
            }
            self.listen(&mut running);
        }
    }

    fn send(&mut self, running: &mut Option<Running>, job: Job) {
        if running.is_none() {
            match self.spawn() {
                Ok(child) => *running = Some(child),
                Err(error) => return self.reply(job.slot, Err(error)),
            }
        }
        if self.waiting.is_empty() && running.as_ref().is_some_and(|c| matches!(c.answers.try_recv(), Ok(Some(_)))) {
            self.unasked = true;
        }
        if self.unasked {
            *running = None;
            let error = "the program wrote a line that nobody asked for: a line in, a line out, nothing else";
            return self.reply(job.slot, Err(error.into()));
        }
        let mut line = match one_line(&job.value) {
            Ok(line) => line,
            Err(error) => return self.reply(job.slot, Err(error)),
        };
        line.push(b'\n');
        if let Some(child) = running {
            let _ = child.feed.send(line);
        }
        self.waiting.push_back((job, Instant::now()));
    }

    /// Takes one answer, or finds that the child is dead or silent.
    fn listen(&mut self, running: &mut Option<Running>) {
        let Some(child) = running else { return };
        let Some((_, since)) = self.waiting.front() else { return };
        let left = (*since + self.timeout).saturating_duration_since(Instant::now());
        match child.answers.recv_timeout(left.min(Duration::from_millis(20))) {
            Ok(Some(line)) => {
                if let Some((job, _)) = self.waiting.pop_front() {
                    self.reply(job.slot, answer(line));
                }
                if let Some((_, since)) = self.waiting.front_mut() {
                    *since = Instant::now(); // the timeout runs for the oldest line
                }
            }
            Ok(None) | Err(RecvTimeoutError::Disconnected) => {
                let status = child.group.end();
                let said = running.take().map(drop_and_hear).unwrap_or_default();
                let how = status.map_or_else(|e| e.to_string(), |s| ended(s, &said));
                self.lost(running, &format!("the program died over this line: {how}"));
            }
            Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                *running = None;
                let hint = "does it flush each line? jq needs --unbuffered";
                self.lost(running, &format!("no answer within {:?}; {hint}", self.timeout));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }

    /// The oldest line has had its attempt; the others are sent again without one.
    fn lost(&mut self, running: &mut Option<Running>, error: &str) {
        let mut waiting = std::mem::take(&mut self.waiting);
        if let Some((job, _)) = waiting.pop_front() {
            self.reply(job.slot, Err(error.to_string()));
        }
        for (job, _) in waiting {
            self.send(running, job);
        }
    }

    fn reply(&self, slot: u64, outcome: Result<Option<Bytes>, String>) {
        let _ = self.replies.send(Reply { slot, outcome });
    }

    fn spawn(&self) -> Result<Running, String> {
        let mut command = command(&self.folder, &self.args, &self.env).ok_or("no program is named")?;
        let mut child = command.spawn().map_err(|e| format!("cannot run {}: {e}", self.args[0]))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (feed, lines) = channel::<Vec<u8>>();
        std::thread::spawn(move || {
            let Some(mut stdin) = stdin else { return };
            for line in lines {
                if stdin.write_all(&line).and_then(|()| stdin.flush()).is_err() {
                    return;
                }
            }
        });
        let (sender, answers) = sync_channel(AHEAD);
        std::thread::spawn(move || hear(stdout, &sender));
        Ok(Running { group: Group(child), feed, answers, said: Heard::last(stderr) })
    }
}

fn drop_and_hear(child: Running) -> String {
    let Running { mut group, said, .. } = child;
    group.kill();
    said.settle();
    said.text()
}

/// Lines of the child; `None` at its end, or when a line is too long.
fn hear(stdout: Option<ChildStdout>, answers: &SyncSender<Option<Vec<u8>>>) {
    let Some(stdout) = stdout else { return };
    let mut reader = BufReader::new(stdout);
    loop {
        let mut line = vec![];
        let read = reader.by_ref().take(limits::RESULT_BYTES as u64 + 1).read_until(b'\n', &mut line);
        let whole = read.is_ok_and(|n| n > 0) && line.last() == Some(&b'\n');
        let sent = answers.send(if whole { Some(line) } else { None });
        if !whole || sent.is_err() {
            return;
        }
    }
}

/// The reply `{"error": text}` fails its item.
fn answer(mut line: Vec<u8>) -> Result<Option<Bytes>, String> {
    while matches!(line.last(), Some(b'\n' | b'\r')) {
        line.pop();
    }
    if let Ok(serde_json::Value::Object(map)) = serde_json::from_slice(&line)
        && let (Some(error), 1) = (map.get("error"), map.len())
    {
        return Err(error.as_str().map_or_else(|| error.to_string(), str::to_string));
    }
    Ok(if line.is_empty() { None } else { Some(line.into()) })
}

/// An item as one line: in JSON, line breaks can only stand between values.
fn one_line(value: &[u8]) -> Result<Vec<u8>, String> {
    if memchr::memchr2(b'\n', b'\r', value).is_none() {
        return Ok(value.to_vec());
    }
    if serde_json::from_slice::<&serde_json::value::RawValue>(value).is_err() {
        return Err("a text with a line break cannot be a line of its own".into());
    }
    Ok(value.iter().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b }).collect())
}
