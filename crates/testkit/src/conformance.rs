//! The suite that every engine must pass. It is the specification of the waist.
//!
//! Each function takes an engine that is empty, or whose streams of these names do not exist.

use anabranch_engine::{
    Account, Admin, At, BatchRef, Builder, Codec, Commit, Cursor, Dest, Error, FlowId, Handle, Item, KeptReport, Kind,
    Lane, Limit, Put, Result, StreamName, StreamSpec, limits,
};
use std::time::Duration;

/// A behaviour and its name.
pub type Case = (&'static str, fn(&dyn Admin) -> Result<()>);

/// All behaviours.
pub const SUITE: &[Case] = &[
    ("streams are made once and never resized", streams_are_made_once),
    ("a commit is batches and account together", a_commit_is_whole),
    ("what is committed is read back in order from any offset", read_from_any_offset),
    ("a copy by reference is the same items", copies_by_reference),
    ("the account is that of the last commit", the_account_comes_back),
    ("ends are the engine's own running total of the run", ends_are_counted),
    ("a newer claim shuts out the older one", claims_fence),
    ("lanes have accounts of their own and may write the same partition", lanes_are_apart),
    ("the owner of a stream is the only one who writes it", owners_write_alone),
    ("what is trimmed is lost to readers, and they are told", trimming_is_told),
    ("groups and reports are kept", groups_and_reports),
    ("outsiders append and others are woken", outsiders_append),
];

fn ensure(ok: bool, what: &str) -> Result<()> {
    if ok { Ok(()) } else { Err(Error::bug(what)) }
}

fn name(text: &str) -> Result<StreamName> {
    StreamName::new(text)
}

fn batch(values: impl IntoIterator<Item = String>) -> Result<BatchRef> {
    let mut b = Builder::new(Codec::None);
    values.into_iter().for_each(|v| b.push(1, None, Some(v.as_bytes()), &[]));
    b.finish().map(BatchRef::Fresh).ok_or_else(|| Error::bug("an empty batch"))
}

fn put(stream: &StreamName, partition: u32, batch: BatchRef) -> Put {
    Put { to: Dest { stream: stream.clone(), partition }, batch }
}

/// How often a reader below the end may find nothing: what ends a commit can land later than its answer.
const EMPTY_READS: usize = 100;

/// All batches of a partition from an offset on.
fn handles(e: &dyn Admin, stream: &StreamName, partition: u32, from: i64) -> Result<Vec<Handle>> {
    let end = e.span(stream)?.get(partition as usize).map_or(0, |s| s.end);
    let mut at = At { stream: stream.clone(), partition, offset: from };
    let (mut out, mut empty) = (vec![], 0);
    while at.offset < end {
        let chunk = e.read(&at, end, Limit { bytes: 1 })?;
        empty += usize::from(chunk.next == at.offset);
        ensure(empty < EMPTY_READS, "nothing is read below the end")?;
        out.extend(chunk.batches);
        at.offset = chunk.next;
    }
    Ok(out)
}

/// All items of a partition from an offset on, each with its own.
fn items(e: &dyn Admin, stream: &StreamName, partition: u32, from: i64) -> Result<Vec<(i64, String)>> {
    let mut out = vec![];
    for handle in handles(e, stream, partition, from)? {
        for r in handle.load()?.records()?.iter() {
            let offset = handle.at.offset + i64::from(r.delta());
            if offset >= from {
                out.push((offset, String::from_utf8_lossy(r.value().unwrap_or_default()).into_owned()));
            }
        }
    }
    Ok(out)
}

/// The values of a partition, when `n` of them can be seen. Offsets may leave room between commits, so only the
/// order of values is promised; and a commit may be seen a moment after it is durable.
fn values(e: &dyn Admin, stream: &StreamName, partition: u32, n: usize) -> Result<Vec<String>> {
    for _ in 0..EMPTY_READS {
        let span = e.span(stream)?.get(partition as usize).cloned().unwrap_or_default();
        let all = items(e, stream, partition, span.start)?;
        if all.len() >= n {
            return Ok(all.into_iter().map(|(_, v)| v).collect());
        }
        let behind = At { stream: stream.clone(), partition, offset: span.end };
        e.read(&behind, span.end + 1, Limit { bytes: 1 })?; // waits a moment for what comes
    }
    Err(Error::bug(format!("{n} items cannot be seen")))
}

fn commit(lane: &mut dyn Lane, puts: Vec<Put>, account: Account) -> Result<()> {
    lane.submit(Commit { puts, account, report: None })?;
    lane.settle()?;
    Ok(())
}

fn numbered(range: std::ops::Range<u32>, pad: usize) -> Vec<String> {
    range.map(|i| format!("{i}{}", "x".repeat(pad))).collect()
}

fn streams_are_made_once(e: &dyn Admin) -> Result<()> {
    let s = name("made-once")?;
    let shape = e.ensure(None, &[StreamSpec::new(s.clone(), 3)])?;
    ensure(shape.first().is_some_and(|s| s.created && s.partitions == 3), "it was not made")?;
    let shape = e.ensure(None, &[StreamSpec::new(s.clone(), 3)])?;
    ensure(shape.first().is_some_and(|s| !s.created), "it was made twice")?;
    let resized = e.ensure(None, &[StreamSpec::new(s.clone(), 4)]);
    ensure(resized.is_err_and(|e| e.kind == Kind::Usage), "it was resized")?;
    ensure(e.span(&s)? == [0..0, 0..0, 0..0], "it is not empty")?;
    ensure(e.span(&name("never-made")?).is_err(), "a stream that is not there has a span")
}

fn a_commit_is_whole(e: &dyn Admin) -> Result<()> {
    let (s, flow) = (name("whole")?, FlowId::new("whole")?);
    e.ensure(Some(&flow), &[StreamSpec::new(s.clone(), 2)])?;
    let mut lane = e.claim(&flow, 0)?;
    for (round, pad) in [(1u64, 10), (2, 100_000)] {
        let puts = vec![put(&s, 0, batch(numbered(0..3, pad))?), put(&s, 1, batch(numbered(3..4, pad))?)];
        commit(&mut *lane, puts, Account { run: 1, seq: round, ..Account::default() })?;
        ensure(lane.account().seq == round, "the account is not that of the commit")?;
        let n = round as usize;
        let counts = (values(e, &s, 0, 3 * n)?.len(), values(e, &s, 1, n)?.len());
        ensure(counts == (3 * n, n), "there are more items than were committed")?;
    }
    let nowhere = put(&name("nowhere")?, 0, batch(numbered(0..1, 1))?);
    let account = Account { run: 1, seq: 99, ..Account::default() };
    let puts = vec![put(&s, 0, batch(numbered(0..1, 1))?), nowhere];
    ensure(commit(&mut *lane, puts, account).is_err(), "a commit into a stream that is not there")?;
    drop(lane);
    ensure(e.claim(&flow, 0)?.account().seq == 2, "the account of a failed commit is there")?;
    ensure(values(e, &s, 0, 6)?.len() == 6 && values(e, &s, 1, 2)?.len() == 2, "half a commit is there")
}

fn read_from_any_offset(e: &dyn Admin) -> Result<()> {
    let (s, flow) = (name("any-offset")?, FlowId::new("any-offset")?);
    e.ensure(Some(&flow), &[StreamSpec::new(s.clone(), 1)])?;
    let mut lane = e.claim(&flow, 0)?;
    for i in 0..10u32 {
        commit(&mut *lane, vec![put(&s, 0, batch(numbered(i * 7..(i + 1) * 7, 5))?)], Account::default())?;
    }
    values(e, &s, 0, 70)?;
    let all = items(e, &s, 0, 0)?;
    ensure(all.iter().map(|(_, v)| v).eq(&numbered(0..70, 5)), "other items than were committed")?;
    ensure(all.windows(2).all(|w| w[0].0 < w[1].0), "offsets do not rise")?;
    for from in 0..=all.last().map_or(0, |(offset, _)| offset + 1) {
        let want: Vec<_> = all.iter().filter(|(offset, _)| *offset >= from).cloned().collect();
        ensure(items(e, &s, 0, from)? == want, "other items than from that offset on")?;
    }
    Ok(())
}

fn copies_by_reference(e: &dyn Admin) -> Result<()> {
    let (a, b, flow) = (name("original")?, name("copy")?, FlowId::new("by-reference")?);
    e.ensure(Some(&flow), &[StreamSpec::new(a.clone(), 1), StreamSpec::new(b.clone(), 1)])?;
    let mut lane = e.claim(&flow, 0)?;
    for pad in [1, 50_000] {
        commit(&mut *lane, vec![put(&a, 0, batch(numbered(0..3, pad))?)], Account::default())?;
    }
    let original = values(e, &a, 0, 6)?;
    let puts = handles(e, &a, 0, 0)?.into_iter().rev().map(|h| put(&b, 0, BatchRef::Stored(h))).collect();
    commit(&mut *lane, puts, Account::default())?;
    let copied = [&original[3..], &original[..3]].concat();
    ensure(values(e, &b, 0, 6)? == copied, "the copy is not the same items")?;
    let end = e.span(&a)?.first().map_or(0, |s| s.end);
    e.trim(&[At { stream: a.clone(), partition: 0, offset: end }])?;
    ensure(values(e, &a, 0, 0)?.is_empty(), "the original was not trimmed")?;
    ensure(values(e, &b, 0, 6)? == copied, "the copy went with the original")
}

fn the_account_comes_back(e: &dyn Admin) -> Result<()> {
    let flow = FlowId::new("account")?;
    let mut lane = e.claim(&flow, 0)?;
    ensure(lane.account().run == 0, "a new lane has an account")?;
    let account = Account { run: 7, seq: 3, ..Account::default() };
    commit(&mut *lane, vec![], account)?;
    let mut seen = Cursor::default();
    let mut sees = false;
    for _ in 0..EMPTY_READS {
        let all = e.accounts(&flow, &mut seen, Duration::from_millis(50))?;
        sees |= all.len() == 1 && all.first().is_some_and(|a| a.run == 7);
        if sees {
            break;
        }
    }
    ensure(sees, "others do not see the account")?;
    drop(lane);
    ensure(e.claim(&flow, 0)?.account().run == 7, "the next owner does not see the account")
}

fn ends_are_counted(e: &dyn Admin) -> Result<()> {
    let (s, flow) = (name("ends")?, FlowId::new("ends")?);
    e.ensure(Some(&flow), &[StreamSpec::new(s.clone(), 1)])?;
    let mut lane = e.claim(&flow, 0)?;
    let ends = |lane: &dyn Lane, all: usize, want: u64| {
        values(e, &s, 0, all)?;
        let behind = items(e, &s, 0, 0)?.last().map(|(offset, _)| offset + 1);
        let end = lane.account().ends.values().next();
        ensure(end.map(|e| e.end) == behind, "the end is not behind the last item")?;
        ensure(end.map(|e| e.items) == Some(want), "the items of the run are not counted")
    };
    for (run, all, want) in [(1, 2, 2), (1, 4, 4), (2, 6, 2)] {
        let account = Account { run, ..Account::default() };
        commit(&mut *lane, vec![put(&s, 0, batch(numbered(0..2, 1))?)], account)?;
        ends(&*lane, all, want)?;
    }
    drop(lane);
    let mut lane = e.claim(&flow, 0)?;
    commit(&mut *lane, vec![put(&s, 0, batch(numbered(0..2, 1))?)], Account { run: 2, ..Account::default() })?;
    ends(&*lane, 8, 4)
}

fn lanes_are_apart(e: &dyn Admin) -> Result<()> {
    let (s, flow) = (name("lanes")?, FlowId::new("lanes")?);
    let mut crew = e.crew(&flow, 3)?;
    let lanes = crew.lanes();
    ensure((1..=3).contains(&lanes), "other lanes than were wanted")?;
    ensure(crew.mine(&[])? == (0..lanes).collect::<Vec<_>>(), "who is alone is not advised to work all lanes")?;
    e.ensure(Some(&flow), &[StreamSpec::new(s.clone(), 1)])?;
    let mut held = (0..lanes).map(|lane| e.claim(&flow, lane)).collect::<Result<Vec<_>>>()?;
    for (n, lane) in (0u32..).zip(&mut held) {
        let account = Account { run: 1, lane: n, seq: u64::from(n) + 1, ..Account::default() };
        commit(&mut **lane, vec![put(&s, 0, batch(numbered(n..n + 1, 1))?)], account)?;
        ensure(lane.account().ends.values().all(|end| end.items == 1), "a lane counts what others wrote")?;
    }
    ensure(values(e, &s, 0, lanes as usize)? == numbered(0..lanes, 1), "what the lanes wrote is not there")?;
    let newest = |lane: u32| (lane, u64::from(lane) + 1);
    for _ in 0..EMPTY_READS {
        let all = e.accounts(&flow, &mut Cursor::default(), Duration::ZERO)?;
        if all.iter().map(|a| (a.lane, a.seq)).eq((0..lanes).map(newest)) {
            return ensure(e.crew(&flow, 7)?.lanes() == lanes, "a flow got other lanes than it had");
        }
    }
    ensure(false, "others do not see the accounts of all lanes")
}

fn claims_fence(e: &dyn Admin) -> Result<()> {
    let flow = FlowId::new("fenced")?;
    let mut first = e.claim(&flow, 0)?;
    commit(&mut *first, vec![], Account { seq: 1, ..Account::default() })?;
    match e.claim(&flow, 0) {
        Err(busy) => ensure(busy.kind == Kind::Busy, "a second claim failed for another reason"),
        Ok(mut second) => {
            ensure(
                commit(&mut *first, vec![], Account { seq: 2, ..Account::default() }).is_err(),
                "the older claim still commits",
            )?;
            commit(&mut *second, vec![], Account { seq: 3, ..Account::default() })
        }
    }
}

fn owners_write_alone(e: &dyn Admin) -> Result<()> {
    let (s, flow) = (name("owned")?, FlowId::new("owner")?);
    let spec = [StreamSpec::new(s.clone(), 1)];
    e.ensure(None, &spec)?;
    e.append(&s, &[(0, Item::of("before", 1))])?;
    e.ensure(Some(&flow), &spec)?;
    let refused = e.append(&s, &[(0, Item::of("after", 1))]);
    ensure(
        refused.is_err_and(|e| e.kind == Kind::Usage && e.text.contains("owner")),
        "an outsider wrote into an owned stream",
    )?;
    let other = e.ensure(Some(&FlowId::new("other")?), &spec);
    ensure(other.is_err_and(|e| e.kind == Kind::Usage), "another flow took the stream")?;
    ensure(values(e, &s, 0, 1)? == ["before"], "what was there before stays in front")?;
    e.delete(&s)?;
    e.ensure(Some(&FlowId::new("other")?), &spec).map(|_| ()) // what was deleted is nobody's
}

fn trimming_is_told(e: &dyn Admin) -> Result<()> {
    let s = name("trimmed")?;
    e.ensure(None, &[StreamSpec::new(s.clone(), 1)])?;
    for i in 0..4 {
        e.append(&s, &[(0, Item::of(format!("{i}"), 1))])?;
    }
    e.trim(&[At { stream: s.clone(), partition: 0, offset: 2 }])?;
    ensure(e.span(&s)?.first() == Some(&(2..4)), "it was not trimmed")?;
    ensure(values(e, &s, 0, 2)? == ["2", "3"], "too much was trimmed")?;
    let gone = e.read(&At { stream: s, partition: 0, offset: 1 }, 4, Limit { bytes: 1 });
    ensure(gone.is_err_and(|e| e.kind == Kind::Lost), "a reader below the start is not told")
}

fn groups_and_reports(e: &dyn Admin) -> Result<()> {
    let (s, flow) = (name("grouped")?, FlowId::new("reported")?);
    e.ensure(None, &[StreamSpec::new(s.clone(), 2)])?;
    e.set_group("g", &[(s.clone(), 0, 5), (s.clone(), 1, 7)])?;
    e.set_group("g", &[(s.clone(), 1, 8)])?;
    let listed = e.groups()?.into_iter().find(|g| g.name == "g");
    ensure(listed == Some(e.group("g")?), "a group alone is not as it is among all")?;
    let offsets: Vec<i64> = e.group("g")?.offsets.into_values().collect();
    ensure(offsets == [5, 8], "the offsets of the group are wrong")?;
    ensure(e.group("nobody")?.offsets.is_empty(), "a group that is not there has offsets")?;
    let mut lane = e.claim(&flow, 0)?;
    let last = limits::REPORTS_KEPT as u64 + 5;
    for run in 1..=last {
        let report = Some(KeptReport { run, json: format!("{{\"run\":{run}}}") });
        lane.submit(Commit { report, account: Account { run, ..Account::default() }, ..Commit::default() })?;
        lane.settle()?;
    }
    let mut kept = vec![];
    for _ in 0..EMPTY_READS {
        kept = e.reports(&flow)?.into_iter().map(|(run, _)| run).collect();
        if kept.last() == Some(&last) {
            break;
        }
        e.wait(Duration::from_millis(50));
    }
    ensure(kept == (6..=last).collect::<Vec<u64>>(), "not the newest reports are kept")?;
    for run in [6, 100, last] {
        let json = format!("{{\"run\":{run}}}");
        ensure(e.report(&flow, run)? == Some(json), "a report alone is not as it is among all")?;
    }
    ensure(e.report(&flow, last + 1)?.is_none(), "a run that was not has a report")
}

fn outsiders_append(e: &dyn Admin) -> Result<()> {
    let s = name("outside")?;
    e.ensure(None, &[StreamSpec::new(s.clone(), 2)])?;
    e.append(&s, &[(0, Item::of("a", 1)), (1, Item::of("b", 1)), (0, Item::of("c", 1))])?;
    ensure(values(e, &s, 0, 2)? == ["a", "c"] && values(e, &s, 1, 1)? == ["b"], "other items than were appended")?;
    e.delete(&s)?;
    ensure(e.span(&s).is_err(), "it was not deleted")
}
