//! Child processes in groups of their own, ended with us.

use anabranch_engine::limits;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A command in the flow's folder, in a process group of its own, with pipes.
pub fn command(folder: &Path, args: &[String], env: &[(String, String)]) -> Option<Command> {
    let (program, rest) = args.split_first()?;
    // a path is meant from the flow's folder, a bare name is looked up in PATH
    let program = if program.contains('/') { folder.join(program) } else { program.into() };
    let program = if program.is_relative() && program.components().count() > 1 {
        std::path::absolute(&program).unwrap_or(program)
    } else {
        program
    };
    let mut command = Command::new(program);
    command.args(rest).current_dir(folder).process_group(0);
    command.envs(env.iter().map(|(k, v)| (k, v)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    end_with_us(&mut command);
    Some(command)
}

/// The child is killed when we die, even by a signal that we cannot catch.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn end_with_us(command: &mut Command) {
    let end = || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
            .map_err(std::io::Error::from)
    };
    // SAFETY: between fork and exec the closure makes one system call; it neither allocates nor locks.
    unsafe { command.pre_exec(end) };
}

#[cfg(not(target_os = "linux"))]
fn end_with_us(_: &mut Command) {}

/// A child whose whole group ends when this is dropped.
pub struct Group(pub Child);

impl Group {
    /// How the child ended, if it does so now; else it is ended.
    pub fn end(&mut self) -> std::io::Result<std::process::ExitStatus> {
        let until = Instant::now() + GRACE;
        loop {
            match self.0.try_wait()? {
                Some(status) => return Ok(status),
                None if Instant::now() >= until => {
                    self.kill();
                    return self.0.wait();
                }
                None => std::thread::park_timeout(Duration::from_millis(1)),
            }
        }
    }

    /// Ends the child and everything that it started.
    pub fn kill(&mut self) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.0.id() as i32) {
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What a child says through a pipe. A process that it left behind may hold the pipe open for ever,
/// so what was heard can be taken without an end.
pub struct Heard {
    so_far: Arc<Mutex<Vec<u8>>>,
    thread: JoinHandle<()>,
}

impl Heard {
    /// Hears everything and keeps it, up to one byte more than `most`.
    pub fn first(from: Option<impl Read + Send + 'static>, most: usize) -> Heard {
        Heard::by(from, move |kept, new| {
            let room = (most + 1).saturating_sub(kept.len()).min(new.len());
            kept.extend_from_slice(&new[..room]);
            kept.len() <= most
        })
    }

    /// Hears everything and keeps the last part of it, for an error.
    pub fn last(from: Option<impl Read + Send + 'static>) -> Heard {
        Heard::by(from, |kept, new| {
            kept.extend_from_slice(new);
            let over = kept.len().saturating_sub(limits::ERROR_TEXT_BYTES);
            kept.drain(..over);
            true
        })
    }

    fn by(
        from: Option<impl Read + Send + 'static>,
        keep: impl Fn(&mut Vec<u8>, &[u8]) -> bool + Send + 'static,
    ) -> Heard {
        let so_far = Arc::new(Mutex::new(vec![]));
        let kept = so_far.clone();
        let thread = std::thread::spawn(move || {
            let Some(mut from) = from else { return };
            let mut buf = [0; 16 << 10];
            while let Ok(n @ 1..) = from.read(&mut buf) {
                if !keep(&mut kept.lock().unwrap_or_else(PoisonError::into_inner), &buf[..n]) {
                    return;
                }
            }
        });
        Heard { so_far, thread }
    }

    /// Whether the pipe has ended.
    pub fn ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// What was heard until now.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.so_far.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.take()).trim().to_string()
    }

    /// Waits a moment for the end of the pipe.
    pub fn settle(&self) {
        let until = Instant::now() + GRACE;
        while !self.ended() && Instant::now() < until {
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

/// How long pipes are heard after the program has ended.
const GRACE: Duration = Duration::from_millis(200);

/// What an exit status means, with what the program said last.
pub fn ended(status: std::process::ExitStatus, said: &str) -> String {
    use std::os::unix::process::ExitStatusExt;
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended".into(),
    };
    if said.is_empty() { how } else { format!("{how}: {said}") }
}
