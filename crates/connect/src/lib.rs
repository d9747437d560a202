//! Actions, sources and sinks: where a flow touches the world outside its engine.
//!
//! Everything here is called by the runner, never by a pattern.

mod bell;
mod by_id;
mod children;
mod code;
mod desk;
mod exec;
mod files;
mod goal;
mod in_order;
mod lines;
mod notes;
mod pipe;
mod processes;
mod program;
mod queue;
mod sink;
mod talk;
mod through;
mod walk;

use anabranch_engine::{Error, Result};
use anabranch_flow::call::Call;
use anabranch_flow::model::{Act, ActionSpec, Source, SourceAt};
use anabranch_run::world::{
    Actions, Clock, Failure, Goal, Input, LineReader, Manifest, Moment, Opening, Outcome, Replies, Seat, Session,
    SinkFile, Sinks, Sources, StillHeld, Written,
};
use notes::Keeper;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use through::Stop;

/// The operating system, seen from the folder of a flow.
pub struct Local {
    folder: PathBuf,
    /// The data directory, or what is in it where it is the folder of the flow or one above.
    data: Vec<PathBuf>,
    stop: Stop,
    /// Where processes of actions are noted.
    notes: Option<PathBuf>,
    keeper: Mutex<Option<Arc<Keeper>>>,
}

impl Local {
    /// All relative paths, and the working folder of programs, are `folder`.
    pub fn new(folder: &Path) -> Local {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        Local {
            folder: folder.to_path_buf(),
            data: vec![],
            stop: Stop::default(),
            notes: None,
            keeper: Mutex::default(),
        }
    }

    /// The data directory: nothing in it is a source or a sink.
    pub fn with_data(self, data: &Path) -> Local {
        const INSIDE: [&str; 6] = ["seg", "flow", "bell", "index.db", "index.db-wal", "index.db-shm"];
        let holds_the_flow =
            matches!((self.folder.canonicalize(), data.canonicalize()), (Ok(f), Ok(d)) if f.starts_with(&d));
        let data = match holds_the_flow {
            true => INSIDE.iter().map(|name| data.join(name)).collect(),
            false => vec![data.to_path_buf()],
        };
        Local { data, ..self }
    }

    /// Who waits for something outside gives up once this is set.
    pub fn until(self, stop: Arc<AtomicBool>) -> Local {
        Local { stop, ..self }
    }

    /// The processes of actions are noted in the data directory `data`, and those that a run before this one left there,
    /// because it was killed, are ended.
    ///
    /// # Errors
    ///
    /// The notes of an earlier run cannot be read, or what it left behind does not end.
    pub fn noting(self, data: &Path) -> Result<Local> {
        notes::end_left_behind(data)?;
        Ok(Local { notes: Some(data.to_path_buf()), ..self })
    }

    /// Notes the processes of all actions.
    fn keeper(&self) -> Result<Arc<Keeper>> {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        match &*keeper {
            Some(keeper) => Ok(keeper.clone()),
            None => Ok(keeper.insert(Keeper::open(self.notes.as_deref())?).clone()),
        }
    }
}

impl Sources for Local {
    fn survey(&self, source: &Source, written: &[Written]) -> Result<Manifest> {
        match &source.from {
            SourceAt::Files(pattern) => files::survey(&self.folder, pattern, &self.data, written),
            SourceAt::Stdin | SourceAt::Items(_) => Ok(Manifest::default()),
        }
    }

    fn lines(&self, manifest: &Manifest) -> Result<Arc<dyn LineReader>> {
        Ok(Arc::new(lines::Files::open(&self.folder, manifest)?))
    }

    fn input(&self) -> Input {
        through::input(std::io::stdin().as_fd())
    }

    fn redirected(&self) -> Option<(u64, u64)> {
        through::file(std::io::stdin().as_fd())
    }

    fn stdin(&self) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(std::io::stdin()))
    }
}

impl Sinks for Local {
    fn open(&self, file: Opening<'_>, held: StillHeld<'_>) -> Result<Box<dyn SinkFile>> {
        sink::open(&self.folder.join(file.path), file, held, &self.stop)
    }

    fn stdout(&self) -> Result<Box<dyn SinkFile>> {
        Ok(Box::new(through::Stdout::new(&self.stop)))
    }

    fn redirected(&self) -> Option<(u64, u64)> {
        through::file(std::io::stdout().as_fd())
    }

    fn goal(&self, path: &str, replace: bool) -> Result<Goal> {
        let goal = goal::goal(&self.folder.join(path), replace)?;
        let ours = |file: &Path| self.data.iter().filter_map(|d| goal::lead(d).ok()).any(|d| file.starts_with(d));
        match &goal {
            Goal::File(file, _) if ours(file) => Err(Error::usage(format!("the sink {path} is in the data directory"))
                .help("what is kept there would be damaged: name a file elsewhere")),
            _ => Ok(goal),
        }
    }

    fn publish(&self, path: &str, length: u64) -> Result<()> {
        sink::publish(&self.folder.join(path), length)
    }

    fn discard(&self, path: &str) -> Result<()> {
        sink::discard(&self.folder.join(path))
    }

    fn put_aside(&self, path: &str, to: &str) -> Result<()> {
        sink::put_aside(&self.folder.join(path), &self.folder.join(to))
    }

    fn exists(&self, path: &str) -> bool {
        self.folder.join(path).exists()
    }

    fn length(&self, path: &str) -> Option<u64> {
        sink::length(&self.folder.join(path))
    }

    fn copy(&self, path: &str, length: u64, to: &mut dyn SinkFile) -> Result<()> {
        sink::copy(&self.folder.join(path), length, to)
    }
}

impl Actions for Local {
    fn program(&self, path: &str, starts: bool) -> Option<String> {
        program::missing(&self.folder, path, starts)
    }

    fn hash(&self, program: &str) -> Option<u64> {
        program::hash(&self.folder, program)
    }

    fn once(&self, call: &Call, timeout: Duration) -> Outcome {
        exec::once(&self.folder, self.keeper().map_err(Failure::Run)?, call, timeout)
    }

    fn begin(&self, act: &Act, seat: Seat, replies: Replies) -> Result<Box<dyn Session>> {
        Ok(match &act.action {
            ActionSpec::Exec(command) => {
                Box::new(exec::Exec::start(&self.folder, self.keeper()?, act, command, &replies)?)
            }
            ActionSpec::Pipe(_) => Box::new(pipe::Pipe::start(&self.folder, self.keeper()?, act, seat, &replies)),
            ActionSpec::Code(code) => Box::new(code::start(act, code, &replies)),
        })
    }
}

impl Clock for Local {
    fn now(&self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
    }

    fn moment(&self) -> Moment {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        BEGAN.elapsed()
    }

    fn pause(&self) {
        use std::hash::{BuildHasher, Hasher};
        let random = std::hash::RandomState::new().build_hasher().finish();
        std::thread::park_timeout(std::time::Duration::from_millis(20 + random % 230));
    }
}

/// An error of the operating system that names the path.
fn failed(what: &str, path: &Path, e: &std::io::Error) -> Error {
    let error = Error::machine(format!("{what} {}: {e}", path.display()));
    let full = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE].map(|e| Some(e.raw_os_error()));
    match e.kind() {
        std::io::ErrorKind::StorageFull => {
            error.help("free some space on that disk and run again: what was committed stays")
        }
        _ if full.contains(&e.raw_os_error()) => {
            error.help("this process may not open more files: raise that limit with  ulimit -n , and run again")
        }
        _ => error,
    }
}

/// The same where nothing was touched yet: what is named wrongly is a mistake in the flow, what the machine lacks is none.
fn refused(what: &str, path: &Path, e: &std::io::Error) -> Error {
    use rustix::io::Errno;
    let lacks = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::IO, Errno::NOSPC].map(|e| Some(e.raw_os_error()));
    let error = failed(what, path, e);
    if lacks.contains(&e.raw_os_error()) { error } else { Error { kind: anabranch_engine::Kind::Usage, ..error } }
}
