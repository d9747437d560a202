//! Batches that a topic takes: a larger one is cut, and its items packed again.

use crate::cluster::Cluster;
use crate::cluster::streams;
use anabranch_engine::{Batch, Dest, Result, Rows, StreamName};

/// What a topic takes, unless its settings, which may be closed to us, say otherwise.
const USUAL: usize = 1_048_588;

/// The same items in batches that their topics take. One item that is too large stays as it is: the broker refuses it.
pub fn pack(cluster: &Cluster, puts: Vec<(Dest, Batch)>) -> Result<Vec<(Dest, Batch)>> {
    let mut out = Vec::with_capacity(puts.len());
    for (to, batch) in puts {
        // nothing is asked for what every topic takes
        let least = if batch.bytes().len() < SMALL { usize::MAX } else { limit(cluster, &to.stream)? };
        let mut parts = vec![];
        cut(batch, least, &mut parts)?;
        out.extend(parts.into_iter().map(|part| (to.clone(), part)));
    }
    Ok(out)
}

/// Batches below this are taken, unless somebody made a topic for very small ones.
const SMALL: usize = 16 << 10;

/// The largest batch that a topic takes.
pub fn limit(cluster: &Cluster, stream: &StreamName) -> Result<usize> {
    if let Some(known) = cluster.limit(stream) {
        return Ok(known);
    }
    let limit = streams::setting(cluster, stream, "max.message.bytes");
    let limit = limit.ok().flatten().and_then(|text| text.parse().ok()).unwrap_or(USUAL);
    cluster.know_limit(stream, limit);
    Ok(limit)
}

fn cut(batch: Batch, most: usize, out: &mut Vec<Batch>) -> Result<()> {
    let n = batch.count();
    if batch.bytes().len() <= most || n < 2 {
        out.push(batch);
        return Ok(());
    }
    for half in [Rows::from_fn(n, |row| row < n / 2), Rows::from_fn(n, |row| row >= n / 2)] {
        if let Some(part) = batch.gather(&half)? {
            cut(part, most, out)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anabranch_engine::{Builder, Codec};

    #[test]
    fn every_item_is_in_a_batch_that_fits_in_order() {
        for codec in [Codec::None, Codec::Lz4] {
            let mut b = Builder::new(codec);
            (0..1000u32).for_each(|i| b.push(0, None, Some(format!("{i} {}", i * 7919 % 1000).as_bytes()), &[]));
            let whole = b.finish().expect("items");
            let values = |b: &Batch| b.records().expect("reads").iter().map(|r| r.to_item()).collect::<Vec<_>>();
            let want = values(&whole);
            let mut parts = vec![];
            cut(whole, 2_000, &mut parts).expect("cuts");
            assert!(parts.len() > 3 && parts.iter().all(|p| p.bytes().len() <= 2_000));
            assert_eq!(parts.iter().flat_map(values).collect::<Vec<_>>(), want);
        }
    }

    #[test]
    fn one_item_stays_whole() {
        let mut b = Builder::new(Codec::None);
        b.push(0, None, Some(&[7; 500]), &[]);
        let mut parts = vec![];
        cut(b.finish().expect("an item"), 100, &mut parts).expect("cuts");
        assert_eq!(parts.len(), 1);
    }
}
