//! Child processes in groups of their own, ended with us.

use anabranch_engine::limits;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

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

/// Reads everything and keeps the last part of it.
pub fn last_words(mut from: impl Read) -> String {
    let mut kept: Vec<u8> = vec![];
    let mut buf = [0; 8192];
    while let Ok(n) = from.read(&mut buf) {
        if n == 0 {
            break;
        }
        kept.extend_from_slice(&buf[..n]);
        let over = kept.len().saturating_sub(limits::ERROR_TEXT_BYTES);
        kept.drain(..over);
    }
    String::from_utf8_lossy(&kept).trim().to_string()
}

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
