//! Topics as other people's producers write them: every compression, tombstones, keys, the broker's clock, large items.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use anabranch_testkit::cluster::Cluster;
use common::{Place, sorted};

const FLOW: &str = "
flow: foreign
streams: { in: { partitions: 3, format: text }, whole: { partitions: 3, format: text }, some: { partitions: 3, format: text } }
steps:
  whole: { copy: in, to: whole }
  some: { filter: in, where: \"item != 'skip'\" }
";

#[test]
fn what_others_write_is_copied_as_it_is() {
    let cluster = Cluster::start(1);
    let place = Place::with(FLOW, &[]).on(cluster.bootstrap());
    let config = ["--config", "message.timestamp.type=LogAppendTime", "--config", "max.message.bytes=2000000"];
    place.run(&[&["streams", "create", "in", "--partitions", "3"][..], &config].concat()).exits(0);
    place.run(&["streams", "create", "whole", "--partitions", "3", "--config", "max.message.bytes=2000000"]).exits(0);
    place.run(&["streams", "create", "some", "--partitions", "3", "--config", "max.message.bytes=2000000"]).exits(0);
    let (mut all, mut kept) = (vec![], vec![]);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let large = "x".repeat(900_000);
        let lines: Vec<String> = (0..50)
            .map(|i| format!("{codec}{i}:{}", if i % 7 == 0 { "skip".into() } else { format!("{codec} value {i}") }))
            .chain([format!("{codec}-gone:NULL"), format!("{codec}-large:{large}")])
            .collect();
        let keys = ["--property", "parse.key=true", "--property", "key.separator=:", "--property", "null.marker=NULL"];
        let args = [
            &["--topic", "in", "--compression-codec", codec, "--producer-property", "max.request.size=2000000"][..],
            &keys,
        ];
        let wrote = cluster.tool("console-producer", &args.concat(), &(lines.join("\n") + "\n"));
        assert!(wrote.status.success(), "{}", String::from_utf8_lossy(&wrote.stderr));
        all.extend(lines.iter().map(|l| l.replace(":NULL", ":null")));
        kept.extend(lines.iter().filter(|l| !l.ends_with(":skip")).map(|l| l.replace(":NULL", ":null")));
    }
    place.run(&["run"]).exits(0).says("balanced ✓");
    let with_times = |topic| {
        let show = ["--property", "print.timestamp=true", "--property", "print.key=true"];
        sorted(&cluster.committed(topic, &show, all.len()).replace("LogAppendTime:", "CreateTime:"))
    };
    assert_eq!(with_times("whole"), with_times("in"), "the broker's time is carried on");
    for (topic, want) in [("whole", all), ("some", kept)] {
        let show = ["--property", "print.key=true", "--property", "key.separator=:"];
        let got = cluster.committed(topic, &show, want.len());
        assert_eq!(sorted(&got), sorted(&want.join("\n")), "{topic}");
    }
}

/// Compaction takes items out of the middle of a batch; brokers take no such batch from a producer.
#[test]
fn a_compacted_topic_is_copied_without_its_holes() {
    let cluster = Cluster::start(1);
    let flow = "
flow: compacted
streams: { in: { partitions: 1, format: text }, out: { partitions: 1, format: text } }
steps: { out: { copy: in, to: out } }
";
    let place = Place::with(flow, &[]).on(cluster.bootstrap());
    let config = ["cleanup.policy=compact", "segment.ms=100", "min.cleanable.dirty.ratio=0.001"];
    let config: Vec<&str> = config.iter().flat_map(|c| ["--config", c]).collect();
    place.run(&[&["streams", "create", "in", "--partitions", "1"][..], &config].concat()).exits(0);
    let keys = ["--topic", "in", "--property", "parse.key=true", "--property", "key.separator=:"];
    cluster.tool("console-producer", &keys, "a:1\nb:1\na:2\nc:1\nb:2\nd:1\n");
    let seen = |place: &Place| place.run(&["consume", "in", "--from-beginning", "--print", "key"]).exits(0).out;
    // the cleaner looks every 15 s, and only behind the newest segment
    for round in 0.. {
        cluster.tool("console-producer", &keys, &format!("e:{round}\n"));
        if seen(&place).lines().filter(|l| l.starts_with(['a', 'b'])).count() == 2 {
            break;
        }
        assert!(round < 60, "the broker does not compact: {}", seen(&place));
    }
    let left = seen(&place);
    place.run(&["run"]).exits(0).says("balanced ✓");
    let copied = place.run(&["consume", "out", "--from-beginning", "--print", "key"]).exits(0).out;
    assert_eq!(copied, left);
    assert!(copied.starts_with("a\t2\nc\t1\nb\t2\nd\t1\n"), "{copied}");
}

/// A consumer of somebody else is in the group of a step: its offsets are left alone, and the run goes on.
#[test]
fn a_group_with_members_is_not_touched() {
    let cluster = Cluster::start(1);
    let flow = "
flow: crowded
streams: { in: { partitions: 2, format: text }, out: { partitions: 2, format: text } }
steps: { out: { copy: in, to: out, group: crowd } }
";
    let place = Place::with(flow, &[]).on(cluster.bootstrap());
    place.run(&["streams", "create", "in", "--partitions", "2"]).exits(0);
    place.feed(&["produce", "in"], b"1\n2\n3\n").exits(0);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/kafka");
    let mut member = std::process::Command::new(script)
        .args([
            "tool",
            "console-consumer",
            "--bootstrap-server",
            cluster.bootstrap(),
            "--topic",
            "in",
            "--group",
            "crowd",
        ])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("starts");
    let state = || {
        let told = cluster.tool("consumer-groups", &["--describe", "--group", "crowd", "--state"], "");
        String::from_utf8_lossy(&told.stdout).into_owned()
    };
    assert!((0..30).any(|_| state().contains("Stable")), "nobody joins the group: {}", state());
    place.run(&["run"]).exits(0).says("balanced ✓");
    let copied = place.run(&["consume", "out", "--from-beginning"]).exits(0);
    member.kill().expect("kills");
    member.wait().expect("waits");
    assert_eq!(sorted(&copied.out), ["1", "2", "3"]);
}
