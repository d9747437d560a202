//! A process of a round: what it may use, and what is known of it when it has ended.

use super::guard;
use anabranch_testkit::trial;
use std::fs::File;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The user that rounds run as where we are root.
const NOBODY: u32 = 65_534;
/// What a process is given in `PATH`.
const PROGRAMS: [&str; 5] = ["cat", "true", "false", "echo", "mkdir"];

/// What processes of rounds share.
pub struct Machine {
    programs: tempfile::TempDir,
    /// Another user can start this program, so that rounds cannot write where it matters.
    as_nobody: bool,
    /// How long a process may take.
    pub longest: Duration,
    /// The most memory that it may have, in KiB.
    pub memory: u64,
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    /// Its status; `None` if a signal ended it.
    pub exit: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Standard output.
    pub out: Vec<u8>,
    /// Standard error.
    pub err: String,
    /// The most memory that it had, in KiB.
    pub peak: u64,
    /// It was killed since it did not come to an end.
    pub late: bool,
}

impl Machine {
    /// What is here.
    pub fn new(longest: Duration, memory: u64) -> Result<Machine, String> {
        let programs = tempfile::tempdir().map_err(|e| e.to_string())?;
        for name in PROGRAMS {
            let found = ["/bin", "/usr/bin"].iter().map(|d| Path::new(d).join(name)).find(|p| p.exists());
            let found = found.ok_or_else(|| format!("there is no program {name}"))?;
            symlink(found, programs.path().join(name)).map_err(|e| e.to_string())?;
        }
        let root = programs.path().metadata().is_ok_and(|m| m.uid() == 0);
        let mut machine = Machine { programs, as_nobody: root, longest, memory };
        machine.give(machine.programs.path()).map_err(|e| e.to_string())?;
        let tried =
            root && machine.command(machine.programs.path(), &["--version"]).status().is_ok_and(|s| s.success());
        machine.as_nobody = tried;
        Ok(machine)
    }

    /// Gives a file or folder to the user of the rounds.
    pub fn give(&self, path: &Path) -> std::io::Result<()> {
        match self.as_nobody {
            true => std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)),
            false => Ok(()),
        }
    }

    fn command(&self, folder: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap_or_default());
        command.arg(guard::CHILD).args(args).current_dir(folder).env_clear();
        command.env("PATH", self.programs.path()).env("TMPDIR", folder).env("HOME", folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if self.as_nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    /// Runs the command line in the folder of a round; `beside` is a folder for what it says.
    pub fn run(&self, folder: &Path, beside: &Path, args: &[&str], input: Option<&Path>) -> std::io::Result<Ended> {
        let (out, err): (PathBuf, PathBuf) = (beside.join("out"), beside.join("err"));
        let mut command = self.command(folder, args);
        command.stdout(File::create(&out)?).stderr(File::create(&err)?);
        if let Some(input) = input {
            command.stdin(File::open(input)?);
        }
        let mut child = command.spawn()?;
        let status = format!("/proc/{}/status", child.id());
        let until = Instant::now() + self.longest;
        let (mut peak, mut late) = (0, false);
        while trial::at_work(&mut child) {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let seen = text.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
            peak = peak.max(seen.unwrap_or(0));
            late = Instant::now() > until;
            if late || peak > self.memory {
                let _ = child.kill();
                break;
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
        let status = child.wait()?;
        let err = String::from_utf8_lossy(&std::fs::read(&err)?).into_owned();
        Ok(Ended { exit: status.code(), signal: status.signal(), out: std::fs::read(&out)?, err, peak, late })
    }
}
