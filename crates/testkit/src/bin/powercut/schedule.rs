//! Which power cuts are tried.

use crate::image::Way;
use crate::note::Topic;
use crate::ops::{History, Stretch};
use anabranch_testkit::rng::Rng;
use std::collections::BTreeSet;

/// Commits at the beginning of which each operation is a cut point in any case: a small one, a large one that makes
/// its segment, and another large one.
const FIRST: usize = 3;

/// One power cut.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// Operations that happened before it.
    pub at: usize,
    /// How the rest is lost.
    pub way: Way,
    /// Seed of what is lost.
    pub seed: u64,
}

/// The power cuts of one run, by their place in the history.
pub struct Schedule {
    /// The cuts.
    pub cuts: Vec<Cut>,
    /// How many places they are at.
    pub points: usize,
    /// At how many of them two commits are half written.
    pub half: usize,
    /// How many places there are.
    pub all: usize,
    /// Commits of which each operation is a cut point.
    pub whole: usize,
}

/// That many cuts; when each place had each way, again with other seeds. Where there are more places than that pays
/// for, a fifth of it goes to the `overlaps` of two commits and a fifth to where a sync just ended, up to two thirds go
/// to each operation of the openings and of some whole commits too, and the rest is spread evenly.
pub fn schedule(history: &History, overlaps: &[usize], images: usize, seed: u64) -> Schedule {
    let mut rng = Rng::new(seed);
    let all = history.ops.len() + 1;
    let stretches = history.stretches();
    let budget = images.div_ceil(Way::ALL.len());
    let mut points: BTreeSet<usize> = BTreeSet::new();
    if budget >= all {
        points.extend(0..all);
    } else {
        for mut telling in [overlaps.to_vec(), history.syncs()] {
            rng.shuffle(&mut telling);
            points.extend(telling.iter().take(budget / 5));
        }
        for stretch in telling_first(&stretches, &mut rng) {
            let new: Vec<usize> = (stretch.ops.start..=stretch.ops.end).filter(|p| !points.contains(p)).collect();
            if points.len() + new.len() <= budget * 2 / 3 {
                points.extend(new);
            }
        }
        let (spread, mut tries) = (budget - points.len(), 0);
        while points.len() < budget && tries < 100 * budget {
            let slot = tries % spread;
            let (from, to) = (slot * all / spread, (slot + 1) * all / spread);
            points.insert(from + rng.below((to - from) as u64) as usize);
            tries += 1;
        }
    }
    let covered =
        |s: &&Stretch| s.until.is_some_and(|n| n.topic == Topic::Commit) && s.ops.clone().all(|p| points.contains(&p));
    let whole = stretches.iter().filter(covered).count();
    let half = overlaps.iter().filter(|p| points.contains(p)).count();
    let mut cuts = Vec::with_capacity(images);
    while cuts.len() < images {
        let mut round: Vec<_> = points.iter().flat_map(|at| Way::ALL.map(|(way, _)| (*at, way))).collect();
        let left = images - cuts.len();
        if round.len() > left {
            rng.shuffle(&mut round);
            round.truncate(left);
        }
        cuts.extend(round.into_iter().map(|(at, way)| Cut { at, way, seed: rng.draw() }));
    }
    cuts.sort_by_key(|c| c.at);
    Schedule { points: points.len(), half, all, whole, cuts }
}

/// Small and large commits first, then what is rare (openings, appends from outside, a trim), then all the others.
fn telling_first<'a>(stretches: &'a [Stretch], rng: &mut Rng) -> Vec<&'a Stretch> {
    let commit = |s: &&Stretch| s.until.is_some_and(|n| n.topic == Topic::Commit);
    let (mut first, rare): (Vec<&Stretch>, Vec<&Stretch>) = stretches.iter().partition(commit);
    let mut others = first.split_off(first.len().min(FIRST));
    rng.shuffle(&mut others);
    first.into_iter().chain(rare).chain(others).collect()
}
