//! Our record batches against Kafka's own Java code: what one side writes, the other reads, item by item.
//!
//! Both sides list what they read, one line for each batch and each record; the listings must be equal. The format
//! is in `oracle/README.md`.

#![allow(clippy::expect_used, clippy::panic)]

use anabranch_engine::batch::Head;
use anabranch_engine::{Batch, Builder, Codec, Item, Rows};
use bytes::Bytes;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
const ORACLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/oracle");
const POM: &str = include_str!("../oracle/pom.xml");
const JDK: &str = "a JDK of at least 17 (Debian: apt install openjdk-17-jdk-headless)";
const MAVEN: &str = "Maven (Debian: apt install maven)";

#[test]
fn kafka_reads_what_we_write() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut stored, mut expected) = (Vec::new(), Vec::new());
    let mut base = 5_000_000_000;
    for (batch, items) in our_batches() {
        let at = stored.len();
        stored.extend_from_slice(batch.bytes());
        // The broker sets the base offset, which the checksum leaves out.
        stored[at..at + 8].copy_from_slice(&i64::to_be_bytes(base));
        expected.push(written_line(base, batch.head().codec, &items));
        expected.extend((base..).zip(&items).map(|(offset, item)| record_line(offset, item)));
        base += items.len() as i64;
    }
    fs::write(dir.path().join("batches"), stored).expect("writes");
    assert_same(&expected, &oracle("read", dir.path()));
}

#[test]
fn we_read_what_kafka_writes() {
    let dir = tempfile::tempdir().expect("a directory");
    let kafka = oracle("write", dir.path());
    let stored = fs::read(dir.path().join("batches")).expect("reads");
    let mut listed = Vec::new();
    for batch in split(stored.into()) {
        let (first, _) = batch.bytes().split_first_chunk().expect("a header");
        let base = i64::from_be_bytes(*first);
        listed.push(read_line(base, &batch));
        let records = batch.records().expect("Kafka's records are read");
        listed.extend(records.iter().map(|r| record_line(base + i64::from(r.delta()), &r.to_item())));
    }
    for part in [
        " lz4 ",
        " zstd ",
        " gzip ",
        " snappy ",
        " none ",
        " LogAppendTime ",
        " true false",
        " true true",
        " null ",
        " x ",
    ] {
        assert!(listed.iter().any(|line| line.contains(part)), "Kafka wrote nothing with {part:?}");
    }
    assert_same(&listed, &kafka);
}

/// Batches of every codec and of many sizes, each also as half of its rows gathered, and large ones; with their items.
fn our_batches() -> Vec<(Batch, Vec<Item>)> {
    let mut random = TestRunner::deterministic();
    let item = item();
    let mut draw =
        |count| -> Vec<Item> { (0..count).map(|_| item.new_tree(&mut random).expect("an item").current()).collect() };
    let mut all = Vec::new();
    for codec in CODECS {
        for count in [1, 2, 3, 17, 60, 64, 65, 128, 200, 333, 499, 500] {
            all.push(build(codec, draw(count)));
        }
    }
    let odd = |items: &[Item]| items.iter().skip(1).step_by(2).cloned().collect::<Vec<_>>();
    let gathered = |(batch, items): &(Batch, Vec<Item>)| {
        let rows = Rows::from_fn(items.len(), |row| row % 2 == 1);
        Some((batch.gather(&rows).expect("gathers")?, odd(items)))
    };
    let halves: Vec<_> = all.iter().filter_map(gathered).collect();
    let large = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd].map(|codec| build(codec, large_items().into()));
    all.into_iter().chain(halves).chain(large).collect()
}

fn build(codec: Codec, items: Vec<Item>) -> (Batch, Vec<Item>) {
    let mut builder = Builder::new(codec);
    items.iter().for_each(|item| builder.push_item(item));
    (builder.finish().expect("not empty"), items)
}

fn item() -> impl Strategy<Value = Item> {
    let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..80).prop_map(Bytes::from));
    let value = prop_oneof![
        6 => bytes(),
        1 => Just(Some(Bytes::new())),
        2 => (any::<u8>(), 0..2_000usize).prop_map(|(byte, len)| Some(vec![byte; len].into())),
    ];
    let timestamp = prop_oneof![
        400 => 1_700_000_000_000..1_700_000_100_000i64,
        1 => prop_oneof![Just(-1), Just(0), Just(i64::MAX), Just(i64::MIN)],
        1 => any::<i64>(),
    ];
    let name = proptest::string::string_regex("\\PC{0,6}").expect("a pattern");
    let headers = proptest::collection::vec((name, bytes()), 0..4);
    (bytes(), value, headers, timestamp).prop_map(|(key, value, headers, timestamp)| Item {
        key,
        value,
        headers,
        timestamp,
    })
}

/// Values longer than the largest block of an lz4 frame, one that packs well and one that does not.
fn large_items() -> [Item; 2] {
    let len = (4 << 20) + 1;
    let mut state = 1u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let noise: Bytes = noise.take(len).collect();
    [Item::of(vec![b'a'; len], 1), Item::of(noise, 2)]
}

/// The batches of a file that holds nothing else.
fn split(mut stored: Bytes) -> Vec<Batch> {
    let mut batches = Vec::new();
    while !stored.is_empty() {
        let head = Head::parse(&stored).expect("Kafka's header is read");
        batches.push(Batch::parse(stored.split_to(head.len)).expect("Kafka's batch is read"));
    }
    batches
}

/// The line of a batch of ours, told from its items alone.
fn written_line(base: i64, codec: Codec, items: &[Item]) -> String {
    let count = items.len();
    let last = base + count as i64 - 1;
    let first_timestamp = items[0].timestamp;
    let max_timestamp = items.iter().map(|i| i.timestamp).max().expect("not empty");
    let codec = codec_name(codec);
    format!("batch {base} {last} {count} {codec} CreateTime {first_timestamp} {max_timestamp} -1 -1 -1 false false")
}

/// The line of a batch of Kafka's, told from its header.
fn read_line(base: i64, batch: &Batch) -> String {
    let head = batch.head();
    let last = base + i64::from(head.last_delta);
    let time = if head.append_time { "LogAppendTime" } else { "CreateTime" };
    // Epoch and sequence are nothing that we read, so they stand as the bytes they are.
    let epoch = i16::from_be_bytes([batch.bytes()[51], batch.bytes()[52]]);
    let (sequence, _) = batch.bytes()[53..].split_first_chunk().expect("a header");
    format!(
        "batch {base} {last} {} {} {time} {} {} {} {epoch} {} {} {}",
        batch.count(),
        codec_name(head.codec),
        head.first_timestamp,
        head.max_timestamp,
        head.producer,
        i32::from_be_bytes(*sequence),
        head.transactional,
        head.control,
    )
}

fn codec_name(codec: Codec) -> &'static str {
    match codec {
        Codec::None => "none",
        Codec::Gzip => "gzip",
        Codec::Snappy => "snappy",
        Codec::Lz4 => "lz4",
        Codec::Zstd => "zstd",
    }
}

fn record_line(offset: i64, item: &Item) -> String {
    let (key, value) = (hex(item.key.as_deref()), hex(item.value.as_deref()));
    let mut line = format!("record {offset} {} {key} {value}", item.timestamp);
    for (name, value) in &item.headers {
        line.extend([" ", &hex(Some(name.as_bytes())), "=", &hex(value.as_deref())]);
    }
    line
}

fn hex(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "null".into() };
    let digit = |d: u8| char::from(b"0123456789abcdef"[usize::from(d)]);
    let mut out = String::with_capacity(1 + 2 * bytes.len());
    out.push('x');
    for byte in bytes {
        out.push(digit(byte >> 4));
        out.push(digit(byte & 15));
    }
    out
}

fn assert_same(ours: &[String], kafka: &str) {
    for (i, (ours, kafka)) in ours.iter().zip(kafka.lines()).enumerate() {
        if ours != kafka {
            let same = ours.bytes().zip(kafka.bytes()).take_while(|(a, b)| a == b).count();
            // Lines may have millions of digits: show which one it is, and where it differs.
            let cut = |line: &str| format!("{line:.60} … {:.200}", &line[same.saturating_sub(40)..]);
            panic!("line {} differs at byte {same}:\n ours:  {}\n Kafka: {}", i + 1, cut(ours), cut(kafka));
        }
    }
    assert_eq!(ours.len(), kafka.lines().count(), "lines of ours and of Kafka");
}

/// Runs Kafka's side on the file `batches` of `dir` and returns its listing.
fn oracle(action: &str, dir: &Path) -> String {
    let listing = dir.join("listing");
    let mut java = Command::new("java");
    java.args(["-XX:TieredStopAtLevel=1", "-cp"]).arg(kafka_jars().join("*"));
    java.arg(Path::new(ORACLE).join("Oracle.java")).arg(action).arg(dir.join("batches")).arg(&listing).arg("20260101");
    run(java, JDK);
    fs::read_to_string(listing).expect("a listing")
}

/// The directory of Kafka's jars, fetched unless those of this `pom.xml` are there.
fn kafka_jars() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oracle");
    fs::create_dir_all(&dir).expect("a directory in the target directory");
    // Both tests want the jars at once, perhaps from two processes.
    let lock = File::create(dir.join("lock")).expect("a lock file");
    lock.lock().expect("locks");
    let libs = dir.join("libs");
    let fetched = libs.join("pom.xml");
    if fs::read_to_string(&fetched).is_ok_and(|pom| pom == POM) {
        return libs;
    }
    let _ = fs::remove_dir_all(&libs);
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "-f"]).arg(Path::new(ORACLE).join("pom.xml"));
    maven.args(["dependency:copy-dependencies", "-DincludeScope=runtime"]);
    maven.arg(format!("-DoutputDirectory={}", libs.display()));
    run(maven, MAVEN);
    fs::write(fetched, POM).expect("remembers what was fetched");
    libs
}

fn run(mut command: Command, install: &str) {
    let program = command.get_program().display().to_string();
    let out = command.output().unwrap_or_else(|e| panic!("`{program}` does not start ({e}). Install {install}."));
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "`{program}` failed:\n{stdout}{stderr}\nIt must come from {install}.");
}
