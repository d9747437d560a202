//! Small batches for one partition become large ones: by the worker that made them, then again while they wait.

use crate::patterns::{Body, Part};
use anabranch_engine::{Batch, BatchRef, Builder, Codec, Record, Result, limits};

/// Batches for one partition, in order.
#[derive(Debug, Default)]
pub struct Gathering {
    done: Vec<BatchRef>,
    open: Option<Builder>,
}

/// A batch of this size is left as it is.
const LARGE: usize = limits::BATCH_TARGET_BYTES / 4;

impl Gathering {
    /// Adds a part: a whole batch of the log by reference, a large one as it is, else its rows.
    pub fn add(&mut self, part: &Part) -> Result<()> {
        match (&part.rows, &part.body) {
            (None, Body::Stored(handle, _)) => self.whole(BatchRef::Stored(handle.clone())),
            (None, Body::Ready(batch)) if batch.bytes().len() >= LARGE => self.whole(BatchRef::Fresh(batch.clone())),
            (rows, body) => {
                let chosen = |r: &Record<'_>| rows.as_ref().is_none_or(|rows| rows.has(r.row()));
                self.records(body.records()?.iter().filter(chosen));
            }
        }
        Ok(())
    }

    /// Adds a batch that was gathered before.
    pub fn add_batch(&mut self, batch: BatchRef) -> Result<()> {
        match batch {
            BatchRef::Fresh(batch) if batch.bytes().len() < LARGE => self.records(small(&batch)?),
            batch => self.whole(batch),
        }
        Ok(())
    }

    /// Bytes that a commit will have to write for it.
    pub fn bytes(&self) -> usize {
        self.done.iter().map(BatchRef::fresh_bytes).sum::<usize>() + self.open.as_ref().map_or(0, Builder::bytes)
    }

    /// The batches.
    pub fn finish(mut self) -> Vec<BatchRef> {
        self.close();
        self.done
    }

    fn whole(&mut self, batch: BatchRef) {
        self.close();
        self.done.push(batch);
    }

    fn records<'r>(&mut self, records: impl Iterator<Item = Record<'r>>) {
        for record in records {
            let open = self.open.get_or_insert_with(|| Builder::new(Codec::None));
            open.push_record(&record);
            if open.bytes() >= limits::BATCH_TARGET_BYTES {
                self.close();
            }
        }
    }

    fn close(&mut self) {
        self.done.extend(self.open.take().and_then(Builder::finish).map(BatchRef::Fresh));
    }
}

fn small(batch: &Batch) -> Result<impl Iterator<Item = Record<'_>>> {
    Ok(batch.records()?.iter())
}
