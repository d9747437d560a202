//! The groups of a reduce: a table of keys and their partial results, without an allocation for each.

use super::aggregate::Partial;
use hashbrown::HashTable;

/// Keys and partial results, in the order in which the keys came.
#[derive(Debug, Default)]
pub struct Groups {
    table: HashTable<u32>,
    records: Vec<Record>,
    /// Keys that are too long for their record.
    keys: Vec<u8>,
    /// Partial results, where a key has other than one.
    partials: Vec<Partial>,
    width: usize,
    beside: usize,
    look_up: LookUp,
    /// Items whose key was there.
    again: usize,
}

/// Whether keys are looked up when they come.
#[derive(Debug, Default, PartialEq, Eq)]
enum LookUp {
    #[default]
    Always,
    /// The first keys tell.
    Tried,
    /// Most keys of this chunk come once: they are only listed, and [`Groups::meet`] brings them together.
    Never,
}

/// What belongs to a key lies together, so that a look-up is one place in memory, not four.
#[derive(Debug)]
struct Record {
    group: Group,
    short: [u8; SHORT],
    only: Partial,
}

/// What is known of a key beside its partial results.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    hash: u64,
    start: u32,
    len: u32,
    /// The newest timestamp folded.
    pub newest: i64,
}

/// Bytes of a key that fit its record.
const SHORT: usize = 16;

/// Keys for which there is room at first: growing from one to hundreds in every chunk costs more than it saves.
const FIRST: usize = 128;

/// Keys of a chunk that tell whether looking them up is worth it.
const TRIED: usize = 64;

/// The hash of a key.
pub fn hash(key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key)
}

impl Groups {
    /// Groups of one chunk, that will meet those of others.
    pub fn of_chunk() -> Groups {
        Groups { look_up: LookUp::Tried, ..Groups::default() }
    }

    /// Keys so far.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes that they take, roughly.
    pub fn bytes(&self) -> usize {
        let fixed = size_of::<Record>() + size_of::<u32>() * 2;
        self.keys.len() + self.records.len() * fixed + self.partials.len() * size_of::<Partial>() + self.beside
    }

    /// The group of a key.
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<usize> {
        if self.look_up == LookUp::Never {
            return None;
        }
        let same =
            |i: &u32| self.records.get(*i as usize).is_some_and(|r| r.group.hash == hash && self.key_of(r) == key);
        self.table.find(hash, same).map(|i| *i as usize)
    }

    /// Adds a key that is not there, with its first partial results. All keys of a stripe have less than 4 GiB.
    pub fn add(&mut self, hash: u64, key: &[u8], newest: i64, partials: impl IntoIterator<Item = Partial>) {
        if self.records.is_empty() {
            self.records.reserve(FIRST);
            self.table.reserve(FIRST, |_| 0);
        }
        let group = Group { hash, start: self.keys.len() as u32, len: key.len() as u32, newest };
        let mut short = [0; SHORT];
        match short.get_mut(..key.len()) {
            Some(fits) => fits.copy_from_slice(key),
            None => self.keys.extend_from_slice(key),
        }
        let before = self.partials.len();
        self.partials.extend(partials);
        self.width = self.partials.len() - before;
        self.beside += self.partials[before..].iter().map(Partial::bytes).sum::<usize>();
        let only = if self.width == 1 { self.partials.pop() } else { None };
        self.records.push(Record { group, short, only: only.unwrap_or(Partial::Count(0)) });
        if self.look_up == LookUp::Tried && self.records.len() == TRIED && self.again < TRIED {
            self.look_up = LookUp::Never;
        }
        if self.look_up == LookUp::Never {
            return;
        }
        let records = &self.records;
        let again = |i: &u32| records.get(*i as usize).map_or(0, |r| r.group.hash);
        self.table.insert_unique(hash, records.len() as u32 - 1, again);
    }

    fn key_of<'k>(&'k self, record: &'k Record) -> &'k [u8] {
        let (start, len) = (record.group.start as usize, record.group.len as usize);
        record.short.get(..len).or_else(|| self.keys.get(start..start + len)).unwrap_or_default()
    }

    /// The key of a group.
    pub fn key(&self, i: usize) -> &[u8] {
        self.records.get(i).map_or(&[], |r| self.key_of(r))
    }

    /// What is known of a group.
    pub fn group(&self, i: usize) -> Option<Group> {
        self.records.get(i).map(|r| r.group)
    }

    /// The partial results of a group.
    pub fn partials(&self, i: usize) -> &[Partial] {
        if self.width == 1 {
            return self.records.get(i).map_or(&[], |r| std::slice::from_ref(&r.only));
        }
        let at = i * self.width;
        self.partials.get(at..at + self.width).unwrap_or_default()
    }

    /// The same, to be changed.
    pub fn partials_mut(&mut self, i: usize) -> &mut [Partial] {
        if self.width == 1 {
            return self.records.get_mut(i).map_or(&mut [], |r| std::slice::from_mut(&mut r.only));
        }
        let at = i * self.width;
        self.partials.get_mut(at..at + self.width).unwrap_or_default()
    }

    /// More items went into a group, and its partial results grew by so many bytes.
    pub fn grew(&mut self, i: usize, newest: i64, bytes: isize) {
        self.beside = self.beside.saturating_add_signed(bytes);
        self.again += 1;
        if let Some(record) = self.records.get_mut(i) {
            record.group.newest = record.group.newest.max(newest);
        }
    }

    /// Hands out the groups of another table, each with the place of its key here, if it has one.
    ///
    /// Keys are looked up a block at a time: look-ups that do not wait for each other overlap in memory.
    pub fn meet(&mut self, mut other: Groups, mut each: impl FnMut(&mut Groups, Met<'_>)) {
        let mut partials = std::mem::take(&mut other.partials).into_iter();
        let mut records = std::mem::take(&mut other.records);
        let mut found = Vec::with_capacity(BLOCK);
        for block in records.chunks_mut(BLOCK) {
            found.clear();
            found.extend(block.iter().map(|r| self.find(r.group.hash, other.key_of(r))));
            for (record, at) in block.iter_mut().zip(&found) {
                // a key that was new may have come in this block
                let at = at.or_else(|| self.find(record.group.hash, other.key_of(record)));
                let only = std::mem::replace(&mut record.only, Partial::Count(0));
                let (Group { hash, newest, .. }, key) = (record.group, other.key_of(record));
                if other.width == 1 {
                    let mut only = std::iter::once(only);
                    each(self, Met { at, hash, newest, key, partials: &mut only });
                } else {
                    let mut own = partials.by_ref().take(other.width);
                    each(self, Met { at, hash, newest, key, partials: &mut own });
                    own.for_each(drop); // what was not wanted must not be taken for the next one's
                }
            }
        }
    }
}

/// Keys that are looked up at once.
const BLOCK: usize = 64;

/// A group of another table.
pub struct Met<'m> {
    /// Its place here; none = its key is new.
    pub at: Option<usize>,
    /// The hash of its key.
    pub hash: u64,
    /// The newest timestamp folded.
    pub newest: i64,
    /// Its key.
    pub key: &'m [u8],
    /// Its partial results.
    pub partials: &'m mut dyn Iterator<Item = Partial>,
}
