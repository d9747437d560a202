//! Replays calls one after the other: files get numbers, and what changes them becomes operations.
//! A call that could change something and is not known here is an error, never skipped.

use crate::Fallible;
use crate::call::Call;
use crate::note::Note;
use crate::ops::{Entry, FileNo, History, Op, ROOT};
use std::collections::HashMap;

struct Open {
    file: Option<FileNo>,
    at: u64,
}

/// The files as they are while the calls go by.
pub struct Replay {
    root: String,
    notes: String,
    names: HashMap<String, FileNo>,
    open: HashMap<i64, Open>,
    sizes: Vec<u64>,
    /// What happened so far.
    pub history: History,
}

impl Replay {
    /// Nothing happened yet. Calls below `root` are replayed; what is written to `notes` are notes.
    pub fn new(root: &str, notes: &str) -> Replay {
        let entries = vec![Entry { folder: true, name: root.into() }];
        Replay {
            root: root.into(),
            notes: notes.into(),
            names: HashMap::from([(root.into(), ROOT)]),
            open: HashMap::new(),
            sizes: vec![0],
            history: History { ops: vec![], entries },
        }
    }

    /// Whether the call writes a note.
    pub fn is_note(&self, call: &Call<'_>) -> bool {
        call.name == "write" && call.file(0).is_some_and(|(_, path)| path == self.notes)
    }

    /// Takes in a note.
    pub fn note(&mut self, call: &Call<'_>) -> Fallible<()> {
        let text = call.path(1).ok_or("a note that is no text")?;
        let note = Note::parse(&text).ok_or_else(|| format!("a note that says {text}"))?;
        self.history.ops.push(Op::Said(note));
        Ok(())
    }

    fn inside(&self, path: &str) -> bool {
        path.strip_prefix(&self.root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Takes in a call that returned. A sync covers the operations before number `before`.
    pub fn take(&mut self, call: &Call<'_>, before: usize) -> Fallible<()> {
        if self.is_note(call) {
            return self.note(call);
        }
        let path = |i| call.path(i).ok_or("a path that cannot be read");
        match call.name {
            "open" | "creat" => self.opened(call, &path(0)?, call.args.get(1).copied().unwrap_or_default()),
            "openat" => self.opened(call, &path(1)?, call.args.get(2).copied().unwrap_or_default()),
            _ if call.ret.is_none() && matches!(call.name, "fsync" | "fdatasync") => Err("a sync that failed".into()),
            _ if call.ret.is_none() => Ok(()),
            "mkdir" => self.made(&path(0)?),
            "mkdirat" => self.made(&path(1)?),
            "unlink" | "rmdir" => self.removed(&path(0)?),
            "unlinkat" => self.removed(&path(1)?),
            "rename" => self.renamed(&path(0)?, &path(1)?),
            "renameat" | "renameat2" => self.renamed(&path(1)?, &path(3)?),
            "mmap" => self.mapped(call),
            _ => self.on_file(call, before),
        }
    }

    fn opened(&mut self, call: &Call<'_>, path: &str, flags: &str) -> Fallible<()> {
        let Some(number) = call.ret else { return Ok(()) };
        if !self.inside(path) {
            self.open.remove(&number);
            return if path.starts_with('/') { Ok(()) } else { Err("a path that is relative".into()) };
        }
        if flags.contains("O_APPEND") || flags.contains("O_TMPFILE") || call.name == "creat" {
            return Err("a way to open files that this tool does not know".into());
        }
        let file = match self.names.get(path) {
            _ if shared_memory(path) => None, // rebuilt whenever the index is opened again
            Some(file) => Some(*file),
            None => Some(self.make(path, false)?),
        };
        if let Some(file) = file.filter(|f| flags.contains("O_TRUNC") && self.sizes[*f] > 0) {
            self.sizes[file] = 0;
            self.history.ops.push(Op::Size { file, size: 0 });
        }
        self.open.insert(number, Open { file, at: 0 });
        Ok(())
    }

    fn made(&mut self, path: &str) -> Fallible<()> {
        if self.inside(path) { self.make(path, true).map(|_| ()) } else { Ok(()) }
    }

    fn make(&mut self, path: &str, folder: bool) -> Fallible<FileNo> {
        let (parent, name) = self.split(path)?;
        let file = self.history.entries.len();
        self.history.entries.push(Entry { folder, name: name.clone() });
        self.history.ops.push(Op::Names(vec![(parent, name, Some(file))]));
        self.names.insert(path.into(), file);
        self.sizes.push(0);
        Ok(file)
    }

    fn removed(&mut self, path: &str) -> Fallible<()> {
        if !self.inside(path) || shared_memory(path) {
            return Ok(());
        }
        let (parent, name) = self.split(path)?;
        self.names.remove(path).ok_or("a file is removed that was not made")?;
        self.history.ops.push(Op::Names(vec![(parent, name, None)]));
        Ok(())
    }

    fn renamed(&mut self, from: &str, to: &str) -> Fallible<()> {
        if !self.inside(from) && !self.inside(to) {
            return Ok(());
        }
        let (old, old_name) = self.split(from)?;
        let (new, new_name) = self.split(to)?;
        let file = self.names.remove(from).ok_or("a file is renamed that was not made")?;
        if self.history.entries[file].folder {
            return Err("a folder is renamed, which this tool does not know".into());
        }
        self.names.insert(to.into(), file);
        self.history.ops.push(Op::Names(vec![(old, old_name, None), (new, new_name, Some(file))]));
        Ok(())
    }

    fn split(&self, path: &str) -> Fallible<(FileNo, String)> {
        let (parent, name) = path.rsplit_once('/').ok_or("a path that is relative")?;
        let parent = self.names.get(parent).ok_or_else(|| format!("{path} is in a folder that was not made"))?;
        Ok((*parent, name.to_string()))
    }

    fn mapped(&self, call: &Call<'_>) -> Fallible<()> {
        let Some((_, path)) = call.file(4).filter(|(_, path)| self.inside(path)) else { return Ok(()) };
        let has = |i: usize, word| call.args.get(i).is_some_and(|a| a.contains(word));
        if has(3, "MAP_SHARED") && has(2, "PROT_WRITE") && !shared_memory(&path) {
            return Err(format!("{path} is written through memory, which no trace shows").into());
        }
        Ok(())
    }

    /// Calls whose first argument is an open file.
    fn on_file(&mut self, call: &Call<'_>, before: usize) -> Fallible<()> {
        let unknown = || format!("{} is a call that this tool does not know", call.name);
        let Some((number, path)) = call.file(0) else { return Err(unknown().into()) };
        let ret = call.ret.unwrap_or_default();
        if !self.inside(&path) {
            return if call.name.starts_with("dup") || call.name.contains("uring") {
                Err(unknown().into())
            } else {
                Ok(())
            };
        }
        let open = self.open.get_mut(&number).ok_or_else(|| format!("{path} was not seen to be opened"))?;
        let Some(file) = open.file else { return Ok(()) };
        match call.name {
            "close" => drop(self.open.remove(&number)),
            "fsync" | "fdatasync" => self.history.ops.push(Op::Sync { file, before }),
            "lseek" => open.at = ret as u64,
            "read" => open.at += ret as u64,
            "write" | "pwrite64" => {
                let mut bytes = call.bytes(1).ok_or("bytes that were printed in part")?;
                bytes.truncate(ret as usize);
                let at = match call.name {
                    "write" => {
                        open.at += bytes.len() as u64;
                        open.at - bytes.len() as u64
                    }
                    _ => call.number(3).ok_or("a place that is no number")? as u64,
                };
                self.sizes[file] = self.sizes[file].max(at + bytes.len() as u64);
                self.history.ops.push(Op::Write { file, at, bytes });
            }
            "ftruncate" => {
                let size = call.number(1).ok_or("a size that is no number")? as u64;
                let had = std::mem::replace(&mut self.sizes[file], size);
                if had != size {
                    self.history.ops.push(Op::Size { file, size });
                }
            }
            _ => return Err(unknown().into()),
        }
        Ok(())
    }
}

/// The index of SQLite's log: memory that processes share, with no meaning after a restart.
fn shared_memory(path: &str) -> bool {
    path.ends_with("-shm")
}
