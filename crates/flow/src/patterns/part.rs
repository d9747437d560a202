//! A batch on its way through a unit.

use super::making::MadeFrom;
use anabranch_engine::{Batch, Builder, Codec, Error, Handle, Item, Result, Rows, batch::Records};
use bytes::Bytes;
use std::sync::{Arc, OnceLock};

/// A batch, or rows of it, inside a unit.
#[derive(Debug, Clone)]
pub struct Part {
    /// The batch.
    pub body: Body,
    /// The chosen rows; `None` = all.
    pub rows: Option<Rows>,
    /// Where its items come from.
    pub origin: Origin,
    /// The partition its items are in.
    pub partition: u32,
}

/// A batch in memory, or one of the log that is read when somebody looks into it.
#[derive(Debug, Clone)]
pub enum Body {
    /// In memory.
    Ready(Batch),
    /// In the log.
    Stored(Handle, Arc<OnceLock<Batch>>),
}

impl Body {
    /// A batch of the log.
    pub fn stored(handle: Handle) -> Body {
        Body::Stored(handle, Arc::default())
    }

    /// Its items, from its header or the index.
    pub fn count(&self) -> usize {
        match self {
            Body::Ready(batch) => batch.count(),
            Body::Stored(handle, _) => handle.count as usize,
        }
    }

    /// Bytes at rest.
    pub fn bytes(&self) -> usize {
        match self {
            Body::Ready(batch) => batch.bytes().len(),
            Body::Stored(handle, _) => handle.bytes,
        }
    }

    /// The batch itself.
    ///
    /// # Errors
    ///
    /// The bytes cannot be read, or are corrupt.
    pub fn batch(&self) -> Result<&Batch> {
        match self {
            Body::Ready(batch) => Ok(batch),
            Body::Stored(handle, loaded) => match loaded.get() {
                Some(batch) => Ok(batch),
                None => {
                    let batch = handle.load()?;
                    Ok(loaded.get_or_init(|| batch))
                }
            },
        }
    }

    /// Its records.
    ///
    /// # Errors
    ///
    /// The batch cannot be read or unpacked.
    pub fn records(&self) -> Result<&Records> {
        self.batch()?.records()
    }
}

/// Where the items of a batch come from: enough to name each one's place.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A batch of the log.
    Log {
        /// The stream, by its name in the flow.
        stream: Arc<str>,
        /// Where it stands.
        handle: Handle,
    },
    /// Lines of a file.
    File {
        /// The stream that the file fills.
        stream: Arc<str>,
        /// What the place names: `rRUN/PATH`.
        path: Arc<str>,
        /// For each row: the byte in the file, and the byte in the whole source.
        at: Arc<Vec<(u64, u64)>>,
    },
    /// A dead letter that is tried again: its one item is where it was before.
    Again {
        /// Its place, without `FLOW/STEP/`.
        place: Arc<str>,
        /// The nearest logged place above it.
        above: Arc<(String, u32, i64)>,
        /// What its step's action would have answered: it is not asked. Without a result the item stays as it is.
        answer: Option<Option<Bytes>>,
    },
    /// Made from rows of another part.
    Made {
        /// That part.
        parent: Arc<Part>,
        /// For each row: the row it was made from, and which child of it this is, if it has several.
        from: Arc<MadeFrom>,
    },
}

impl Part {
    /// An item as the only one of a part.
    ///
    /// # Errors
    ///
    /// The item is too large for a batch.
    pub fn of_one(item: &Item, origin: Origin, partition: u32) -> Result<Part> {
        let mut one = Builder::new(Codec::None);
        one.push_item(item);
        let batch = one.finish().ok_or_else(|| Error::bug("a batch of one item has none"))?;
        Ok(Part { body: Body::Ready(batch), rows: None, origin, partition })
    }

    /// The same for an item that is at no place of a flow: an expression is tried on it.
    ///
    /// # Errors
    ///
    /// The item is too large for a batch.
    pub fn of_nowhere(item: &Item) -> Result<Part> {
        let origin = Origin::File { stream: "item".into(), path: "item".into(), at: Arc::new(vec![(0, 0)]) };
        Part::of_one(item, origin, 0)
    }

    /// Items chosen: the header's count, or the popcount of the selection.
    pub fn count(&self) -> u64 {
        self.rows.as_ref().map_or(self.body.count(), Rows::count) as u64
    }

    /// The same batch with these rows of it.
    pub fn select(&self, rows: Rows) -> Part {
        Part { body: self.body.clone(), rows: Some(rows), origin: self.origin.clone(), partition: self.partition }
    }

    /// Stream, partition and offset of the nearest logged place above a row.
    pub fn above(&self, row: usize, delta: u32) -> (&str, u32, i64) {
        match &self.origin {
            Origin::Log { stream, handle } => (stream, handle.at.partition, handle.at.offset + i64::from(delta)),
            Origin::Again { above, .. } => (&above.0, above.1, above.2),
            Origin::File { stream, at, .. } => (stream, 0, at.get(row).map_or(0, |(_, whole)| *whole as i64)),
            Origin::Made { parent, from } => {
                let row = from.get(row).map_or(0, |(r, _)| *r);
                parent.above(row as usize, row)
            }
        }
    }

    /// The place of a row, without `FLOW/STEP/`: equal over attempts, restarts and retries.
    pub fn place(&self, row: usize, delta: u32) -> String {
        match &self.origin {
            Origin::Log { stream, handle } => {
                format!("{stream}/{}/{}", handle.at.partition, handle.at.offset + i64::from(delta))
            }
            Origin::Again { place, .. } => place.to_string(),
            Origin::File { path, at, .. } => format!("{path}@{}", at.get(row).map_or(0, |(byte, _)| *byte)),
            Origin::Made { parent, from } => {
                let (row, child) = from.get(row).copied().unwrap_or_default();
                let above = parent.place(row as usize, row);
                child.map_or(above.clone(), |c| format!("{above}/{c}"))
            }
        }
    }
}
