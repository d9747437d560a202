//! `exec`: a process for each item, with the book's contract: the item is in the
//! file `$WORK_ITEM_FILE` and on standard input, exit 0 is done, standard output is the result.

use crate::children::{Group, Heard, command, ended};
use anabranch_engine::{Error, Result, limits};
use anabranch_flow::model::Act;
use anabranch_flow::run::io::{Job, Reply, Session};
use bytes::Bytes;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Threads that run a process for each call.
pub struct Exec {
    jobs: Option<Sender<Job>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    _items: tempfile::TempDir,
}

struct Worker {
    folder: PathBuf,
    item_file: PathBuf,
    timeout: Duration,
    stop: Arc<AtomicBool>,
}

impl Exec {
    /// Starts the threads; processes come with the calls.
    pub fn start(folder: &Path, act: &Act, replies: &Sender<Reply>) -> Result<Exec> {
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        let stop = Arc::new(AtomicBool::new(false));
        // items are nobody else's business: a folder with a random name that only we may enter
        let items = tempfile::Builder::new().prefix("anabranch-").tempdir();
        let items = items.map_err(|e| Error::machine(format!("cannot make a folder for the items of exec: {e}")))?;
        let mut threads = vec![];
        for i in 0..act.concurrency {
            let worker = Worker {
                folder: folder.to_path_buf(),
                item_file: items.path().join(format!("item-{i}")),
                timeout: act.timeout,
                stop: stop.clone(),
            };
            let (queue, replies) = (queue.clone(), replies.clone());
            let thread =
                std::thread::Builder::new().name(format!("exec {i}")).spawn(move || worker.run(&queue, &replies));
            threads.push(thread.map_err(|e| Error::machine(format!("cannot start a thread: {e}")))?);
        }
        Ok(Exec { jobs: Some(jobs), stop, threads, _items: items })
    }
}

impl Session for Exec {
    fn start(&mut self, job: Job) {
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(job);
        }
    }
}

impl Drop for Exec {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Worker {
    fn run(&self, queue: &Mutex<Receiver<Job>>, replies: &Sender<Reply>) {
        loop {
            let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = job else { break };
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            if !job.ticket.begin() {
                continue;
            }
            let slot = job.slot;
            if replies.send(Reply { slot, outcome: self.call(job) }).is_err() {
                break;
            }
        }
    }

    fn call(&self, job: Job) -> Result<Option<Bytes>, String> {
        std::fs::write(&self.item_file, &job.value)
            .map_err(|e| format!("cannot write the item to {}: {e}", self.item_file.display()))?;
        let mut env = job.env;
        env.push(("WORK_ITEM_FILE".into(), self.item_file.to_string_lossy().into_owned()));
        env.push(("WORK_ITEM_ID".into(), job.id));
        env.push(("WORK_ATTEMPT".into(), job.attempt.to_string()));
        let mut command = command(&self.folder, &job.args, &env).ok_or("no program is named")?;
        let mut child = Group(command.spawn().map_err(|e| format!("cannot run {}: {e}", job.args[0]))?);
        let (mut stdin, stdout, stderr) = (child.0.stdin.take(), child.0.stdout.take(), child.0.stderr.take());
        let value = job.value;
        // a child that does not read its input, or floods an output, must not block us: a thread for each pipe
        std::thread::spawn(move || stdin.as_mut().map(|s| s.write_all(&value)));
        let (heard, said) = (Heard::first(stdout, limits::RESULT_BYTES), Heard::last(stderr));
        let status = self.wait(&mut child);
        if status.is_err() || heard.ended() {
            child.kill();
        }
        let status = status?;
        heard.settle();
        said.settle();
        child.kill();
        if !status.success() {
            return Err(ended(status, &said.text()));
        }
        let out = heard.take();
        if out.len() > limits::RESULT_BYTES {
            return Err(format!("the result has more than {} bytes", limits::RESULT_BYTES));
        }
        Ok(if out.is_empty() { None } else { Some(out.into()) })
    }

    /// Waits for the child, at most as long as a call may take.
    fn wait(&self, child: &mut Group) -> Result<std::process::ExitStatus, String> {
        let until = Instant::now() + self.timeout;
        let mut pause = Duration::from_micros(200);
        loop {
            match child.0.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if self.stop.load(Ordering::Relaxed) => return Err("the run was stopped".into()),
                Ok(None) if Instant::now() >= until => return Err(format!("timeout after {:?}", self.timeout)),
                Ok(None) => {
                    std::thread::park_timeout(pause);
                    pause = (pause * 2).min(Duration::from_millis(10));
                }
                Err(e) => return Err(format!("cannot wait for the program: {e}")),
            }
        }
    }
}
