//! The embedded engine: the suite of all engines, and what only it must do.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

use anabranch_engine::{
    Account, Admin, At, BatchRef, Builder, Codec, Commit, Dest, Engine, FlowId, Item, Limit, Put, StreamName,
    StreamSpec,
};
use anabranch_engine_embedded::Embedded;
use anabranch_testkit::conformance::SUITE;
use anabranch_testkit::faulty::FaultyDisk;
use std::sync::Arc;

#[test]
fn conforms() {
    for (what, case) in SUITE {
        let dir = tempfile::tempdir().expect("a folder");
        let engine = Embedded::open(dir.path()).expect("opens");
        case(&engine).unwrap_or_else(|e| panic!("{what}: {e}"));
    }
}

fn put(stream: &StreamName, size: usize) -> Put {
    let mut b = Builder::new(Codec::None);
    b.push(1, None, Some(&vec![b'x'; size]), &[]);
    Put { to: Dest { stream: stream.clone(), partition: 0 }, batch: BatchRef::Fresh(b.finish().expect("one")) }
}

/// A disk that fails at each of its operations: what was acknowledged is there, nothing else, and after the
/// failure nothing more is accepted.
#[test]
fn a_failing_disk_closes_the_log_and_loses_nothing() {
    for operations in 0..12 {
        let dir = tempfile::tempdir().expect("a folder");
        let engine = Embedded::open_on(dir.path(), Arc::new(FaultyDisk::after(operations))).expect("opens");
        let (stream, flow) = (StreamName::new("s").expect("a name"), FlowId::new("f").expect("a name"));
        engine.ensure(Some(&flow), &[StreamSpec::new(stream.clone(), 1)]).expect("makes");
        let mut lane = engine.claim(&flow, 0).expect("claims");
        let mut acknowledged = 0;
        let mut failed = false;
        for seq in 1..=8 {
            let commit = Commit { puts: vec![put(&stream, 100_000)], account: Account { seq, ..Account::default() } };
            let outcome = lane.submit(commit).and_then(|()| lane.settle());
            assert!(!failed || outcome.is_err(), "after a failure nothing more is accepted");
            failed |= outcome.is_err();
            acknowledged += u64::from(outcome.is_ok());
        }
        assert_eq!(failed, operations < 16);
        drop(lane);
        let again = Embedded::open(dir.path()).expect("opens again");
        assert_eq!(again.span(&stream).expect("is there").first(), Some(&(0..acknowledged as i64)));
        assert_eq!(again.claim(&flow, 0).expect("claims").account().seq, acknowledged);
    }
}

#[test]
fn many_processes_worth_of_writers_share_one_directory() {
    let dir = tempfile::tempdir().expect("a folder");
    let stream = StreamName::new("s").expect("a name");
    Embedded::open(dir.path()).expect("opens").ensure(None, &[StreamSpec::new(stream.clone(), 1)]).expect("makes");
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (dir, stream) = (dir.path(), &stream);
            scope.spawn(move || {
                let engine = Embedded::open(dir).expect("opens");
                for i in 0..50 {
                    let size = if i % 10 == 0 { 40_000 } else { 10 };
                    let value = format!("{writer}:{i}:{}", "x".repeat(size));
                    engine.append(stream, &[(0, Item::of(value, 1))]).expect("appends");
                }
            });
        }
    });
    let engine = Embedded::open(dir.path()).expect("opens");
    assert_eq!(engine.span(&stream).expect("is there").first(), Some(&(0..200)));
    let mut next = [0; 4];
    let mut at = At { stream, partition: 0, offset: 0 };
    while at.offset < 200 {
        let chunk = engine.read(&at, 200, Limit { bytes: 1 << 20 }).expect("reads");
        for handle in &chunk.batches {
            for record in handle.load().expect("loads").records().expect("reads").iter() {
                let text = String::from_utf8_lossy(record.value().expect("has one")).into_owned();
                let mut parts = text.split(':');
                let (writer, i): (usize, i32) =
                    (parts.next().expect("w").parse().expect("w"), parts.next().expect("i").parse().expect("i"));
                assert_eq!(i, next[writer], "each writer's items are in its order");
                next[writer] += 1;
            }
        }
        at.offset = chunk.next;
    }
    assert_eq!(next, [50; 4]);
}

#[test]
fn segments_without_items_are_removed() {
    let dir = tempfile::tempdir().expect("a folder");
    let engine = Embedded::open(dir.path()).expect("opens");
    let stream = StreamName::new("s").expect("a name");
    engine.ensure(None, &[StreamSpec::new(stream.clone(), 1)]).expect("makes");
    for _ in 0..3 {
        engine.append(&stream, &[(0, Item::of(vec![b'x'; 50_000], 1))]).expect("appends");
    }
    let segments = || std::fs::read_dir(dir.path().join("seg")).expect("reads").count();
    assert_eq!(segments(), 3);
    engine.trim(&[At { stream: stream.clone(), partition: 0, offset: 2 }]).expect("trims");
    assert_eq!(segments(), 1);
    engine.delete(&stream).expect("deletes");
    assert_eq!(segments(), 0);
}

#[test]
fn retention_is_obeyed() {
    let dir = tempfile::tempdir().expect("a folder");
    let engine = Embedded::open(dir.path()).expect("opens");
    for (name, key, value, start) in [("bytes", "retention.bytes", "250", 2), ("time", "retention.ms", "1000", 4)] {
        let stream = StreamName::new(name).expect("a name");
        let mut spec = StreamSpec::new(stream.clone(), 1);
        spec.config.insert(key.into(), value.into());
        engine.ensure(None, &[spec]).expect("makes");
        for _ in 0..4 {
            engine.append(&stream, &[(0, Item::of(vec![b'x'; 40], 1))]).expect("appends");
        }
        engine.trim(&[]).expect("trims");
        assert_eq!(engine.span(&stream).expect("is there").first(), Some(&(start..4)), "{name}");
    }
}
