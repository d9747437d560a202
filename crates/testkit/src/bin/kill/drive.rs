//! Running one case to its end through kills, and comparing.

use super::cases::Case;
use anabranch_simulator::Compared;
use anabranch_testkit::rng::Rng;
use anabranch_testkit::trial;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Kills that one run takes at most.
const KILLS_A_RUN: u64 = 12;
/// No run of a case takes as long as this.
const LONGEST_RUN: Duration = Duration::from_secs(60);

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Processes killed.
    pub kills: u64,
    /// Runs that came to their end.
    pub runs: u64,
    /// Items compared.
    pub compared: Compared,
    /// Reports that do not balance, or that say another end.
    pub unbalanced: u64,
}

impl Found {
    /// How much is wrong.
    pub fn wrong(&self) -> u64 {
        self.compared.lost + self.compared.twice + self.unbalanced
    }

    /// Adds what another run found.
    pub fn add(&mut self, other: &Found) {
        self.kills += other.kills;
        self.runs += other.runs;
        self.compared.join(&other.compared);
        self.unbalanced += other.unbalanced;
    }
}

/// One case in a folder of its own.
pub struct Drive<'c> {
    case: &'c Case,
    folder: tempfile::TempDir,
    seed: u64,
}

impl<'c> Drive<'c> {
    /// Makes the folder with the flow.
    pub fn new(case: &'c Case, seed: u64) -> Result<Drive<'c>, String> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        std::fs::write(folder.path().join("flow.yaml"), case.flow).map_err(|e| e.to_string())?;
        Ok(Drive { case, folder, seed })
    }

    /// Runs two batches through kills and compares after each.
    pub fn run(&self, kills: u64) -> Result<Found, String> {
        let mut found = Found::default();
        let mut dice = Rng::new(self.seed);
        let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let usual = self.usual_time()?;
        let mut last_run = 0;
        for batch in 0..2 {
            let items = (self.case.items)(&mut dice, batch);
            self.give(&items)?;
            let (killed, report) = self.killed(&mut dice, usual, kills.saturating_sub(found.kills).min(KILLS_A_RUN))?;
            found.kills += killed;
            found.runs += 1;
            let model = (self.case.model)(&items);
            let dead = model.get("dead").is_some_and(|d| !d.is_empty());
            let ended_well = report["balanced"] == true && report["exit"] == if dead { 3 } else { 0 };
            if !ended_well {
                eprintln!("{}: {report}", self.case.name);
                found.unbalanced += 1;
            }
            if !self.case.adds {
                expected.retain(|what, _| what == "dead"); // dead letters stay, files are replaced
            }
            // a run that was killed when it had closed is followed by another one over the same file
            let again = report["run"].as_u64().unwrap_or(0).saturating_sub(last_run + 1);
            last_run += again + 1;
            for _ in 0..if self.case.adds { 0 } else { again } {
                expected.entry("dead".into()).or_default().extend(model.get("dead").cloned().unwrap_or_default());
            }
            model.into_iter().for_each(|(k, mut v)| expected.entry(k).or_default().append(&mut v));
            self.compare(&expected, &mut found)?;
        }
        Ok(found)
    }

    /// How long a run takes that nobody disturbs.
    fn usual_time(&self) -> Result<Duration, String> {
        let other = Drive::new(self.case, self.seed)?;
        other.give(&(self.case.items)(&mut Rng::new(self.seed), 0))?;
        let began = Instant::now();
        let mut child = other
            .command(&["run", "--json"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| e.to_string())?;
        other.ends(&mut child)?;
        Ok(began.elapsed())
    }

    /// Puts the items where the flow reads them.
    fn give(&self, items: &[String]) -> Result<(), String> {
        let text = items.join("\n") + "\n";
        match self.case.topic {
            None => std::fs::write(self.folder.path().join("in.jsonl"), text).map_err(|e| e.to_string()),
            Some((topic, partitions)) => {
                self.done(&["streams", "create", topic, "--partitions", partitions, "--if-not-exists"])?;
                std::fs::write(self.folder.path().join("feed"), text).map_err(|e| e.to_string())?;
                let feed = std::fs::File::open(self.folder.path().join("feed")).map_err(|e| e.to_string())?;
                let status = self.command(&["produce", topic, "--key-separator", "="]).stdin(feed).status();
                if status.is_ok_and(|s| s.success()) { Ok(()) } else { Err("produce failed".into()) }
            }
        }
    }

    /// Kills and starts again until a process comes to the end.
    fn killed(&self, dice: &mut Rng, usual: Duration, most: u64) -> Result<(u64, serde_json::Value), String> {
        let ended = trial::to_the_end(self.folder.path(), dice, usual, most, LONGEST_RUN);
        ended.map_err(|e| format!("{} with seed {}: {e}", self.case.name, self.seed))
    }

    /// A run that does not end is a finding too.
    fn ends(&self, child: &mut std::process::Child) -> Result<(), String> {
        match trial::ends(child, Instant::now() + LONGEST_RUN) {
            true => Ok(()),
            false => Err(format!("{} with seed {}: the run does not end", self.case.name, self.seed)),
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        trial::command(self.folder.path(), args)
    }

    fn done(&self, args: &[&str]) -> Result<String, String> {
        let output = self.command(args).output().map_err(|e| e.to_string())?;
        if !output.status.success() {
            return Err(format!("{args:?}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn compare(&self, expected: &BTreeMap<String, Vec<String>>, found: &mut Found) -> Result<(), String> {
        for (file, want) in expected {
            found.compared.add(&format!("{}: {file}", self.case.name), want, &self.read(file)?);
        }
        Ok(())
    }

    /// What a file, a stream or the dead letters hold.
    fn read(&self, what: &str) -> Result<String, String> {
        if let Some(stream) = what.strip_prefix("stream:") {
            return self.done(&["consume", stream, "-q"]);
        }
        if what == "dead" {
            let all: serde_json::Value =
                serde_json::from_str(&self.done(&["dead", "list", "--json"])?).map_err(|e| e.to_string())?;
            let line = |d: &serde_json::Value| {
                format!("{} {}", d["step"].as_str().unwrap_or(""), d["value"].as_str().unwrap_or(""))
            };
            return Ok(all.as_array().into_iter().flatten().map(|d| line(d) + "\n").collect());
        }
        let path: &Path = &self.folder.path().join(what);
        std::fs::read_to_string(path).map_err(|e| format!("{what}: {e}"))
    }
}
