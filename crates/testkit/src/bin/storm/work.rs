//! The flow of the storm, its items, and what must come of them.

use std::collections::BTreeMap;

/// Every way that a batch can go: whole, in rows, through a process, past a barrier, folded.
pub const FLOW: &str = "
flow: storm
defaults: { partitions: 6, replication-factor: 3 }
streams:
  in: {}
  even: {}
  odd: {}
  out: {}
  sums: {}
steps:
  halves: { split: in, cases: [{ where: item.n % 2 == 0, to: even }], otherwise: odd }
  spread: { shard: odd, by: item.id, shards: 3, to: 'odd-{shard}' }
  said:   { work: 'odd-{shard}', pipe: [cat] }
  both:   { merge: [even, 'said-*'], to: both }
  all:    { join: both }
  out:    { copy: all, to: out }
  sums:   { reduce: all, by: item.g, value: count() }
";

/// Items of a round.
pub const ITEMS: u64 = 30_000;
/// Groups that they are in.
const GROUPS: u64 = 7;

/// The items of a round.
pub fn items(round: u64) -> Vec<String> {
    (0..ITEMS).map(|n| format!(r#"{{"id":"{round}-{n}","n":{n},"g":"{round}-{}"}}"#, n % GROUPS)).collect()
}

/// What must be in each topic after so many rounds.
pub fn model(rounds: u64) -> BTreeMap<&'static str, Vec<String>> {
    let all: Vec<String> = (0..rounds).flat_map(items).collect();
    let of = |rest: u64| (0..).zip(&all).filter(|(n, _)| n % ITEMS % 2 == rest).map(|(_, i)| i.clone()).collect();
    let (even, odd) = (of(0), of(1));
    let in_group = |g: u64| (0..ITEMS).filter(|n| n % GROUPS == g).count();
    let sum = |round: u64, g: u64| format!(r#"{{"g":"{round}-{g}","value":{}}}"#, in_group(g));
    let sums = (0..rounds).flat_map(|round| (0..GROUPS).map(move |g| sum(round, g))).collect();
    BTreeMap::from([("even", even), ("odd", odd), ("out", all), ("sums", sums)])
}
