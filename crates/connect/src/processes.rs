//! Processes of this machine, and which of them somebody here waits for.

use rustix::process::Pid;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, PoisonError};

/// Children whose end somebody here waits for; kept only by the first process of a container, whom orphans fall to.
static OURS: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// Whether orphans fall to this process.
pub fn is_first() -> bool {
    std::process::id() == 1
}

/// Starts a child that somebody here waits for.
pub fn spawn(command: &mut Command) -> std::io::Result<Child> {
    if !is_first() {
        return command.spawn();
    }
    let mut ours = OURS.lock().unwrap_or_else(PoisonError::into_inner);
    let child = command.spawn()?;
    ours.insert(child.id());
    Ok(child)
}

/// Waits for a child.
pub fn wait(child: &mut Child) -> std::io::Result<ExitStatus> {
    let status = child.wait();
    if is_first() {
        OURS.lock().unwrap_or_else(PoisonError::into_inner).remove(&child.id());
    }
    status
}

/// Takes the last word of orphans that have ended, which fall to the first process of a container.
pub fn reap_orphans() {
    let ours = OURS.lock().unwrap_or_else(PoisonError::into_inner);
    for process in processes().filter(|p| p.ended && p.parent == 1 && !ours.contains(&p.id)) {
        if let Some(pid) = Pid::from_raw(process.id as i32) {
            let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG);
        }
    }
}

/// Now, as the system notes when processes start: hundredths of a second since the machine did.
pub fn ticks() -> u64 {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let now = rustix::time::clock_gettime(clock);
    now.tv_sec as u64 * 100 + now.tv_nsec as u64 / 10_000_000
}

/// A process as the system shows it.
pub struct Process {
    /// Its number.
    pub id: u32,
    /// That of its parent.
    pub parent: u32,
    /// Its group.
    pub group: u32,
    /// Its session.
    pub session: u32,
    /// When it started.
    pub started: u64,
    /// It has ended, and nobody took its last word yet.
    pub ended: bool,
}

impl Process {
    /// What `/proc` says of one, if it lives.
    pub fn read(folder: &Path) -> Option<Process> {
        let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
        let (head, tail) = stat.rsplit_once(')')?;
        let id = head.split(' ').next()?.parse().ok()?;
        let fields: Vec<&str> = tail.split_whitespace().collect();
        let number = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok());
        let ended = matches!(*fields.first()?, "Z" | "X");
        let [parent, group, session] = [number(1)?, number(2)?, number(3)?].map(|n| n as u32);
        Some(Process { id, parent, group, session, started: number(19)?, ended })
    }

    /// Whether it was started with a variable.
    pub fn has(&self, variable: &str) -> bool {
        let all = std::fs::read(format!("/proc/{}/environ", self.id)).unwrap_or_default();
        all.split(|b| *b == 0).any(|v| v == variable.as_bytes())
    }
}

/// All processes.
pub fn processes() -> impl Iterator<Item = Process> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_process = |name: &OsStr| name.as_encoded_bytes().iter().all(u8::is_ascii_digit);
    all.filter(move |entry| is_process(&entry.file_name())).filter_map(|entry| Process::read(&entry.path()))
}
