//! A child and its pipes, none of which ever blocks us: one thread writes, reads, and waits for its end.

use crate::bell::Bell;
use crate::children::Group;
use crate::notes::Keeper;
use anabranch_engine::limits;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the pipes of a program are heard after it has ended: what it left behind may hold them open for ever.
pub const GRACE: Duration = Duration::from_millis(200);
/// How often is looked for the end of a child where the system does not tell of it.
const LOOK: Duration = Duration::from_millis(5);

/// A child that is talked to.
pub struct Talk {
    group: Group,
    /// Tells the end of the child, where the system has such a thing.
    watch: Option<OwnedFd>,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    exited: bool,
    /// What the child said and nobody took.
    pub heard: Vec<u8>,
    /// So much of it holds no end of a line.
    searched: usize,
    /// The end of what it said on standard error.
    pub said: Vec<u8>,
    /// So much of that is kept.
    pub keep: usize,
}

/// What a turn found beside words.
#[derive(Default, Clone, Copy)]
pub struct Turn {
    /// Standard input takes bytes, or is closed.
    pub writable: bool,
    /// The bell was rung.
    pub rung: bool,
}

impl Talk {
    /// Starts a child.
    pub fn start(command: &mut Command, keeper: &Arc<Keeper>) -> std::io::Result<Talk> {
        let mut group = Group::start(command, keeper)?;
        let child = group.child();
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let fds = [stdin.as_ref().map(AsFd::as_fd), stdout.as_ref().map(AsFd::as_fd), stderr.as_ref().map(AsFd::as_fd)];
        for fd in fds.into_iter().flatten() {
            rustix::io::ioctl_fionbio(fd, true)?;
        }
        let watch = watch(&group);
        Ok(Talk {
            group,
            watch,
            stdin,
            stdout,
            stderr,
            exited: false,
            heard: vec![],
            searched: 0,
            said: vec![],
            keep: limits::ERROR_TEXT_BYTES,
        })
    }

    /// Makes the pipe to the child so small that it has room only when the child has read all that is in it.
    pub fn narrow(&self) {
        #[cfg(target_os = "linux")]
        if let Some(stdin) = &self.stdin {
            let _ = rustix::pipe::fcntl_setpipe_size(stdin, 1);
        }
    }

    /// Waits until something happens, or until a moment, and hears what was said.
    pub fn turn(&mut self, write: bool, until: Option<Instant>, bell: &Bell) -> std::io::Result<Turn> {
        let mut left = until.map(|until| until.saturating_duration_since(Instant::now()));
        if self.watch.is_none() && !self.exited {
            left = Some(left.map_or(LOOK, |left| left.min(LOOK)));
        }
        let time = left.map(|l| Timespec { tv_sec: l.as_secs() as i64, tv_nsec: i64::from(l.subsec_nanos()) });
        let stdin = self.stdin.as_ref().filter(|_| write).map(AsFd::as_fd);
        let watch = self.watch.as_ref().filter(|_| !self.exited).map(AsFd::as_fd);
        let (stdout, stderr) = (self.stdout.as_ref().map(AsFd::as_fd), self.stderr.as_ref().map(AsFd::as_fd));
        let mut fds = vec![PollFd::from_borrowed_fd(bell.as_fd(), PollFlags::IN)];
        let mut place = [None; 4];
        for (i, fd) in [stdin, stdout, stderr, watch].into_iter().enumerate() {
            let Some(fd) = fd else { continue };
            place[i] = Some(fds.len());
            fds.push(PollFd::from_borrowed_fd(fd, if i == 0 { PollFlags::OUT } else { PollFlags::IN }));
        }
        match poll(&mut fds, time.as_ref()) {
            Err(rustix::io::Errno::INTR) => return Ok(Turn::default()),
            polled => polled?,
        };
        let hit = |i: Option<usize>| i.is_some_and(|i| !fds[i].revents().is_empty());
        let [writable, talks, cries, ended] = place.map(hit);
        let turn = Turn { writable: writable || (write && self.stdin.is_none()), rung: hit(Some(0)) };
        if talks {
            hear(&mut self.stdout, &mut self.heard);
        }
        if cries {
            hear(&mut self.stderr, &mut self.said);
            // not each time: what is kept is moved then
            if self.said.len() > 2 * self.keep {
                cut(&mut self.said, self.keep);
            }
        }
        self.exited = self.exited || ended || (self.watch.is_none() && self.group.has_ended());
        Ok(turn)
    }

    /// Writes what the pipe takes; how many bytes. Nothing more is wanted by a child that closed it.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        match self.stdin.as_mut().map(|s| s.write(bytes)) {
            Some(Ok(n)) => n,
            Some(Err(e)) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
            Some(Err(_)) | None => {
                self.stdin = None;
                0
            }
        }
    }

    /// Whether a whole line was heard; its length with its end.
    pub fn has_line(&mut self) -> Option<usize> {
        let end = memchr::memchr(b'\n', &self.heard[self.searched..]).map(|at| self.searched + at);
        self.searched = end.unwrap_or(self.heard.len());
        end.map(|end| end + 1)
    }

    /// Takes the first line that was heard, without its end. None may be longer than a result can be.
    pub fn take_line(&mut self) -> Result<Option<Vec<u8>>, String> {
        let end = self.has_line();
        if end.unwrap_or(self.heard.len()) > limits::RESULT_BYTES + 2 {
            return Err(format!("the result has more than {} bytes", limits::RESULT_BYTES));
        }
        let Some(end) = end else { return Ok(None) };
        let rest = self.heard.split_off(end);
        let mut line = std::mem::replace(&mut self.heard, rest);
        self.searched = 0;
        while matches!(line.last(), Some(b'\n' | b'\r')) {
            line.pop();
        }
        Ok(Some(line))
    }

    /// Ends what the child reads.
    pub fn close(&mut self) {
        self.stdin = None;
    }

    /// Whether the child still takes input.
    pub fn takes_input(&self) -> bool {
        self.stdin.is_some()
    }

    /// Whether the child has ended.
    pub fn exited(&self) -> bool {
        self.exited
    }

    /// Whether nothing more will be said.
    pub fn is_mute(&self) -> bool {
        self.stdout.is_none()
    }

    /// Ends the child and all that it started; how it ended, and the last of what it said on standard error.
    pub fn end(&mut self) -> (std::io::Result<ExitStatus>, String) {
        let status = self.group.end();
        let mut more = self.stderr.is_some();
        while more {
            let had = self.said.len();
            hear(&mut self.stderr, &mut self.said);
            more = self.stderr.is_some() && self.said.len() > had;
            cut(&mut self.said, self.keep);
        }
        cut(&mut self.said, self.keep);
        let last = &self.said[self.said.len().saturating_sub(limits::ERROR_TEXT_BYTES)..];
        (status, String::from_utf8_lossy(last).trim().to_string())
    }
}

#[cfg(target_os = "linux")]
fn watch(group: &Group) -> Option<OwnedFd> {
    rustix::process::pidfd_open(group.pid()?, rustix::process::PidfdFlags::empty()).ok()
}

#[cfg(not(target_os = "linux"))]
fn watch(_: &Group) -> Option<OwnedFd> {
    None
}

/// Reads once; a pipe that has ended is closed.
fn hear(pipe: &mut Option<impl Read>, into: &mut Vec<u8>) {
    let Some(from) = pipe else { return };
    let mut buf = [0; 16 << 10];
    match from.read(&mut buf) {
        Ok(0) => *pipe = None,
        Ok(n) => into.extend_from_slice(&buf[..n]),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
        Err(_) => *pipe = None,
    }
}

/// Keeps the last part.
fn cut(said: &mut Vec<u8>, keep: usize) {
    let over = said.len().saturating_sub(keep);
    said.drain(..over);
}
