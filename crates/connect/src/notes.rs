//! The process groups that were started and have not ended, noted where others find them: a guard, which ends them when
//! this process is killed, and the next run.

use crate::processes::{self, Process, processes, ticks};
use anabranch_engine::{Error, Result};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of a line of the notes, which all have the same length, so that one is written in place.
const WIDTH: usize = 96;
/// The folder of the notes in a data directory.
const FOLDER: &str = "children";
/// How long the groups of a run that was killed are waited for.
const GONE: Duration = Duration::from_secs(5);
/// How often the first process of a container looks for orphans.
const REAP: Duration = Duration::from_secs(1);

/// The variable by which a process is known that was started and not noted yet.
pub const MARK: &str = "ANABRANCH_CALLS";

/// Waits until its input ends, which it does when we do and all that we started have become what they shall be. Then it
/// ends the groups that are noted, and those of our session that carry our mark.
const GUARD: &str = r#"trap '' HUP INT TERM
while read -r x; do :; done
while read -r group x; do
  case $group in [1-9]*) kill -s KILL -- "-$group" ;; esac
done < "$1"
for p in $(grep -sl "$3" /proc/[0-9]*/environ); do
  read -r x < "${p%environ}stat" && set -- "$1" "$2" "$3" "$4" ${x##*) } && [ "$8" = "$4" ] && kill -s KILL -- "-$7"
done
rm -rf -- "$2""#;

/// Keeps the notes of this process.
pub struct Keeper {
    file: File,
    path: PathBuf,
    slots: Mutex<Slots>,
    guard: Option<(Child, Option<ChildStdin>)>,
    reaper: Option<Sender<()>>,
    /// What [`MARK`] is in all that this process starts.
    pub mark: String,
    /// Where calls put their items; nobody else's business, so only we may enter.
    pub items: tempfile::TempDir,
}

#[derive(Default)]
struct Slots {
    free: Vec<u64>,
    used: u64,
}

/// A group that is noted until this is dropped.
pub struct Note {
    keeper: Arc<Keeper>,
    slot: u64,
}

impl Keeper {
    /// Begins notes in a data directory, or beside the items where there is none.
    pub fn open(data: Option<&Path>) -> Result<Arc<Keeper>> {
        let failed = |what: &str| {
            let what = format!("cannot {what}");
            move |e: std::io::Error| Error::machine(format!("{what}: {e}")).help("run again to continue")
        };
        let items = tempfile::Builder::new().prefix("anabranch-").tempdir();
        let items = items.map_err(failed("make a folder for the items of actions"))?;
        let folder = data.unwrap_or(items.path()).join(FOLDER);
        let note = failed(&format!("note the processes of actions in {}", folder.display()));
        let (mark, session) = (format!("{}-{}", std::process::id(), ticks()), session());
        let begin = || -> std::io::Result<(File, PathBuf)> {
            std::fs::create_dir_all(&folder)?;
            let folder = folder.canonicalize()?; // the guard has another working folder
            // it has its name when it is locked: one that is not locked is that of a process that is gone
            let new = tempfile::Builder::new().prefix("new-").tempfile_in(&folder)?;
            new.as_file().lock()?;
            new.as_file().write_all_at(&line(&format!("here {} {session} {mark}", here())), 0)?;
            let path = folder.join(format!("run-{mark}"));
            let file = new.persist(&path).map_err(|e| e.error)?;
            Ok((file, path))
        };
        let (file, path) = begin().map_err(note)?;
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD, "anabranch"]).arg(&path).arg(items.path());
        guard.args([format!("{MARK}={mark}"), session.to_string()]).current_dir("/").process_group(0);
        guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // where there is no shell, the next run ends what a kill leaves behind
        let guard = processes::spawn(&mut guard).ok().map(|mut g| {
            let hold = g.stdin.take();
            (g, hold)
        });
        let reaper = processes::is_first().then(reaper).transpose().map_err(failed("start a thread"))?;
        Ok(Arc::new(Keeper { file, path, slots: Mutex::default(), guard, reaper, mark, items }))
    }

    /// Notes a group that was started between two moments.
    pub fn note(self: &Arc<Keeper>, group: u32, from: u64, to: u64) -> std::io::Result<Note> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.free.pop().unwrap_or_else(|| {
            slots.used += 1;
            slots.used
        });
        drop(slots);
        let note = Note { keeper: self.clone(), slot };
        note.write(&format!("{group} {from} {to}"))?;
        Ok(note)
    }
}

impl Note {
    fn write(&self, text: &str) -> std::io::Result<()> {
        self.keeper.file.write_all_at(&line(text), self.slot * WIDTH as u64)
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        let _ = self.write("");
        self.keeper.slots.lock().unwrap_or_else(PoisonError::into_inner).free.push(self.slot);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.reaper = None;
        if let Some((mut guard, _hold)) = self.guard.take() {
            let _ = guard.kill();
            let _ = processes::wait(&mut guard);
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

fn line(text: &str) -> [u8; WIDTH] {
    let mut line = [b' '; WIDTH];
    line[..text.len().min(WIDTH - 1)].copy_from_slice(&text.as_bytes()[..text.len().min(WIDTH - 1)]);
    line[WIDTH - 1] = b'\n';
    line
}

/// Takes the last word of orphans until the sender is gone.
fn reaper() -> std::io::Result<Sender<()>> {
    let (sender, end) = channel();
    std::thread::Builder::new().name("reaper".into()).spawn(move || {
        while let Err(RecvTimeoutError::Timeout) = end.recv_timeout(REAP) {
            processes::reap_orphans();
        }
    })?;
    Ok(sender)
}

/// Ends the groups of processes that are gone and left some behind: a run that was killed.
pub fn end_left_behind(data: &Path) -> Result<()> {
    let Ok(files) = std::fs::read_dir(data.join(FOLDER)) else { return Ok(()) };
    for path in files.flatten().map(|f| f.path()) {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let Ok(file) = File::open(&path) else { continue };
        if !name.starts_with("run-") || file.try_lock().is_err() {
            continue; // that process lives
        }
        let notes = std::fs::read_to_string(&path).unwrap_or_default();
        let until = Instant::now() + GONE;
        loop {
            let left = left_behind(&notes, processes());
            if left.is_empty() {
                break;
            }
            left.iter().filter_map(|g| rustix::process::Pid::from_raw(*g as i32)).for_each(|group| {
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            });
            if Instant::now() >= until {
                return Err(Error::machine(format!("processes of a run that was killed do not end: groups {left:?}"))
                    .help("end them, and run again"));
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        let _ = std::fs::remove_file(&path);
    }
    Ok(())
}

/// The groups of some notes that still live. A number may have become another one's: then its first process was
/// started at another time.
fn left_behind(notes: &str, processes: impl Iterator<Item = Process>) -> Vec<u32> {
    let mut lines = notes.lines();
    let first: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    let ["here", boot, space, session, mark] = first[..] else { return vec![] };
    if format!("{boot} {space}") != here() {
        return vec![]; // of another start of the machine, or another container
    }
    let mut noted = vec![];
    for line in lines {
        let mut numbers = line.split_whitespace().map(|n| n.parse::<u64>().ok());
        if let (Some(Some(group)), Some(Some(from)), Some(Some(to))) = (numbers.next(), numbers.next(), numbers.next())
        {
            noted.push((group as u32, from.saturating_sub(1), to + 1));
        }
    }
    let living: Vec<Process> = processes.filter(|p| !p.ended).collect();
    let lives = |(group, from, to): &(u32, u64, u64)| {
        let first_is_ours = living.iter().find(|p| p.id == *group).is_none_or(|p| (*from..=*to).contains(&p.started));
        first_is_ours && living.iter().any(|p| p.group == *group && p.started >= *from)
    };
    let mark = format!("{MARK}={mark}");
    let marked = living.iter().filter(|p| p.session.to_string() == session && p.has(&mark)).map(|p| p.group);
    let mut groups: Vec<u32> = noted.into_iter().filter(lives).map(|(group, ..)| group).chain(marked).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// The session of this process: who left it wanted to stay.
fn session() -> u32 {
    Process::read(Path::new("/proc/self")).map_or(0, |p| p.session)
}

/// Which start of which machine, and which container: elsewhere the numbers of processes mean others.
fn here() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{} {}", boot.trim(), space.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_became_another_ones_is_left_alone() {
        let process = |id, group, started| Process { id, parent: 1, group, session: 1, started, ended: false };
        let notes = |group: u32| format!("here {} 1 mark\n{group} 1000 1001\n  \n", here());
        let left = |group, processes: Vec<Process>| left_behind(&notes(group), processes.into_iter());
        assert_eq!(left(70, vec![process(70, 70, 1001)]), [70], "the child itself");
        assert_eq!(left(70, vec![process(71, 70, 5000)]), [70], "what it started, when it has ended itself");
        assert_eq!(
            left(70, vec![process(70, 70, 9000), process(71, 70, 9001)]),
            [0; 0],
            "another group of that number"
        );
        assert_eq!(left(70, vec![process(71, 71, 1001)]), [0; 0], "another group");
        let elsewhere = "here other pid 1 mark\n70 1000 1001\n";
        assert!(left_behind(elsewhere, [process(70, 70, 1001)].into_iter()).is_empty(), "another machine");
    }
}
