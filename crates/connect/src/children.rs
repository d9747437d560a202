//! Child processes in groups of their own, ended with us.

use crate::notes::{Keeper, MARK, Note};
use crate::processes::{spawn, ticks, wait};
use anabranch_engine::Error;
use anabranch_run::world::Failure;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;

/// A command in the flow's folder, in a process group of its own, with pipes. It has no hook between fork and exec, so
/// that a child costs the same however large this process is.
pub fn command(folder: &Path, args: &[String], env: &[(String, String)], keeper: &Keeper) -> Option<Command> {
    let (program, rest) = args.split_first()?;
    // a path is meant from the flow's folder, a bare name is looked up in PATH
    let mut command = match program.contains('/') {
        true => Command::new(std::path::absolute(folder.join(program)).unwrap_or_else(|_| folder.join(program))),
        false => Command::new(look_up(program, folder, env).unwrap_or_else(|| program.into())),
    };
    if !program.contains('/') {
        command.arg0(program);
    }
    command.args(rest).current_dir(folder).process_group(0);
    command.envs(env.iter().map(|(k, v)| (k, v))).env(MARK, &keeper.mark);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Some(command)
}

/// Where a program is. A child that has to look for it itself tries to start it in each folder of PATH.
pub fn look_up(program: &str, folder: &Path, env: &[(String, String)]) -> Option<PathBuf> {
    let own = env.iter().rfind(|(name, _)| name == "PATH").map(|(_, value)| value.into());
    let path: OsString = own.or_else(|| std::env::var_os("PATH"))?;
    let may = |p: &PathBuf| p.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    let found = std::env::split_paths(&path).map(|dir| folder.join(dir).join(program)).find(may)?;
    std::path::absolute(found).ok()
}

/// A child whose whole group ends when this is dropped.
pub struct Group {
    child: Child,
    note: Option<Note>,
}

impl Group {
    /// Starts a child, and notes its group.
    pub fn start(command: &mut Command, keeper: &Arc<Keeper>) -> std::io::Result<Group> {
        let from = ticks();
        let child = spawn(command)?;
        let mut group = Group { child, note: None };
        group.note = Some(keeper.note(group.child.id(), from, ticks())?);
        Ok(group)
    }

    /// The child itself, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Its number as the system knows it.
    pub fn pid(&self) -> Option<Pid> {
        Pid::from_raw(self.child.id() as i32)
    }

    /// Whether the child has ended. It is not forgotten yet, so its number cannot become another one's.
    pub fn has_ended(&self) -> bool {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let ended = |pid| waitid(WaitId::Pid(pid), look).map_or(true, |status| status.is_some());
        self.pid().is_none_or(ended)
    }

    /// Ends the child, if it has not ended, and everything that it started; how it ended.
    pub fn end(&mut self) -> std::io::Result<ExitStatus> {
        if self.note.take().is_some()
            && let Some(pid) = self.pid()
        {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        wait(&mut self.child)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// What an exit status means, with what the program said last.
pub fn ended(status: ExitStatus, said: &str) -> String {
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended".into(),
    };
    with(how, said)
}

/// An error with what the program said last.
pub fn with(error: String, said: &str) -> String {
    if said.is_empty() { error } else { format!("{error}: {said}") }
}

/// What is the same for every item: then none is to blame for it.
#[derive(Debug, Clone, Copy)]
pub struct Fixed {
    /// The program.
    pub program: bool,
    /// Its arguments, its variables and the id of the call.
    pub arguments: bool,
}

/// Why a program does not start.
pub fn not_started(program: &str, folder: &Path, fixed: Fixed, e: &std::io::Error) -> Failure {
    const NO_EXEC: i32 = 8;
    const TOO_MANY_FILES: i32 = 24;
    let text = format!("cannot run {program}: {e}");
    let of_arguments = [ErrorKind::ArgumentListTooLong, ErrorKind::InvalidInput];
    let is_there = program.contains('/') && folder.join(program).exists();
    let help = match e.kind() {
        ErrorKind::NotFound if is_there => "the interpreter that its first line names (#!) is not there",
        ErrorKind::NotFound => "a path is meant from the flow's folder, a bare name is looked up in PATH",
        ErrorKind::PermissionDenied => "is it a file that may be executed? (chmod +x)",
        _ if e.raw_os_error() == Some(NO_EXEC) => {
            "it is no program for this machine, and no script that begins with #!"
        }
        ErrorKind::NotADirectory | ErrorKind::IsADirectory => "the path is no file",
        ErrorKind::InvalidFilename => "its name is too long",
        kind if of_arguments.contains(&kind) => "its arguments cannot be passed",
        _ => {
            let help = match e.raw_os_error() {
                Some(TOO_MANY_FILES) => {
                    "more files are open than may be: raise the limit (ulimit -n), or lower `concurrency`"
                }
                _ => "the machine lacks something",
            };
            return Failure::Run(Error::machine(text).help(format!("{help}; run again to continue")));
        }
    };
    match if of_arguments.contains(&e.kind()) { fixed.arguments } else { fixed.program } {
        true => Failure::Run(Error::machine(text).help(format!("{help}; run again to continue"))),
        false => Failure::from(text),
    }
}
