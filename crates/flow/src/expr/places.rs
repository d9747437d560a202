//! The places of the names of an object, of which the last of two equal ones counts.

use std::borrow::Cow;
use std::collections::HashMap;

/// Names in the order in which they came: looked through one by one while they are few.
#[derive(Default)]
pub struct Places<'r> {
    list: Vec<Cow<'r, str>>,
    table: HashMap<Cow<'r, str>, usize>,
}

/// Names that are looked through one by one.
const FEW_NAMES: usize = 16;

impl<'r> Places<'r> {
    /// The place of a name.
    pub fn find(&self, name: &str) -> Option<usize> {
        if self.table.is_empty() {
            return self.list.iter().position(|n| n == name);
        }
        self.table.get(name).copied()
    }

    /// The place of a name that came before; else it takes the next one.
    pub fn place(&mut self, name: Cow<'r, str>) -> Option<usize> {
        let had = self.find(&name);
        if had.is_none() {
            if !self.table.is_empty() {
                self.table.insert(name.clone(), self.list.len());
            }
            self.list.push(name);
            if self.list.len() == FEW_NAMES {
                self.table.extend(self.list.iter().cloned().zip(0..));
            }
        }
        had
    }
}
