//! Small batches for one partition become large ones: by the worker that made them, then again while they wait.

use anabranch_engine::{Batch, BatchRef, Builder, Codec, Handle, Record, Result, limits};
use anabranch_flow::patterns::{Body, Part};

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
            (None, Body::Stored(handle, _)) if !is_small_and_plain(handle, &part.body)? => {
                self.whole(BatchRef::Stored(handle.clone()));
            }
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

/// Small batches that have to be written anyway cost brokers more than packing them together; only those of which nothing
/// was compressed are, so that nothing has to be compressed again.
fn is_small_and_plain(handle: &Handle, body: &Body) -> Result<bool> {
    Ok(handle.held > 0 && handle.held < LARGE && body.batch()?.head().codec == Codec::None)
}

fn small(batch: &Batch) -> Result<impl Iterator<Item = Record<'_>>> {
    Ok(batch.records()?.iter())
}
