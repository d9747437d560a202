//! The embedded engine: the suite of all engines, and what only it must do.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

use anabranch_engine::{
    Account, Admin, At, BatchRef, Builder, Codec, Commit, Dest, Engine, FlowId, Item, Kind, Limit, Put, StreamName,
    StreamSpec, chunks,
};
use anabranch_engine_embedded::{Disk, Embedded, RealDisk, SegmentFile};
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
            let account = Account { seq, ..Account::default() };
            let commit = Commit { puts: vec![put(&stream, 100_000)], account, report: None };
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

/// A disk whose segment files, once their writer lets go of them, are swept by another process at once.
struct Swept(std::path::PathBuf);

struct SweptFile(Option<Box<dyn SegmentFile>>, std::path::PathBuf);

impl Disk for Swept {
    fn create(&self, path: &std::path::Path) -> std::io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(SweptFile(Some(RealDisk.create(path)?), self.0.clone())))
    }
}

impl SegmentFile for SweptFile {
    fn write_at(&mut self, bytes: &[u8], at: u64) -> std::io::Result<()> {
        self.0.as_mut().expect("open").write_at(bytes, at)
    }
    fn sync(&mut self) -> std::io::Result<()> {
        self.0.as_mut().expect("open").sync()
    }
}

impl Drop for SweptFile {
    fn drop(&mut self) {
        self.0 = None;
        Embedded::open(&self.1).expect("opens").trim(&[]).expect("sweeps");
    }
}

fn bytes_of(engine: &Embedded, stream: &StreamName) -> usize {
    let span = engine.span(stream).expect("is there").remove(0);
    let at = At { stream: stream.clone(), partition: 0, offset: span.start };
    let all = chunks(engine, at, span.end).flat_map(|c| c.expect("reads").batches);
    all.map(|h| h.load().expect("its bytes are there").bytes().len()).sum()
}

/// What lies between a write and its commit is nobody's garbage, whoever wrote it and whoever sweeps: the lock of a
/// segment outlives its writer for as long as batches of it wait for their rows.
#[test]
fn bytes_that_wait_for_their_commit_are_not_swept() {
    let dir = tempfile::tempdir().expect("a folder");
    let engine = Embedded::open_on(dir.path(), Arc::new(Swept(dir.path().to_path_buf()))).expect("opens");
    let (outside, flow) = (StreamName::new("outside").expect("a name"), FlowId::new("f").expect("a name"));
    engine.ensure(None, &[StreamSpec::new(outside.clone(), 1)]).expect("makes");
    let large = [(0, Item::of(vec![b'x'; 100_000], 1))];
    engine.append(&outside, &large).expect("from outside");
    assert!(bytes_of(&engine, &outside) > 100_000);

    let own = StreamName::new("own").expect("a name");
    engine.ensure(Some(&flow), &[StreamSpec::new(own.clone(), 1)]).expect("makes");
    for seq in 1..=20 {
        let mut lane = engine.claim(&flow, 0).expect("claims");
        let account = Account { seq, ..Account::default() };
        let commit = Commit { puts: vec![put(&own, 100_000)], account, report: None };
        lane.submit(commit).expect("a commit");
        drop(lane); // its writer ends while the commit waits for the index
        assert!(bytes_of(&engine, &own) > 100_000 * seq as usize);
    }
}

/// If locks do not hold, a commit finds that its segment was taken, and fails: it never names bytes that are gone.
#[test]
fn a_row_never_names_a_segment_that_was_removed() {
    struct Unlocked(std::path::PathBuf);
    impl Disk for Unlocked {
        fn create(&self, path: &std::path::Path) -> std::io::Result<Box<dyn SegmentFile>> {
            let file = std::fs::File::create_new(path)?;
            Ok(Box::new(UnlockedFile(file, self.0.clone())))
        }
    }
    struct UnlockedFile(std::fs::File, std::path::PathBuf);
    impl SegmentFile for UnlockedFile {
        fn write_at(&mut self, bytes: &[u8], at: u64) -> std::io::Result<()> {
            std::os::unix::fs::FileExt::write_all_at(&self.0, bytes, at)
        }
        fn sync(&mut self) -> std::io::Result<()> {
            Embedded::open(&self.1).expect("opens").trim(&[]).expect("sweeps");
            self.0.sync_data()
        }
    }
    let dir = tempfile::tempdir().expect("a folder");
    let engine = Embedded::open_on(dir.path(), Arc::new(Unlocked(dir.path().to_path_buf()))).expect("opens");
    let stream = StreamName::new("s").expect("a name");
    engine.ensure(None, &[StreamSpec::new(stream.clone(), 1)]).expect("makes");
    let error = engine.append(&stream, &[(0, Item::of(vec![b'x'; 100_000], 1))]).expect_err("its bytes are gone");
    assert!(error.text.contains("was removed before its batches were committed"), "{error}");
    assert_eq!(engine.span(&stream).expect("is there"), vec![0..0]);
}

/// Rows of the index that somebody edits are told, whether they would hide items or be waited for.
#[test]
fn rows_that_were_edited_are_told() {
    for edit in [
        "UPDATE part SET next = next - 2",
        "UPDATE part SET next = next + 2",
        "UPDATE ext SET id = id + 1 WHERE id & 1023 = 3",
        "DELETE FROM ext WHERE id & 1023 = 3",
    ] {
        let dir = tempfile::tempdir().expect("a folder");
        let engine = Embedded::open(dir.path()).expect("opens");
        let stream = StreamName::new("s").expect("a name");
        engine.ensure(None, &[StreamSpec::new(stream.clone(), 1)]).expect("makes");
        for _ in 0..3 {
            engine.append(&stream, &vec![(0, Item::of("x", 1)); 3]).expect("appends");
        }
        rusqlite::Connection::open(dir.path().join("index.db")).expect("opens").execute(edit, []).expect("edits");
        let at = At { stream: stream.clone(), partition: 0, offset: 0 };
        let read = engine
            .span(&stream)
            .and_then(|_| chunks(&engine, at, 9).map(|c| c.map(|c| c.batches.len())).sum::<Result<usize, _>>());
        assert_eq!(read.expect_err(edit).kind, Kind::Corrupt, "{edit}");
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
