//! A selection: which rows of a batch.

/// A set of rows of one batch, as bits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rows {
    bits: Vec<u64>,
    len: usize,
}

impl Rows {
    /// No row of a batch of `len`.
    pub fn none(len: usize) -> Rows {
        Rows { bits: vec![0; len.div_ceil(64)], len }
    }

    /// Every row of a batch of `len`.
    pub fn all(len: usize) -> Rows {
        Rows::from_fn(len, |_| true)
    }

    /// The rows for which `keep` holds.
    pub fn from_fn(len: usize, keep: impl Fn(usize) -> bool) -> Rows {
        let mut rows = Rows::none(len);
        (0..len).filter(|i| keep(*i)).for_each(|i| rows.add(i));
        rows
    }

    /// Adds a row; rows outside the batch are ignored.
    pub fn add(&mut self, row: usize) {
        if let Some(word) = self.bits.get_mut(row / 64) {
            *word |= 1 << (row % 64);
        }
    }

    /// Whether the row is chosen.
    pub fn has(&self, row: usize) -> bool {
        self.bits.get(row / 64).is_some_and(|w| w >> (row % 64) & 1 == 1)
    }

    /// How many rows are chosen: the popcount of the bits.
    pub fn count(&self) -> usize {
        self.bits.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// Rows of the batch, chosen or not.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no row is chosen.
    pub fn is_empty(&self) -> bool {
        self.bits.iter().all(|w| *w == 0)
    }

    /// The chosen rows, rising.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.bits.iter().enumerate().flat_map(|(i, word)| {
            let mut word = *word;
            std::iter::from_fn(move || {
                let bit = word.trailing_zeros() as usize;
                (word != 0).then(|| {
                    word &= word - 1;
                    i * 64 + bit
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_a_set() {
        let mut rows = Rows::none(130);
        assert!(rows.is_empty());
        for row in [129, 0, 64, 64, 500] {
            rows.add(row);
        }
        assert_eq!(rows.iter().collect::<Vec<_>>(), [0, 64, 129]);
        assert_eq!((rows.count(), rows.len()), (3, 130));
        assert!(rows.has(64) && !rows.has(63) && !rows.has(500));
        assert_eq!(Rows::all(130).count(), 130);
    }
}
