//! Making a failing trial small: fewer steps, batches, items, processes and kinds of faults, as long as it still fails.

use crate::drawn::{Home, Shape, Source};
use crate::setup::Setup;
use anabranch_trial::faults::Faults;
use std::time::Duration;

/// Seeds that are tried for each smaller trial: what fails with one order of things need not fail with the next.
const SEEDS: u64 = 40;

/// The smallest trial found that fails, and how.
pub fn shrink(setup: &Setup, why: String) -> (Setup, String) {
    let (mut small, mut why) = (setup.clone(), why);
    while let Some((smaller, reason)) = smaller(&small).into_iter().find_map(|s| fails(&s)) {
        (small, why) = (smaller, reason);
    }
    (small, why)
}

/// The trial with a seed with which it fails, if there is one.
fn fails(setup: &Setup) -> Option<(Setup, String)> {
    (0..SEEDS).find_map(|more| {
        let tried = Setup { seed: setup.seed + more, ..setup.clone() };
        let why = tried.run().err().filter(|why| !why.starts_with("the flow is not valid"))?;
        Some((tried, why))
    })
}

fn smaller(setup: &Setup) -> Vec<Setup> {
    let mut all: Vec<Setup> = (0..setup.shape.steps.len())
        .filter_map(|s| without(&setup.shape, s))
        .map(|shape| Setup { shape, ..setup.clone() })
        .collect();
    if setup.batches > 1 {
        all.push(Setup { batches: setup.batches - 1, ..setup.clone() });
    }
    if setup.items > 2 {
        all.push(Setup { items: setup.items / 2 + 1, ..setup.clone() });
    }
    if setup.processes > 1 {
        all.push(Setup { processes: setup.processes - 1, ..setup.clone() });
    }
    if setup.manner.lanes > 1 {
        let mut fewer = setup.clone();
        fewer.manner.lanes /= 2;
        all.push(fewer);
    }
    if setup.fresh {
        all.push(Setup { fresh: false, ..setup.clone() });
    }
    if setup.repairs {
        all.push(setup.without_repairs());
    }
    let faults = setup.faults;
    let kinds = [
        Faults { die: 0, ..faults },
        Faults { stall: 0, ..faults },
        Faults { doubt: 0, ..faults },
        Faults { refuse: 0, ..faults },
        Faults { blind: 0, ..faults },
        Faults { stale: 0, ..faults },
        Faults { late: Duration::ZERO, ..faults },
    ];
    let fewer = kinds.into_iter().filter(|f| *f != faults);
    all.extend(fewer.map(|faults| Setup { faults, ..setup.clone() }));
    all
}

/// The flow without a step from which nobody reads.
fn without(shape: &Shape, s: usize) -> Option<Shape> {
    let outputs = shape.outputs(s);
    if outputs.iter().any(|o| shape.streams[*o].readers > 0) {
        return None;
    }
    let mut small = shape.clone();
    let step = small.steps.remove(s);
    small.written = (0..small.steps.len()).collect();
    small.by_hand = small.by_hand.into_iter().filter(|b| *b != s).map(|b| b - usize::from(b > s)).collect();
    outputs.into_iter().for_each(|o| small.streams[o].home = Home::Internal);
    for input in step.inputs {
        let of = &mut small.streams[input];
        of.readers -= 1;
        if of.readers == 0 && of.source == Source::Step && of.home == Home::Internal && !of.own_name {
            of.home = Home::Public;
        }
    }
    (!small.steps.is_empty()).then_some(small)
}
