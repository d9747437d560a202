//! Setting a group: of a flow's step the account is set too, for that is where its positions live.

use anabranch_engine::{Admin, Commit, Cursor, Error, Offset, Partition, Result, StreamName};
use std::collections::BTreeSet;
use std::time::Duration;

/// The partitions that steps of flows here read under the name of a group.
pub fn read_as(engine: &dyn Admin, group: &str) -> Result<BTreeSet<(StreamName, Partition)>> {
    let mut known = BTreeSet::new();
    for flow in engine.flows()? {
        for account in engine.accounts(&flow, &mut Cursor::default(), Duration::ZERO)? {
            let reads = |step: &String, stream: &StreamName| {
                account.groups.get(&(step.clone(), stream.clone())).is_some_and(|g| g == group)
            };
            let of_group = account.read.keys().filter(|(step, stream, _)| reads(step, stream));
            known.extend(of_group.map(|(_, stream, p)| (stream.clone(), *p)));
        }
    }
    Ok(known)
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
        let readers: Vec<_> =
            account.groups.iter().filter(|(_, g)| *g == group).map(|(reader, _)| reader.clone()).collect();
        if !record.phase.closed() {
            return Err(Error::usage(format!("run {} of {flow} is open", record.number))
                .help("finish it first:  anabranch run"));
        }
        for ((step, stream, p), next) in &mut account.read {
            if readers.contains(&(step.clone(), stream.clone()))
                && let Some((_, _, to)) = offsets.iter().find(|(s, q, _)| s == stream && q == p)
            {
                next.next = *to;
            }
        }
        if let Some(record) = &mut account.record {
            record.ids.retain(|stream, _| offsets.iter().all(|(s, ..)| s != stream)); // this is the one that is meant now
        }
        account.seq += 1;
        lane.submit(Commit { puts: vec![], account })?;
        lane.settle()?;
    }
    engine.set_group(group, offsets)
}
