//! Signals: what ends a command safely, and what must not end it without a word.

use anabranch_engine::{Error, Result};
use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use std::io::{self, PipeReader, Read};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Set when the command is to stop, and by which signal.
pub type Watched = (Arc<AtomicBool>, Arc<AtomicUsize>);

/// The first Ctrl-C, SIGTERM or SIGHUP stops the command safely; a second Ctrl-C or SIGTERM ends it at once. A terminal that
/// is closed may send SIGHUP twice; under `nohup` it means nothing.
pub fn watch() -> Result<Watched> {
    let (stop, which) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    for signal in ours() {
        let register = || -> io::Result<()> {
            if signal != SIGHUP {
                signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, stop.clone())?;
            }
            signal_hook::flag::register_usize(signal, which.clone(), signal as usize)?;
            signal_hook::flag::register(signal, stop.clone())?;
            Ok(())
        };
        register().map_err(unwatched)?;
    }
    Ok((stop, which))
}

fn ours() -> impl Iterator<Item = i32> {
    [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|s| *s != SIGHUP || !is_ignored(*s))
}

fn unwatched(e: io::Error) -> Error {
    Error::machine(format!("cannot watch for signals: {e}"))
}

/// Who ignores the end of children never hears how they ended.
pub fn hear_of_children() -> Result<()> {
    if is_ignored(SIGCHLD) {
        let heard = signal_hook::flag::register(SIGCHLD, Arc::default());
        heard.map_err(|e| Error::machine(format!("cannot watch for the end of children: {e}")))?;
    }
    Ok(())
}

/// Where files may not grow any more (`ulimit -f`), a write fails and says so; else the process would end without a word.
pub fn say_what_cannot_grow() {
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// Whether this process was started with a signal ignored.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|l| l.strip_prefix("SigIgn:")).map(str::trim);
    mask.and_then(|mask| u64::from_str_radix(mask, 16).ok()).is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Standard input until a signal comes.
pub struct Input {
    stdin: io::Stdin,
    rung: PipeReader,
    watched: Watched,
}

impl Input {
    /// Watches for signals from now on.
    pub fn new() -> Result<Input> {
        let watched = watch()?;
        let (rung, bell) = io::pipe().map_err(unwatched)?;
        for signal in ours() {
            let bell = bell.try_clone().map_err(unwatched)?;
            signal_hook::low_level::pipe::register(signal, bell).map_err(unwatched)?;
        }
        Ok(Input { stdin: io::stdin(), rung, watched })
    }

    /// The exit status, if a signal came.
    pub fn stopped(watched: &Watched) -> Option<u8> {
        watched.0.load(Ordering::Relaxed).then(|| 128 + watched.1.load(Ordering::Relaxed) as u8)
    }

    /// To ask whether a signal came.
    pub fn watched(&self) -> Watched {
        self.watched.clone()
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if Input::stopped(&self.watched).is_some() {
                return Err(io::Error::other("stopped"));
            }
            let mut fds =
                [PollFd::new(&self.stdin, PollFlags::IN), PollFd::from_borrowed_fd(self.rung.as_fd(), PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) if fds[0].revents().is_empty() => {}
                Ok(_) => return self.stdin.lock().read(into),
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}
