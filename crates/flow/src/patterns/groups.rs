//! The groups of a reduce: a table of keys and their partial results, without an allocation for each.

use super::aggregate::Partial;
use hashbrown::HashTable;

/// Keys and partial results, in the order in which the keys came.
#[derive(Debug, Default)]
pub struct Groups {
    table: HashTable<u32>,
    keys: Vec<u8>,
    groups: Vec<Group>,
    partials: Vec<Partial>,
    width: usize,
    beside: usize,
}

/// What is known of a key beside its partial results.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    hash: u64,
    start: usize,
    len: usize,
    /// The newest timestamp folded.
    pub newest: i64,
    /// Items folded.
    pub items: u64,
}

/// The hash of a key.
pub fn hash(key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key)
}

impl Groups {
    /// Keys so far.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Bytes that they take, roughly.
    pub fn bytes(&self) -> usize {
        let fixed = size_of::<Group>() + size_of::<u32>() * 2 + self.width * size_of::<Partial>();
        self.keys.len() + self.groups.len() * fixed + self.beside
    }

    /// The group of a key.
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<usize> {
        self.table.find(hash, |i| self.key(*i as usize) == key).map(|i| *i as usize)
    }

    /// Adds a key that is not there, with its first partial results.
    pub fn add(&mut self, hash: u64, key: &[u8], newest: i64, items: u64, partials: impl IntoIterator<Item = Partial>) {
        let (start, len, i) = (self.keys.len(), key.len(), self.groups.len());
        self.keys.extend_from_slice(key);
        self.groups.push(Group { hash, start, len, newest, items });
        let before = self.partials.len();
        self.partials.extend(partials);
        self.width = self.partials.len() - before;
        self.beside += self.partials[before..].iter().map(Partial::bytes).sum::<usize>();
        let groups = &self.groups;
        self.table.insert_unique(hash, i as u32, |i| groups.get(*i as usize).map_or(0, |g| g.hash));
    }

    /// The key of a group.
    pub fn key(&self, i: usize) -> &[u8] {
        let Some(group) = self.groups.get(i) else { return &[] };
        self.keys.get(group.start..group.start + group.len).unwrap_or_default()
    }

    /// What is known of a group.
    pub fn group(&self, i: usize) -> Option<Group> {
        self.groups.get(i).copied()
    }

    /// The partial results of a group.
    pub fn partials(&mut self, i: usize) -> &mut [Partial] {
        let at = i * self.width;
        self.partials.get_mut(at..at + self.width).unwrap_or_default()
    }

    /// More items went into a group, and its partial results grew by so many bytes.
    pub fn grew(&mut self, i: usize, newest: i64, items: u64, bytes: usize) {
        self.beside += bytes;
        if let Some(group) = self.groups.get_mut(i) {
            group.newest = group.newest.max(newest);
            group.items += items;
        }
    }

    /// Takes the groups apart: what is known of each, its key, its partial results.
    pub fn drain(mut self, mut each: impl FnMut(Group, u64, &[u8], &mut dyn Iterator<Item = Partial>)) {
        let mut partials = std::mem::take(&mut self.partials).into_iter();
        for i in 0..self.groups.len() {
            if let Some(group) = self.group(i) {
                let mut own = partials.by_ref().take(self.width);
                each(group, group.hash, self.key(i), &mut own);
                own.for_each(drop); // what was not wanted must not be taken for the next one's
            }
        }
    }
}
