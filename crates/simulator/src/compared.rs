//! What a flow gave beside what the model says.

use std::collections::BTreeMap;

/// Items that are looked for, those that are not there, and those that should not be.
#[derive(Debug, Default)]
pub struct Compared {
    /// Items that the model has.
    pub items: u64,
    /// Those that were not found.
    pub lost: u64,
    /// Items that were found and the model has not.
    pub twice: u64,
}

impl Compared {
    /// Compares the lines of `what` with the model, in any order.
    pub fn add(&mut self, what: &str, want: &[String], got: &str) {
        if let Some((n, line)) = self.differs(want, got) {
            eprintln!("{what}: {n:+} of {line}");
        }
    }

    /// The same; a line that is missing, or there too often, and how many of it.
    pub fn differs<'l>(&mut self, want: &'l [String], got: &'l str) -> Option<(i64, &'l str)> {
        let mut count: BTreeMap<&str, i64> = BTreeMap::new();
        want.iter().for_each(|l| *count.entry(l).or_default() += 1);
        got.lines().for_each(|l| *count.entry(l).or_default() -= 1);
        self.items += want.len() as u64;
        self.lost += count.values().filter(|n| **n > 0).sum::<i64>() as u64;
        self.twice += count.values().filter(|n| **n < 0).sum::<i64>().unsigned_abs();
        count.into_iter().find(|(_, n)| *n != 0).map(|(line, n)| (n, line))
    }

    /// Adds what another comparison found.
    pub fn join(&mut self, other: &Compared) {
        self.items += other.items;
        self.lost += other.lost;
        self.twice += other.twice;
    }
}
