//! Random flows, killed and not, beside the naive model: three batches each.

use anabranch_simulator::Compared;
use anabranch_simulator::drawn::model::{self, plain};
use anabranch_simulator::drawn::state::State;
use anabranch_simulator::drawn::{self, Shape, Source};
use anabranch_testkit::rng::Rng;
use anabranch_testkit::trial;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Steps that are drawn for a flow at most.
const STEPS: u64 = 9;
/// Batches of a flow.
const BATCHES: u64 = 3;
/// Kills that one run takes at most.
const KILLS_A_RUN: u64 = 3;
/// No run takes as long as this; one that does never ends.
const LONGEST_RUN: Duration = Duration::from_secs(30);

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Flows that were run.
    pub flows: u64,
    /// Runs that came to their end.
    pub runs: u64,
    /// Processes killed.
    pub kills: u64,
    /// Items compared.
    pub compared: Compared,
    /// Flows in which anything was another than the model says.
    pub wrong: Vec<u64>,
}

/// Runs flows of the seeds from `first` on; every second one is killed. Each one that is wrong is told with its seed.
pub fn run(first: u64, flows: u64) -> Found {
    let mut all = Found::default();
    for seed in first..first + flows {
        let mut dice = Rng::new(seed);
        let shape = drawn::draw(&mut dice, STEPS);
        let mut found = Found::default();
        let outcome = Trial::new(&shape).and_then(|trial| trial.batches(&mut dice, seed % 2 == 1, &mut found));
        let compared = found.compared.lost + found.compared.twice;
        if outcome.is_err() || compared > 0 {
            let why = outcome.err().unwrap_or_else(|| format!("{compared} items differ"));
            println!("seed {seed}: {why}\n{}", shape.yaml());
            all.wrong.push(seed);
        }
        all.flows += 1;
        all.runs += found.runs;
        all.kills += found.kills;
        all.compared.join(&found.compared);
        if all.flows.is_multiple_of(200) {
            eprintln!(
                "{} of {flows} flows, {} runs, {} kills, {} wrong",
                all.flows,
                all.runs,
                all.kills,
                all.wrong.len()
            );
        }
    }
    all
}

struct Trial<'s> {
    shape: &'s Shape,
    folder: tempfile::TempDir,
}

impl Trial<'_> {
    fn new(shape: &Shape) -> Result<Trial<'_>, String> {
        let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
        std::fs::write(folder.path().join("flow.yaml"), shape.yaml()).map_err(|e| e.to_string())?;
        let trial = Trial { shape, folder };
        for s in &shape.streams {
            if let Source::Topic(n) = s.source {
                trial.done(&["streams", "create", &s.name, "--partitions", &n.to_string(), "-q"], None)?;
            }
        }
        Ok(trial)
    }

    fn batches(&self, dice: &mut Rng, killed: bool, found: &mut Found) -> Result<(), String> {
        let mut state = State::default();
        let (mut id, mut runs, mut usual) = (0, 0, Duration::from_millis(30));
        for _ in 0..BATCHES {
            let mut given = self.give(dice, &mut id)?;
            let began = Instant::now();
            let most = if killed { KILLS_A_RUN } else { 0 };
            let (kills, report) = trial::to_the_end(self.folder.path(), dice, usual, most, LONGEST_RUN)?;
            usual = if kills == 0 { began.elapsed() } else { usual };
            found.kills += kills;
            // a run that was killed when it had closed is followed by another one
            let made = report["run"].as_u64().unwrap_or(0).saturating_sub(runs);
            let mut end = None;
            for _ in 0..made {
                end = Some(model::run(self.shape, &mut state, &given));
                given.retain(|s, _| self.shape.streams[*s].source == Source::File);
            }
            (runs, found.runs) = (runs + made, found.runs + made);
            let exit = end.map(|e| e.exit);
            if report["balanced"] != true || report["exit"].as_u64() != exit {
                return Err(format!("it should end with {exit:?}, balanced: {report}"));
            }
            for (what, want) in &state.holds {
                found.compared.add(what, &want.iter().map(|l| plain(l)).collect::<Vec<_>>(), &self.read(what)?);
            }
        }
        Ok(())
    }

    /// Gives each source its items of a batch.
    fn give(&self, dice: &mut Rng, id: &mut u64) -> Result<BTreeMap<usize, Vec<Value>>, String> {
        let mut given = BTreeMap::new();
        for (s, of) in self.shape.streams.iter().enumerate().filter(|(_, s)| s.source != Source::Step) {
            let n = if dice.eighths(1) { 0 } else { dice.below(25) };
            let mut item = || {
                *id += 1;
                json!({ "id": *id, "g": dice.below(4), "v": dice.below(9) })
            };
            let items: Vec<Value> = (0..n).map(|_| item()).collect();
            let text: String = items.iter().map(|i| i.to_string() + "\n").collect();
            match of.source {
                Source::Topic(_) if items.is_empty() => {}
                Source::Topic(_) => {
                    // some in one batch, some in another one: batches are spread over the partitions
                    let half = text.lines().count() / 2;
                    let part =
                        |lines: &mut dyn Iterator<Item = &str>| lines.map(|l| format!("{l}\n")).collect::<String>();
                    let parts = [part(&mut text.lines().take(half)), part(&mut text.lines().skip(half))];
                    for text in parts.iter().filter(|t| !t.is_empty()) {
                        self.done(&["produce", &of.name, "-q"], Some(text))?;
                    }
                }
                _ => self.write(&format!("{}.in.jsonl", of.name), &text)?,
            }
            given.insert(s, items);
        }
        Ok(given)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        std::fs::write(self.folder.path().join(name), text).map_err(|e| e.to_string())
    }

    fn done(&self, args: &[&str], input: Option<&str>) -> Result<String, String> {
        let mut command = trial::command(self.folder.path(), args);
        if let Some(text) = input {
            self.write("feed", text)?;
            command.stdin(std::fs::File::open(self.folder.path().join("feed")).map_err(|e| e.to_string())?);
        }
        let output = command.output().map_err(|e| e.to_string())?;
        if !output.status.success() {
            return Err(format!("{args:?}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// What a file, a stream or the dead letters hold.
    fn read(&self, what: &str) -> Result<String, String> {
        if let Some(stream) = what.strip_prefix("stream:") {
            return Ok(self.done(&["consume", stream, "-q"], None)?.lines().map(|l| plain(l) + "\n").collect());
        }
        if what == "dead" {
            let text = self.done(&["dead", "list", "--json"], None)?;
            let all: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
            let line = |d: &Value| {
                format!("{} {}\n", d["step"].as_str().unwrap_or(""), plain(d["value"].as_str().unwrap_or("")))
            };
            return Ok(all.as_array().into_iter().flatten().map(line).collect());
        }
        let text = std::fs::read_to_string(self.folder.path().join(what)).unwrap_or_default(); // nothing was ever put in place
        Ok(text.lines().map(|l| plain(l) + "\n").collect())
    }
}
