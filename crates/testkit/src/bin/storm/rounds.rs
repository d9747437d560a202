//! Rounds of the storm: a batch, some processes, and kills until it is done.

use super::work;
use anabranch_simulator::Compared;
use anabranch_testkit::cluster::Cluster;
use anabranch_testkit::rng::Rng;
use anabranch_testkit::trial;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Kills that one round takes at most.
const KILLS_A_ROUND: u64 = 14;
/// Processes that work at the same time, at most.
const PROCESSES: u64 = 4;
/// What a worker with a shifted clock believes. Brokers take nothing of a time more than an hour ahead of their own.
const CLOCKS: [&str; 5] = ["+0", "+50m", "-9h", "-400d", "+0 x0.33"];
/// No round takes as long as this, broker and all.
const LONGEST_ROUND: Duration = Duration::from_secs(300);

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Processes killed at work.
    pub workers: u64,
    /// Brokers killed while processes were at work.
    pub brokers: u64,
    /// Processes that were stopped for a while.
    pub stops: u64,
    /// Reports of processes that came to the end.
    pub reports: u64,
    /// Reports that do not balance, that differ, or are missing.
    pub unbalanced: u64,
    /// What Kafka's reader found.
    pub compared: Compared,
}

impl Found {
    /// Processes and brokers that were killed.
    pub fn kills(&self) -> u64 {
        self.workers + self.brokers
    }

    /// Nothing is wrong.
    pub fn sound(&self) -> bool {
        let seen = &self.compared;
        seen.lost + seen.twice + self.unbalanced == 0 && self.reports > 0 && seen.items > 0
    }
}

/// The brokers, and a folder with the flow.
pub struct Rounds {
    cluster: Arc<Cluster>,
    folder: tempfile::TempDir,
    rng: Rng,
    /// The library that shifts the clocks of the workers.
    clocks: Option<String>,
    rounds: u64,
    /// Reports by the number of their run: those of one run are equal.
    reports: BTreeMap<u64, Value>,
    /// What was found so far.
    pub found: Found,
}

impl Rounds {
    /// Starts three brokers.
    pub fn new(seed: u64, clocks: Option<&str>) -> Result<Rounds, String> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        std::fs::write(folder.path().join("flow.yaml"), work::FLOW).map_err(|e| e.to_string())?;
        let (cluster, rng) = (Arc::new(Cluster::start(3)), Rng::new(seed));
        let (clocks, reports, found) = (clocks.map(str::to_string), BTreeMap::new(), Found::default());
        let all = Rounds { cluster, folder, rng, clocks, rounds: 0, reports, found };
        all.done(&["streams", "create", "in", "--partitions", "6", "--replication-factor", "3"], Stdio::null())?;
        Ok(all)
    }

    /// A batch is given and worked; processes and brokers are killed, at most so many.
    pub fn next(&mut self, most: u64) -> Result<(), String> {
        let feed = self.folder.path().join("feed");
        std::fs::write(&feed, work::items(self.rounds).join("\n") + "\n").map_err(|e| e.to_string())?;
        self.rounds += 1;
        self.done(&["produce", "in", "-q"], File::open(&feed).map_err(|e| e.to_string())?.into())?;
        let mut crew = (0..1 + self.rng.below(PROCESSES)).map(|_| self.start()).collect::<Result<Vec<Child>, _>>()?;
        let until = Instant::now() + LONGEST_ROUND;
        let cluster = self.cluster.clone();
        thread::scope(|scope| {
            let mut broker: Option<thread::ScopedJoinHandle<'_, ()>> = None;
            for _ in 0..most.min(KILLS_A_ROUND) {
                let next = Instant::now() + Duration::from_millis(self.rng.below(1_000));
                while Instant::now() < next && at_work(&mut crew) {
                    thread::park_timeout(Duration::from_millis(5));
                }
                if !at_work(&mut crew) {
                    break;
                }
                if self.rng.eighths(1) && broker.as_ref().is_none_or(|b| b.is_finished()) {
                    let (n, later) = (1 + self.rng.below(3) as usize, Duration::from_millis(self.rng.below(3_000)));
                    cluster.kill(n);
                    self.found.brokers += 1;
                    let cluster = &cluster;
                    broker = Some(scope.spawn(move || {
                        thread::park_timeout(later);
                        cluster.restart(n);
                    }));
                } else {
                    let victim = self.rng.below(crew.len() as u64) as usize;
                    if self.clocks.is_some() && self.rng.eighths(3) {
                        let (stopped, later) = (Stopped::new(&crew[victim])?, Duration::from_secs(self.rng.below(20)));
                        scope.spawn(move || {
                            thread::park_timeout(later);
                            drop(stopped);
                        });
                        self.found.stops += 1;
                        continue;
                    }
                    let mut killed = std::mem::replace(&mut crew[victim], self.start()?);
                    killed.kill().and_then(|()| killed.wait()).map_err(|e| e.to_string())?;
                    self.found.workers += 1;
                }
            }
            crew.into_iter().try_for_each(|child| self.end(child, until))
        })
    }

    /// A process comes to its end by itself, and says what all others say.
    fn end(&mut self, mut child: Child, until: Instant) -> Result<(), String> {
        if !trial::ends(&mut child, until) {
            return Err(format!("round {}: a run does not end", self.rounds));
        }
        let output = child.wait_with_output().map_err(|e| e.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr);
        let report: Value = serde_json::from_slice(&output.stdout)
            .map_err(|e| format!("round {}: no report ({e}): {said}", self.rounds))?;
        self.found.reports += 1;
        let same = *self.reports.entry(report["run"].as_u64().unwrap_or(0)).or_insert_with(|| report.clone()) == report;
        if !same || !output.status.success() || report["balanced"] != true {
            eprintln!("{report}\n{said}");
            self.found.unbalanced += 1;
        }
        Ok(())
    }

    /// Lets Kafka's own reader of committed items read everything.
    pub fn compare(&mut self) -> Result<(), String> {
        for (topic, want) in work::model(self.rounds) {
            let seen = self.cluster.committed(topic, &[], want.len());
            self.found.compared.add(topic, &want, &seen);
        }
        Ok(())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = trial::command(self.folder.path(), args);
        command.env("ANABRANCH_KAFKA", self.cluster.bootstrap());
        command
    }

    fn start(&mut self) -> Result<Child, String> {
        let mut command = self.command(&["run", "--json"]);
        if let Some(library) = &self.clocks {
            let clock = CLOCKS[self.rng.below(CLOCKS.len() as u64) as usize];
            command.env("LD_PRELOAD", library).env("FAKETIME", clock);
        }
        command.spawn().map_err(|e| e.to_string())
    }

    fn done(&self, args: &[&str], stdin: Stdio) -> Result<(), String> {
        let output = self.command(args).stdin(stdin).output().map_err(|e| e.to_string())?;
        if !output.status.success() {
            return Err(format!("{args:?}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        Ok(())
    }
}

/// A process that does nothing until this is dropped.
struct Stopped(Pid);

impl Stopped {
    fn new(child: &Child) -> Result<Stopped, String> {
        let pid = Pid::from_child(child);
        kill_process(pid, Signal::STOP).map_err(|e| e.to_string())?;
        Ok(Stopped(pid))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT); // it may have been killed
    }
}

/// Whether nobody has come to the end yet.
fn at_work(crew: &mut [Child]) -> bool {
    crew.iter_mut().all(trial::at_work)
}
