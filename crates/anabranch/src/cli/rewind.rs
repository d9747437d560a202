//! Setting a group: of a flow's step the account is set too, for that is where its positions live.

use anabranch_engine::account::Reader;
use anabranch_engine::{Account, Admin, Commit, Cursor, Error, Offset, Partition, Result, StreamName};
use std::collections::BTreeSet;
use std::time::Duration;

/// The partitions that steps of flows here read under the name of a group.
pub fn read_as(engine: &dyn Admin, group: &str) -> Result<BTreeSet<(StreamName, Partition)>> {
    let mut known = BTreeSet::new();
    for flow in engine.flows()? {
        for account in engine.accounts(&flow, &mut Cursor::default(), Duration::ZERO)? {
            let of_group = account.read.keys().filter(|reader| reads_as(&account, reader, group));
            known.extend(of_group.map(|reader| (reader.stream.clone(), reader.partition)));
        }
    }
    Ok(known)
}

/// Whether a reader reads under the name of a group.
fn reads_as(account: &Account, reader: &Reader, group: &str) -> bool {
    account.groups.get(&(reader.step.clone(), reader.taken.clone())).is_some_and(|g| g == group)
}

/// Sets offsets of a group, and the positions of the steps that read under its name.
pub fn reset(engine: &dyn Admin, group: &str, offsets: &[(StreamName, Partition, Offset)]) -> Result<()> {
    for flow in engine.flows()? {
        let accounts = engine.accounts(&flow, &mut Cursor::default(), Duration::ZERO)?;
        if !accounts.iter().flat_map(|a| a.groups.values()).any(|g| g == group) {
            continue; // nobody of this flow reads under its name: it may go on running
        }
        let mut lane = match engine.claim(&flow, 0) {
            Ok(lane) => lane,
            Err(e) => return Err(Error { text: format!("{}; its groups cannot be set now", e.text), ..e }),
        };
        let mut account = lane.account().clone();
        let Some(record) = account.record.clone() else { continue };
        if !record.phase.closed() {
            return Err(Error::usage(format!("run {} of {flow} is open", record.number))
                .help("finish it first:  anabranch run"));
        }
        let readers: Vec<Reader> = account.read.keys().filter(|r| reads_as(&account, r, group)).cloned().collect();
        let mut meant = vec![];
        for reader in readers {
            let to = offsets.iter().find(|(s, p, _)| *s == reader.stream && *p == reader.partition);
            if let (Some((_, _, to)), Some(next)) = (to, account.read.get_mut(&reader)) {
                next.next = *to;
                meant.push(reader);
            }
        }
        if let Some(record) = &mut account.record {
            record.meant.extend(meant); // of this reader; the others are still where they were in the stream before
        }
        account.seq += 1;
        lane.submit(Commit { account, ..Commit::default() })?;
        lane.settle()?;
    }
    engine.set_group(group, offsets)
}
