//! The brokers that other tests run against: they come, survive one of them, guard what they should, and go.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

use anabranch_testkit::cluster::Cluster;
use std::net::TcpStream;
use std::process::Output;

/// What a tool wrote, for one that went well.
fn said(out: Output) -> String {
    let (said, errors) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{}\n{said}{errors}", out.status);
    said.into_owned()
}

#[test]
fn three_brokers_survive_one() {
    let cluster = Cluster::start(3);
    let topic = ["--create", "--topic", "lines", "--partitions", "10", "--replication-factor", "3"];
    said(cluster.tool("topics", &topic, ""));
    said(cluster.tool("console-producer", &["--topic", "lines"], "one\ntwo\nthree\nfour\nfive\n"));
    cluster.kill(2);
    let read = ["--topic", "lines", "--from-beginning", "--max-messages", "5", "--timeout-ms", "60000"];
    let lines = said(cluster.tool("console-consumer", &read, ""));
    let mut lines: Vec<&str> = lines.lines().collect();
    lines.sort();
    assert_eq!(lines, ["five", "four", "one", "three", "two"]);
    cluster.restart(2);

    let (dir, bootstrap) = (cluster.dir().to_owned(), cluster.bootstrap().to_owned());
    let addresses: Vec<&str> = bootstrap.split(',').collect();
    assert_eq!(addresses.len(), 3);
    assert!(addresses.iter().all(|at| TcpStream::connect(at).is_ok()), "all are back");
    drop(cluster);
    assert!(addresses.iter().all(|at| TcpStream::connect(at).is_err()), "all are gone");
    assert!(!dir.exists(), "and their data is");
}

#[test]
fn a_secure_listener_lets_in_whom_it_should() {
    let cluster = Cluster::secure();
    let at = std::fs::read_to_string(cluster.dir().join("bootstrap-secure")).expect("the address");
    said(cluster.tool("topics", &["--create", "--topic", "guarded"], ""));
    let write = |settings: &str, line: &str| {
        let settings = cluster.dir().join(settings).display().to_string();
        let args = ["--bootstrap-server", at.trim(), "--producer.config", &settings, "--topic", "guarded"];
        String::from_utf8(cluster.tool("console-producer", &args, line).stderr).expect("text")
    };
    let errors = write("client-scram.properties", "before");
    assert!(errors.contains("TopicAuthorizationException"), "alice may not write yet:\n{errors}");
    let allow = ["--add", "--allow-principal", "User:alice", "--topic", "guarded", "--operation", "all"];
    said(cluster.tool("acls", &allow, ""));
    assert_eq!(write("client-scram.properties", "by scram"), "");
    assert_eq!(write("client-plain.properties", "by plain"), "");

    let known = std::fs::read_to_string(cluster.dir().join("client-scram.properties")).expect("the settings");
    std::fs::write(cluster.dir().join("wrong.properties"), known.replace("alice-secret", "wrong")).expect("writes");
    let errors = write("wrong.properties", "by nobody");
    assert!(errors.contains("SaslAuthenticationException"), "a wrong password:\n{errors}");

    let pid = std::fs::read_to_string(cluster.dir().join("broker-1/pid")).expect("its pid");
    let is_stopped = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).expect("the broker runs");
        status.contains("T (stopped)")
    };
    cluster.pause(1);
    assert!(is_stopped());
    cluster.resume(1);
    assert!(!is_stopped());
    let read = ["--topic", "guarded", "--from-beginning", "--max-messages", "2", "--timeout-ms", "60000"];
    assert_eq!(said(cluster.tool("console-consumer", &read, "")), "by scram\nby plain\n");
}
