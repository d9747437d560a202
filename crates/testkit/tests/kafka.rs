//! The Kafka engine on real brokers: the suite of all engines, and what only it must do.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

use anabranch_engine_kafka::Kafka;
use anabranch_testkit::cluster::Cluster;
use anabranch_testkit::conformance::SUITE;

fn conforms_on(brokers: usize) {
    let cluster = Cluster::start(brokers);
    let engine = Kafka::open(cluster.bootstrap()).expect("opens");
    for (what, case) in SUITE {
        let began = std::time::Instant::now();
        case(&engine).unwrap_or_else(|e| panic!("{what}: {e}"));
        eprintln!("{:6.2} s  {what}", began.elapsed().as_secs_f64());
    }
}

#[test]
fn conforms_on_one_broker() {
    conforms_on(1);
}

#[test]
fn conforms_on_three_brokers() {
    conforms_on(3);
}
