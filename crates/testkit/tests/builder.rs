//! A flow made in Rust, with closures, runs as one from a file does.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

use anabranch::flow::build::{FlowBuilder, act, copy, filter, join, merge, reduce, shard, split, stream, work};
use anabranch::run::{Options, Outcome, run};
use anabranch::{Embedded, Local};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Deserialize)]
struct Sale {
    product: String,
    amount: i64,
}

#[derive(Serialize, Deserialize)]
struct Receipt {
    product: String,
    cents: i64,
}

#[test]
fn every_pattern_through_the_builder() {
    let flow = FlowBuilder::new("sales")
        .stream("sales", stream().source("sales.jsonl"))
        .stream("sums", stream().sink("out/sums.jsonl"))
        .stream("large", stream().sink("out/large.jsonl"))
        .stream("small", stream().sink("out/small.jsonl"))
        .step("big", filter("sales", |s: Sale| s.amount >= 10))
        .step("both", copy("big", ["one", "two"]))
        .step("receipts", work("one", |s: Sale| Receipt { product: s.product, cents: s.amount * 100 }))
        .step("spread", shard("receipts", |r: Receipt| r.product, 3).to("part-{shard}"))
        .step("again", merge(["part-0", "part-1", "part-2"]))
        .step(
            "sent",
            act("again", |r: Receipt, job| {
                assert!(job.id.starts_with("sales/sent/"));
                if r.cents == 1300 { Err("unlucky".into()) } else { Ok(r) }
            }),
        )
        .step("all-sent", join(["sent"]).tolerate(1))
        .step("sums", reduce("all-sent").by("item.product").value([("cents", "sum(item.cents)")]))
        .step("sizes", split("two").case(|s: Sale| s.amount >= 20, "large").otherwise("small"))
        .build()
        .unwrap_or_else(|d| panic!("{d:?}"));
    let folder = tempfile::tempdir().expect("a folder");
    let sales = "{\"product\":\"tea\",\"amount\":10}\n{\"product\":\"tea\",\"amount\":25}\n{\"product\":\"milk\",\"amount\":9}\n{\"product\":\"milk\",\"amount\":12}\n{\"product\":\"milk\",\"amount\":13}\n";
    std::fs::write(folder.path().join("sales.jsonl"), sales).expect("writes");
    let engine = Arc::new(Embedded::open(&folder.path().join("data")).expect("opens"));
    let world = Arc::new(Local::new(folder.path()));
    let Outcome::Closed(report) = run(Arc::new(flow), engine, world, Options::default()).expect("runs") else {
        panic!("stopped")
    };
    assert!(report.balanced, "{report:?}");
    assert_eq!((report.exit, report.dead.len(), report.dead[0].error.as_str()), (3, 1, "unlucky"));
    let read = |name: &str| std::fs::read_to_string(folder.path().join("out").join(name)).expect("reads");
    assert_eq!(read("sums.jsonl"), "{\"product\":\"milk\",\"cents\":1200}\n{\"product\":\"tea\",\"cents\":3500}\n");
    assert_eq!(read("large.jsonl"), "{\"product\":\"tea\",\"amount\":25}\n");
    assert_eq!(read("small.jsonl").lines().count(), 3);
}

#[test]
fn a_flow_that_cannot_run_says_why() {
    let wrong = FlowBuilder::new("x").stream("a", stream()).step("b", reduce("c")).build().expect_err("cannot run");
    let said: Vec<&str> = wrong.0.iter().map(|d| d.message.as_str()).collect();
    assert!(
        said.contains(&"no step writes the stream `c`") && said.contains(&"`reduce` needs `value` or `fold`"),
        "{said:?}"
    );
}
