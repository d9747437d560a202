//! Actions, sources and sinks: where a flow touches the world outside its engine.
//!
//! Everything here is called by the runner, never by a pattern.

mod bell;
mod by_id;
mod children;
mod code;
mod exec;
mod files;
mod in_order;
mod lines;
mod notes;
mod pipe;
mod queue;
mod sink;
mod talk;

use anabranch_engine::{Error, Result};
use anabranch_flow::model::{Act, ActionSpec, From, Source};
use anabranch_flow::run::io::{LineReader, Manifest, Reply, Seat, Session, SinkFile, World};
use notes::Keeper;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The operating system, seen from the folder of a flow.
pub struct Local {
    folder: PathBuf,
    data: Option<PathBuf>,
    keeper: Mutex<Option<Arc<Keeper>>>,
}

impl Local {
    /// All relative paths, and the working folder of programs, are `folder`.
    pub fn new(folder: &Path) -> Local {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        Local { folder: folder.to_path_buf(), data: None, keeper: Mutex::default() }
    }

    /// The processes of actions are noted in the data directory `data`, and those that a run before this one left there,
    /// because it was killed, are ended.
    pub fn noting(self, data: &Path) -> Result<Local> {
        notes::end_left_behind(data)?;
        Ok(Local { data: Some(data.to_path_buf()), ..self })
    }

    /// Notes the processes of all actions.
    fn keeper(&self) -> Result<Arc<Keeper>> {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        match &*keeper {
            Some(keeper) => Ok(keeper.clone()),
            None => Ok(keeper.insert(Keeper::open(self.data.as_deref())?).clone()),
        }
    }
}

impl World for Local {
    fn survey(&self, source: &Source) -> Result<Manifest> {
        match &source.from {
            From::Files(pattern) => files::survey(&self.folder, pattern),
            From::Stdin | From::Items(_) => Ok(Manifest::default()),
        }
    }

    fn lines(&self, manifest: &Manifest) -> Result<Arc<dyn LineReader>> {
        Ok(Arc::new(lines::Files::open(&self.folder, manifest)?))
    }

    fn stdin(&self) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(std::io::stdin()))
    }

    fn sink(&self, path: &str, replace: bool, run: u64, resume: Option<u64>) -> Result<Box<dyn SinkFile>> {
        Ok(Box::new(sink::FileSink::open(&self.folder.join(path), replace, run, resume)?))
    }

    fn stdout(&self) -> Result<Box<dyn SinkFile>> {
        Ok(Box::new(sink::Stdout::default()))
    }

    fn pause(&self) {
        use std::hash::{BuildHasher, Hasher};
        let random = std::hash::RandomState::new().build_hasher().finish();
        std::thread::park_timeout(std::time::Duration::from_millis(20 + random % 230));
    }

    fn is_folder(&self, path: &str) -> bool {
        self.folder.join(path).is_dir()
    }

    fn publish(&self, path: &str, length: u64) -> Result<()> {
        sink::publish(&self.folder.join(path), length)
    }

    fn discard(&self, path: &str) -> Result<()> {
        sink::discard(&self.folder.join(path))
    }

    fn exists(&self, path: &str) -> bool {
        self.folder.join(path).exists()
    }

    fn action(&self, act: &Act, seat: Seat, replies: Sender<Reply>) -> Result<Box<dyn Session>> {
        Ok(match &act.action {
            ActionSpec::Exec(command) => {
                Box::new(exec::Exec::start(&self.folder, self.keeper()?, act, command, &replies)?)
            }
            ActionSpec::Pipe(_) => Box::new(pipe::Pipe::start(&self.folder, self.keeper()?, act, seat, &replies)),
            ActionSpec::Code(code) => Box::new(code::start(act, code, &replies)),
        })
    }

    fn now(&self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
    }
}

/// An error of the operating system that names the path.
fn failed(what: &str, path: &Path, e: &std::io::Error) -> Error {
    let error = Error::machine(format!("{what} {}: {e}", path.display()));
    match e.kind() {
        std::io::ErrorKind::StorageFull => {
            error.help("free some space on that disk and run again: what was committed stays")
        }
        _ => error,
    }
}
