//! One round: a mutated flow with mutated inputs, and what is done with it.

use super::guard::FLOW;
use super::seeds::{self, Seed};
use super::{bytes, flow};
use anabranch_testkit::rng::Rng;
use std::collections::BTreeMap;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// What is done in a round: it is checked, then run twice and looked at.
#[derive(Debug, Clone)]
pub struct Case {
    /// The flow and what it is given.
    pub seed: Seed,
    /// Files that are others before the second run.
    pub later: BTreeMap<String, Vec<u8>>,
    /// Commands after the check.
    pub commands: Vec<Vec<&'static str>>,
    /// It is also run where the check found faults.
    pub stubborn: bool,
}

/// Commands that look at what a run left.
const LOOKS: [&[&str]; 8] = [
    &["report"],
    &["explain"],
    &["graph"],
    &["dead", "list"],
    &["dead", "list", "--json"],
    &["groups", "list"],
    &["streams", "list"],
    &["dead", "skip", "--batch", "1"],
];
/// Ways to run.
const RUNS: [&[&str]; 4] = [
    &["run", "--json"],
    &["run", "--json", "--progress", "none"],
    &["run", "--progress", "plain"],
    &["run", "--json", "--fresh"],
];

impl Case {
    /// The mutated flow of a case, with the files that it came with.
    pub fn flow(dice: &mut Rng, seeds: &[Seed]) -> Seed {
        let known = |dice: &mut Rng| seeds.get(dice.below(seeds.len() as u64) as usize).cloned().unwrap_or_default();
        let mut seed = if dice.eighths(4) { seeds::draw(dice) } else { known(dice) };
        let other = known(dice);
        if dice.eighths(7) {
            flow::mutate(&mut seed.flow, &other, dice);
        }
        seed
    }

    /// The case of this number.
    pub fn draw(number: u64, seeds: &[Seed]) -> Case {
        let dice = &mut Rng::new(number);
        let mut seed = Case::flow(dice, seeds);
        seeds::provide(&mut seed, dice);
        let data = seed.files.values_mut().filter(|(_, program)| !program).map(|(bytes, _)| bytes);
        let topics = seed.topics.values_mut().map(|(_, bytes)| bytes);
        for bytes in data.chain(topics).chain(&mut seed.input) {
            bytes::input(bytes, dice);
        }
        let mut later = BTreeMap::new();
        for (name, (bytes, _)) in seed.files.iter().filter(|(_, (_, program))| !program) {
            if dice.eighths(3) {
                let mut changed = bytes.clone();
                bytes::input(&mut changed, dice);
                later.insert(name.clone(), changed);
            }
        }
        let of = |dice: &mut Rng, all: &[&[&'static str]]| all[dice.below(all.len() as u64) as usize].to_vec();
        let mut commands = vec![of(dice, &RUNS[..3]), of(dice, &LOOKS), of(dice, &RUNS)];
        if dice.eighths(2) {
            commands.push(of(dice, &LOOKS));
        }
        Case { seed, later, commands, stubborn: dice.eighths(1) }
    }

    /// Writes the flow and its files into a folder.
    pub fn lay(&self, folder: &Path, give: &dyn Fn(&Path) -> std::io::Result<()>) -> std::io::Result<()> {
        put(folder, FLOW, &self.seed.flow, false, give)?;
        for (name, (bytes, program)) in &self.seed.files {
            put(folder, name, bytes, *program, give)?;
        }
        Ok(())
    }

    /// Writes what is another before the second run.
    pub fn change(&self, folder: &Path, give: &dyn Fn(&Path) -> std::io::Result<()>) -> std::io::Result<()> {
        self.later.iter().try_for_each(|(name, bytes)| put(folder, name, bytes, false, give))
    }
}

/// Writes a file and the folders that it is in.
fn put(
    folder: &Path,
    name: &str,
    bytes: &[u8],
    program: bool,
    give: &dyn Fn(&Path) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let path = folder.join(name);
    let mut below = folder.to_path_buf();
    for part in Path::new(name).parent().into_iter().flat_map(Path::components) {
        below.push(part);
        if !below.exists() {
            std::fs::DirBuilder::new().mode(0o755).create(&below)?;
            give(&below)?;
        }
    }
    if path.exists() {
        std::fs::remove_file(&path)?;
    }
    let mode = if program { 0o755 } else { 0o644 };
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
    std::io::Write::write_all(&mut file, bytes)?;
    give(&path)
}
