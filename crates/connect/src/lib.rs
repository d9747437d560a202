//! Actions, sources and sinks: where a flow touches the world outside its engine.
//!
//! Everything here is called by the runner, never by a pattern.

mod children;
mod code;
mod exec;
mod files;
mod lines;
mod pipe;
mod sink;

use anabranch_engine::{Error, Result};
use anabranch_flow::model::{Act, ActionSpec, From, Source};
use anabranch_flow::run::io::{LineReader, Manifest, Reply, Seat, Session, SinkFile, World};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{SystemTime, UNIX_EPOCH};

/// The operating system, seen from the folder of a flow.
pub struct Local {
    folder: PathBuf,
}

impl Local {
    /// All relative paths, and the working folder of programs, are `folder`.
    pub fn new(folder: &Path) -> Local {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        Local { folder: folder.to_path_buf() }
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
            ActionSpec::Exec(_) => Box::new(exec::Exec::start(&self.folder, act, &replies)?),
            ActionSpec::Pipe(command) => Box::new(pipe::Pipe::start(&self.folder, act, command, &seat, &replies)?),
            ActionSpec::Code(code) => Box::new(code::Code::start(act, code, &replies)?),
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
