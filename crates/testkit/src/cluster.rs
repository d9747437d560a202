//! Real Kafka brokers for a test: a cluster in a directory of its own, run by `scripts/kafka`.
//!
//! It needs a JDK and Maven, and `secure` OpenSSL. Without them a test fails and says what to install; none is skipped.
#![allow(clippy::expect_used, clippy::panic)] // a test that cannot go on fails

use std::io::{Seek, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::{process, thread};
use tempfile::TempDir;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/kafka");
const FOREIGN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/java/Foreign.java");
/// Tools that take no `--bootstrap-server`.
const OFFLINE: &[&str] = &["dump-log", "producer-perf-test"];

/// Brokers that run until this is dropped, or until the process of the test ends, however it ends.
///
/// The directory goes with it, except when the test fails: then data and logs stay for a look.
pub struct Cluster {
    dir: TempDir,
    bootstrap: String,
}

impl Cluster {
    /// One broker, or three with everything replicated to all and two needed to write.
    pub fn start(brokers: usize) -> Cluster {
        Cluster::with(&["--brokers", &brokers.to_string()])
    }

    /// One broker that has, besides, a listener with TLS, SASL and ACLs. Its address is in the file `bootstrap-secure`,
    /// and what a client needs in `client-scram.properties` and `client-plain.properties`.
    pub fn secure() -> Cluster {
        Cluster::with(&["--secure"])
    }

    fn with(options: &[&str]) -> Cluster {
        let dir = tempfile::Builder::new().prefix("kafka-").tempdir().expect("a directory");
        // Made before the start, so that one that fails is stopped as well.
        let mut cluster = Cluster { dir, bootstrap: String::new() };
        let said = cluster.run(&[&["start", "--parent", &process::id().to_string()], options].concat());
        let (_, bootstrap) = said.trim_end().rsplit_once("kafka is up: ").expect("the brokers' addresses");
        cluster.bootstrap = bootstrap.to_owned();
        cluster
    }

    /// The addresses of all brokers, `127.0.0.1:20010,127.0.0.1:20011`, without TLS.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// The directory of the cluster: `broker-1/server.log`, `broker-1/data` and so on.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Kills broker `n`, of 1 to 3, with SIGKILL. It is gone on return; others notice after up to 9 s.
    pub fn kill(&self, n: usize) {
        self.run(&["kill", &n.to_string()]);
    }

    /// Starts broker `n` again, with its data and at its port, and waits until the cluster has taken it back. That is
    /// up to 9 s after a kill, as its former self must be given up first.
    pub fn restart(&self, n: usize) {
        self.run(&["restart", &n.to_string()]);
    }

    /// Starts all brokers again that are down.
    pub fn start_again(&self) {
        let brokers = self.bootstrap.split(',').count().to_string();
        self.run(&["start", "--brokers", &brokers, "--parent", &process::id().to_string()]);
    }

    /// Stops broker `n` where it is, with SIGSTOP: connections stay, and nothing is answered.
    pub fn pause(&self, n: usize) {
        self.run(&["pause", &n.to_string()]);
    }

    /// Lets a paused broker `n` go on.
    pub fn resume(&self, n: usize) {
        self.run(&["continue", &n.to_string()]);
    }

    /// Runs one of Kafka's command line tools, `topics` or `console-producer`, to its end. It is given the addresses
    /// of the brokers, unless `args` name others.
    ///
    /// Look at what it writes, too: the console tools end with 0 when they were refused.
    pub fn tool(&self, name: &str, args: &[&str], stdin: &str) -> Output {
        let mut input = tempfile::tempfile().expect("a file for the input");
        input.write_all(stdin.as_bytes()).and_then(|()| input.rewind()).expect("writes the input");
        let mut tool = Command::new(SCRIPT);
        tool.args(["tool", name]);
        if !OFFLINE.contains(&name) && !args.contains(&"--bootstrap-server") {
            tool.args(["--bootstrap-server", &self.bootstrap]);
        }
        tool.args(args).stdin(input).output().unwrap_or_else(|e| panic!("{SCRIPT} does not start: {e}"))
    }

    /// What Kafka's own reader of committed items finds in a topic, from its beginning, a line for each. On a busy machine
    /// it may give up before it has begun: while it finds fewer than `least`, it is asked again, a few times.
    pub fn committed(&self, topic: &str, show: &[&str], least: usize) -> String {
        let read =
            ["--topic", topic, "--from-beginning", "--isolation-level", "read_committed", "--timeout-ms", "8000"];
        let read = || {
            let output = self.tool("console-consumer", &[&read[..], show].concat(), "");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        (0..5).map(|_| read()).find(|seen| seen.lines().count() >= least).unwrap_or_else(read)
    }

    /// Lets a producer of somebody else write so many items in one transaction, and commit it, abort it, or end without a
    /// word (`hang`); its successor (`heal`) aborts what it left.
    pub fn foreign(&self, topic: &str, how: &str, prefix: &str, count: usize) {
        let libs = self.run(&["libs"]);
        let mut java = Command::new("java");
        java.args(["-XX:TieredStopAtLevel=1", "-cp", &format!("{}/*", libs.trim()), FOREIGN]);
        java.args([&self.bootstrap, topic, how, prefix, &count.to_string()]);
        let out = java.stdin(Stdio::null()).output().expect("a JDK is needed");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }

    /// Runs the script on this cluster, and returns what it said.
    fn run(&self, args: &[&str]) -> String {
        let mut script = Command::new(SCRIPT);
        script.args(args).arg("--dir").arg(self.dir()).stdin(Stdio::null());
        let out = script.output().unwrap_or_else(|e| panic!("{SCRIPT} does not start: {e}"));
        let (said, errors) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(out.status.success(), "scripts/kafka {} failed:\n{said}{errors}", args.join(" "));
        said.into_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut stop = Command::new(SCRIPT);
        stop.args(["stop", "--now", "--dir"]).arg(self.dir());
        // A start that failed at once left nothing to stop, which the script would say.
        let _ = stop.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if thread::panicking() {
            self.dir.disable_cleanup(true);
            eprintln!("the brokers' data and logs are kept in {}", self.dir().display());
        }
    }
}
