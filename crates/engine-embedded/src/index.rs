//! The index: SQLite, the only commit point.

use crate::directory::{self, lock_file};
use anabranch_engine::{Error, Result};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

/// Format of the directory, in SQLite's `user_version`.
pub const FORMAT_VERSION: i32 = 1;
/// `ANAB` in SQLite's `application_id`.
const APPLICATION: i32 = 0x414e_4142;
/// Older libraries lose commits when two processes write and checkpoint at once.
const OLDEST_SQLITE: i32 = 3_051_003;

const SCHEMA: &str = "
    CREATE TABLE stream (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, owner TEXT, config TEXT NOT NULL);
    CREATE TABLE part (tp INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL, p INTEGER NOT NULL,
                       start INTEGER NOT NULL DEFAULT 0, next INTEGER NOT NULL DEFAULT 0, UNIQUE (stream, p));
    CREATE TABLE ext (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, seg INTEGER NOT NULL, pos INTEGER NOT NULL,
                      len INTEGER NOT NULL, newest INTEGER NOT NULL, bytes BLOB);
    CREATE INDEX ext_seg ON ext (seg);
    CREATE TABLE seg (id INTEGER PRIMARY KEY AUTOINCREMENT);
    CREATE TABLE account (flow TEXT NOT NULL, lane INTEGER NOT NULL, epoch INTEGER NOT NULL, commits INTEGER NOT NULL DEFAULT 0,
                          body BLOB, PRIMARY KEY (flow, lane)) WITHOUT ROWID;
    CREATE TABLE grp (name TEXT NOT NULL, stream TEXT NOT NULL, p INTEGER NOT NULL, next INTEGER NOT NULL,
                      PRIMARY KEY (name, stream, p)) WITHOUT ROWID;
    CREATE TABLE gone (name TEXT PRIMARY KEY, next INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE report (flow TEXT NOT NULL, run INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (flow, run)) WITHOUT ROWID;
";

/// Connections to the index of one directory.
pub struct Index {
    path: PathBuf,
    lock: File,
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
}

impl Index {
    /// Opens the index of a directory, or makes it.
    pub fn open(dir: &Path) -> Result<Index> {
        if rusqlite::version_number() < OLDEST_SQLITE {
            return Err(Error::bug(format!("SQLite {} is linked, at least 3.51.3 is needed", rusqlite::version())));
        }
        let path = dir.join("index.db");
        let lock = lock_file(&dir.join("commit.lock"))?;
        let found = path.exists();
        let writer = connect(&path)?;
        let reader = connect(&path)?;
        let index = Index { path, lock, writer: Mutex::new(writer), reader: Mutex::new(reader) };
        index.agree_on_format()?;
        if !found {
            directory::sync_dir(dir)?;
        }
        Ok(index)
    }

    fn agree_on_format(&self) -> Result<()> {
        let number = |db: &Connection, name| {
            db.pragma_query_value(None, name, |r| r.get::<_, i32>(0)).map_err(|e| self.says(&e))
        };
        let found = self.read(|db| Ok((number(db, "user_version")?, number(db, "application_id")?)))?;
        match found {
            (FORMAT_VERSION, APPLICATION) => Ok(()),
            (0, 0) => self.write(|tx| {
                if number(tx, "user_version")? == 0 {
                    let make = format!(
                        "{SCHEMA} PRAGMA user_version = {FORMAT_VERSION}; PRAGMA application_id = {APPLICATION};"
                    );
                    tx.execute_batch(&make).map_err(|e| self.says(&e))?;
                }
                Ok(())
            }),
            (version, APPLICATION) => Err(Error::usage(format!(
                "the data directory has format {version}, this program reads {FORMAT_VERSION}"
            ))
            .help("a newer version of this program made it: use that one, or another --data DIR")),
            _ => Err(Error::usage(format!("{} is not a file of this program", self.path.display()))
                .help("give another directory with --data DIR")),
        }
    }

    /// Runs one write transaction, alone among all processes; it is durable when this returns.
    pub fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let mut db = hold(&self.writer);
        let _alone = FileLock::take(&self.lock).map_err(|e| directory::machine("cannot lock", &self.path, &e))?;
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|e| self.says(&e))?;
        let out = work(&tx)?;
        tx.commit().map_err(|e| self.says(&e))?;
        Ok(out)
    }

    /// Runs one short read.
    pub fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        work(&hold(&self.reader))
    }

    /// A SQLite error as ours.
    pub fn says(&self, e: &rusqlite::Error) -> Error {
        says(e, &self.path)
    }
}

/// A SQLite error as ours, where no index is at hand.
pub fn sql(e: rusqlite::Error) -> Error {
    says(&e, Path::new("index.db"))
}

fn says(e: &rusqlite::Error, path: &Path) -> Error {
    use rusqlite::ErrorCode::*;
    let path = path.display();
    match e.sqlite_error_code() {
        Some(DiskFull) => Error::machine(format!("the disk is full: {path} cannot grow"))
            .help("free some space on that disk and run again: what was committed stays"),
        Some(DatabaseCorrupt | NotADatabase) => Error::corrupt(format!("the index {path} is damaged: {e}"))
            .help("its bytes were changed from outside: take it from a backup, or begin with an empty --data DIR"),
        Some(ReadOnly | CannotOpen | PermissionDenied) => Error::machine(format!("cannot write the index {path}: {e}"))
            .help("the directory must be writable; another one can be given with --data DIR"),
        _ => Error::machine(format!("the index {path} failed: {e}")),
    }
}

fn connect(path: &Path) -> Result<Connection> {
    let open = || -> rusqlite::Result<Connection> {
        let db = Connection::open(path)?;
        db.busy_timeout(std::time::Duration::from_secs(10))?; // only checkpoints and openings can collide: writers hold the lock
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.set_prepared_statement_cache_capacity(64);
        Ok(db)
    };
    open().map_err(|e| says(&e, path))
}

struct FileLock<'a>(&'a File);

impl<'a> FileLock<'a> {
    fn take(file: &'a File) -> std::io::Result<Self> {
        file.lock()?;
        Ok(FileLock(file))
    }
}

impl Drop for FileLock<'_> {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// A thread that panicked while it held the lock left a transaction that was rolled back.
fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
