//! Files in memory: sources that are given, and sinks. What is written and not synced is cut when its process dies.

use super::lines::Lines;
use crate::scheduler::Process;
use anabranch_engine::{Error, Kind, Result};
use anabranch_flow::model::{Source, SourceAt};
use anabranch_run::world::{
    Goal, Input, LineReader, Listed, Manifest, Opening, SinkFile, Sinks, Sources, StillHeld, Written,
};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A file that is written.
#[derive(Debug, Clone, Default)]
struct File {
    bytes: Vec<u8>,
    /// So many of them are durable.
    synced: usize,
    /// The process that has it open: one at a time.
    holder: Option<u64>,
}

#[derive(Default)]
struct Inner {
    given: BTreeMap<String, Arc<Vec<u8>>>,
    written: BTreeMap<String, File>,
    opened: u64,
}

/// Files that all processes of a trial see.
#[derive(Clone)]
pub struct MemoryFiles {
    inner: Arc<Mutex<Inner>>,
    process: Process,
}

impl MemoryFiles {
    /// No file.
    pub fn new(process: Process) -> Arc<MemoryFiles> {
        Arc::new(MemoryFiles { inner: Arc::default(), process })
    }

    /// The same files, seen by another process.
    pub fn seen_by(&self, process: &Process) -> Arc<MemoryFiles> {
        Arc::new(MemoryFiles { inner: self.inner.clone(), process: process.clone() })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a file there that is read.
    pub fn give(&self, path: &str, bytes: Vec<u8>) {
        self.inner().given.insert(path.into(), Arc::new(bytes));
    }

    /// A file that is in its place.
    pub fn found(&self, path: &str) -> Option<Vec<u8>> {
        self.inner().written.get(path).map(|file| file.bytes.clone())
    }

    /// What a file holds together with those that later repairs of its batch put beside it: `PATH-RUN`.
    pub fn found_all(&self, path: &str) -> Vec<u8> {
        let inner = self.inner();
        let is = |name: &str| name.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
        let all = inner.written.iter().filter(|(name, _)| is(name) && !name.ends_with(".partial"));
        all.flat_map(|(_, file)| file.bytes.clone()).collect()
    }

    /// What a process that has died had written and not synced is cut, anywhere.
    pub fn cut(&self) {
        for (path, file) in self.inner().written.iter_mut().filter(|(_, file)| file.holder.is_none()) {
            let tail = file.bytes.len() - file.synced.min(file.bytes.len());
            if tail > 0 {
                let keep = file.synced + self.process.below(tail as u64 + 1) as usize;
                self.process.note(format_args!("cut {path} to {keep}"));
                file.bytes.truncate(keep);
            }
        }
    }
}

fn partial(path: &str) -> String {
    format!("{path}.partial")
}

impl Sources for MemoryFiles {
    fn survey(&self, source: &Source, _: &[Written]) -> Result<Manifest> {
        let SourceAt::Files(pattern) = &source.from else { return Ok(Manifest::default()) };
        self.process.call(format_args!("survey {pattern}"))?;
        let inner = self.inner();
        let bytes = inner.given.get(pattern.as_str());
        let bytes = bytes.ok_or_else(|| Error::usage(format!("there is no file {pattern}")))?;
        let hash = bytes.iter().fold(0u64, |hash, b| hash.wrapping_mul(31).wrapping_add(u64::from(*b)));
        let listed = Listed { path: pattern.clone(), length: bytes.len() as u64, hash, ..Listed::default() };
        Ok(Manifest { files: vec![listed], ..Manifest::default() })
    }

    fn lines(&self, manifest: &Manifest) -> Result<Arc<dyn LineReader>> {
        let inner = self.inner();
        let file = |listed: &Listed| {
            let bytes = inner.given.get(&listed.path);
            let same = bytes.filter(|bytes| bytes.len() as u64 == listed.length);
            let gone = || Error::new(Kind::Lost, format!("{} is not what it was", listed.path));
            Ok((listed.path.clone(), same.ok_or_else(gone)?.clone()))
        };
        Ok(Arc::new(Lines { files: manifest.files.iter().map(file).collect::<Result<_>>()? }))
    }

    fn input(&self) -> Input {
        Input::Nothing
    }

    fn redirected(&self) -> Option<(u64, u64)> {
        None
    }

    fn stdin(&self) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(std::io::empty()))
    }
}

impl Sinks for MemoryFiles {
    fn open(&self, file: Opening<'_>, held: StillHeld<'_>) -> Result<Box<dyn SinkFile>> {
        let Opening { path, replace, run, resume } = file;
        let name = if replace { partial(path) } else { path.to_string() };
        self.process.call(format_args!("open {name} {run} {resume:?}"))?;
        let mut inner = self.inner();
        inner.opened += 1;
        let no = inner.opened;
        let file = inner.written.entry(name.clone()).or_default();
        if file.holder.is_some() {
            return Err(Error::machine(format!("another process writes {name}")));
        }
        let length = resume.unwrap_or(file.bytes.len() as u64) as usize;
        if file.bytes.len() < length {
            let text = format!("{name} has {} bytes, {length} of them were committed", file.bytes.len());
            return Err(Error::machine(text));
        }
        file.holder = Some(no);
        drop(inner);
        let open = Writing { files: self.clone(), name, no };
        held()?;
        let mut inner = self.inner();
        let file = open.file(&mut inner)?;
        file.bytes.truncate(length);
        file.synced = length;
        drop(inner);
        Ok(Box::new(open))
    }

    fn stdout(&self) -> Result<Box<dyn SinkFile>> {
        let file = Opening { path: "stdout", replace: false, run: 0, resume: None };
        self.open(file, &mut || Ok(()))
    }

    fn redirected(&self) -> Option<(u64, u64)> {
        None
    }

    fn goal(&self, path: &str, _: bool) -> Result<Goal> {
        Ok(Goal::File(PathBuf::from(path), None))
    }

    fn publish(&self, path: &str, length: u64) -> Result<()> {
        self.process.call(format_args!("publish {path} {length}"))?;
        let mut inner = self.inner();
        let is_there = inner.written.get(path).is_some_and(|there| there.bytes.len() as u64 == length);
        let Some(file) = inner.written.get(&partial(path)) else {
            let gone = || Error::machine(format!("{} is gone", partial(path)));
            return if is_there { Ok(()) } else { Err(gone()) };
        };
        if (file.bytes.len() as u64) < length && is_there {
            if file.bytes.is_empty() && file.holder.is_none() {
                inner.written.remove(&partial(path));
            }
            return Ok(());
        }
        if file.holder.is_some() || file.bytes.len() as u64 != length {
            let (has, held) = (file.bytes.len(), file.holder);
            let text = format!("{} has {has} bytes, {length} were committed; open as {held:?}", partial(path));
            return Err(Error::new(Kind::Doubt, text));
        }
        if let Some(file) = inner.written.remove(&partial(path)) {
            inner.written.insert(path.into(), file);
        }
        Ok(())
    }

    fn discard(&self, path: &str) -> Result<()> {
        self.process.call(format_args!("discard {path}"))?;
        self.inner().written.remove(&partial(path));
        Ok(())
    }

    fn put_aside(&self, path: &str, to: &str) -> Result<()> {
        self.process.call(format_args!("put aside {path} {to}"))?;
        let mut inner = self.inner();
        if let Some(file) = inner.written.remove(&partial(path)) {
            inner.written.insert(partial(to), file);
        }
        Ok(())
    }

    fn length(&self, path: &str) -> Option<u64> {
        self.inner().written.get(path).map(|file| file.bytes.len() as u64)
    }

    fn copy(&self, path: &str, length: u64, to: &mut dyn SinkFile) -> Result<()> {
        let bytes = self.inner().written.get(path).map(|file| file.bytes.clone()).unwrap_or_default();
        let cut = || Error::machine(format!("{path} was cut while it was read"));
        to.write(bytes.get(..length as usize).ok_or_else(cut)?)
    }

    fn exists(&self, path: &str) -> bool {
        self.inner().written.contains_key(path)
    }
}

/// A file that is open.
struct Writing {
    files: MemoryFiles,
    name: String,
    no: u64,
}

impl Writing {
    /// The file that was opened, whatever its name is now.
    fn file<'i>(&self, inner: &'i mut Inner) -> Result<&'i mut File> {
        let file = inner.written.values_mut().find(|file| file.holder == Some(self.no));
        file.ok_or_else(|| Error::machine(format!("{} is gone, or another process writes it", self.name)))
    }
}

impl SinkFile for Writing {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.files.process.call(format_args!("write {} {}", self.name, bytes.len()))?;
        self.file(&mut self.files.inner())?.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> Result<u64> {
        self.files.process.call(format_args!("sync {}", self.name))?;
        let mut inner = self.files.inner();
        let file = self.file(&mut inner)?;
        file.synced = file.bytes.len();
        Ok(file.synced as u64)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut inner = self.files.inner();
        if let Ok(file) = self.file(&mut inner) {
            file.holder = None;
        }
    }
}
