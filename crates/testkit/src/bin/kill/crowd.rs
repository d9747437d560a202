//! Several processes on one data directory, all of them killed at random: two flows, and outsiders who produce. A reader
//! counts what was acknowledged: each item of it is there once, and each flow has passed on each item once.

use anabranch_testkit::rng::Rng;
use anabranch_testkit::trial;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Items of one call of `produce`: enough for a segment of its own.
const ITEMS: u64 = 2_000;
/// Processes that produce at once.
const OUTSIDERS: u64 = 2;
/// No process takes as long as this.
const LONGEST: Duration = Duration::from_secs(60);
/// Each has internal streams, which are cut when a run closes, and sweeps what nobody names.
const FLOWS: [(&str, &str); 2] = [("ours", OURS), ("theirs", THEIRS)];

const OURS: &str = "
flow: ours
streams: { in: {}, ours: {} }
steps:
  a: { work: in, pipe: [cat] }
  all: { join: a }
  ours: { copy: all, to: ours }
";

const THEIRS: &str = "
flow: theirs
streams: { in: {}, theirs: {} }
steps:
  b: { shard: in, by: item.i, shards: 2, to: 'b-{shard}' }
  c: { work: 'b-{shard}', pipe: [cat] }
  theirs: { merge: 'c-*' }
";

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Runs that came to their end.
    pub runs: u64,
    /// Processes killed.
    pub kills: u64,
    /// Items that were acknowledged.
    pub acknowledged: u64,
    /// Items of those that are gone, or that a flow did not pass on.
    pub lost: u64,
    /// Items that are there more than once.
    pub twice: u64,
}

struct Crowd<'f> {
    folder: &'f Path,
    over: AtomicBool,
}

/// Lets each outsider make so many calls of `produce`, beside runs of both flows.
pub fn run(seed: u64, calls: u64) -> Result<Found, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    for (name, flow) in FLOWS {
        std::fs::write(folder.path().join(format!("{name}.yaml")), flow).map_err(|e| e.to_string())?;
    }
    let crowd = Crowd { folder: folder.path(), over: AtomicBool::new(false) };
    crowd.process(&["streams", "create", "in", "--partitions", "3", "-q"], None, None)?;
    let mut found = Found::default();
    let acknowledged = std::thread::scope(|scope| {
        let outsiders: Vec<_> =
            (0..OUTSIDERS).map(|n| (n, &crowd)).map(|(n, c)| scope.spawn(move || c.outsider(n, seed, calls))).collect();
        let flows: Vec<_> = (1..)
            .zip(FLOWS)
            .map(|(n, (f, _))| (n, f, &crowd))
            .map(|(n, f, c)| scope.spawn(move || c.flow(f, seed + n)))
            .collect();
        let mut acknowledged = vec![];
        for outsider in outsiders {
            let (kills, mut items) = outsider.join().map_err(|_| "an outsider died")??;
            found.kills += kills;
            acknowledged.append(&mut items);
        }
        crowd.over.store(true, Ordering::Relaxed);
        for flow in flows {
            let (kills, runs) = flow.join().map_err(|_| "a flow died")??;
            (found.kills, found.runs) = (found.kills + kills, found.runs + runs);
        }
        Ok::<_, String>(acknowledged)
    })?;
    found.acknowledged = acknowledged.len() as u64;
    let there = crowd.count("in")?;
    let gone = acknowledged.iter().filter(|item| !there.contains_key(*item));
    found.lost += gone.count() as u64;
    found.twice += there.values().filter(|n| **n > 1).count() as u64;
    for (flow, _) in FLOWS {
        let passed = crowd.count(flow)?;
        let differ = |a: &BTreeMap<String, u64>, b: &BTreeMap<String, u64>| {
            a.iter().filter(|(item, n)| b.get(*item).is_none_or(|m| m < *n)).count() as u64
        };
        found.lost += differ(&there, &passed);
        found.twice += differ(&passed, &there);
    }
    Ok(found)
}

impl Crowd<'_> {
    /// Runs a command, and kills it after a while if that is said; whether it ended well, and what it printed.
    fn process(&self, args: &[&str], feed: Option<&Path>, kill: Option<Duration>) -> Result<(bool, String), String> {
        let mut command = trial::command(self.folder, args);
        if let Some(feed) = feed {
            command.stdin(std::fs::File::open(feed).map_err(|e| e.to_string())?);
        }
        if kill.is_some() {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        let mut child = command.spawn().map_err(|e| e.to_string())?;
        if let Some(after) = kill {
            let until = Instant::now() + after;
            while Instant::now() < until && trial::at_work(&mut child) {
                std::hint::spin_loop();
            }
            if trial::at_work(&mut child) {
                child.kill().and_then(|()| child.wait()).map_err(|e| e.to_string())?;
                return Ok((false, String::new()));
            }
        }
        let output = child.wait_with_output().map_err(|e| e.to_string())?;
        if !output.status.success() {
            return Err(format!("{args:?}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        Ok((true, String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    /// Produces items, and is killed in every third call; what was acknowledged.
    fn outsider(&self, n: u64, seed: u64, calls: u64) -> Result<(u64, Vec<String>), String> {
        let mut dice = Rng::new(seed * 100 + n);
        let (mut kills, mut acknowledged) = (0, vec![]);
        for call in 0..calls {
            let items: Vec<String> =
                (0..ITEMS).map(|i| format!("{{\"outsider\":{n},\"call\":{call},\"i\":{i}}}")).collect();
            let feed = self.folder.join(format!("feed-{n}"));
            std::fs::write(&feed, items.join("\n") + "\n").map_err(|e| e.to_string())?;
            let kill = (dice.below(3) == 0).then(|| Duration::from_micros(dice.below(30_000)));
            match self.process(&["produce", "in", "-q"], Some(&feed), kill)? {
                (true, _) => acknowledged.extend(items),
                (false, _) => kills += 1,
            }
        }
        Ok((kills, acknowledged))
    }

    /// Runs a flow again and again, killed every second time, until there is nothing new any more.
    fn flow(&self, flow: &str, seed: u64) -> Result<(u64, u64), String> {
        let mut dice = Rng::new(seed);
        let (mut kills, mut runs) = (0, 0);
        let file = format!("{flow}.yaml");
        let began = Instant::now();
        loop {
            let over = self.over.load(Ordering::Relaxed);
            let kill = (!over && dice.eighths(4)).then(|| Duration::from_micros(dice.below(60_000)));
            match self.process(&["run", &file, "--json"], None, kill)? {
                (true, _) => runs += 1,
                (false, _) => kills += 1,
            }
            if over {
                // a run that was open may have ended before the last item came
                return self.process(&["run", &file, "--json"], None, None).map(|_| (kills, runs + 1));
            }
            if began.elapsed() > LONGEST * 20 {
                return Err(format!("{flow} does not come to its end"));
            }
        }
    }

    /// How often each item is in a stream.
    fn count(&self, stream: &str) -> Result<BTreeMap<String, u64>, String> {
        let (_, text) = self.process(&["consume", stream, "-q"], None, None)?;
        let mut count = BTreeMap::new();
        text.lines().for_each(|line| *count.entry(line.to_string()).or_default() += 1);
        Ok(count)
    }
}
