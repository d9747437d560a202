//! A run that can do nothing more and is not finished: it says so, instead of waiting for what never comes.

use super::facts::{self, Progress};
use super::positions;
use super::work::Work;
use crate::patterns::join::Verdict;
use crate::plan::{How, Root, name};
use anabranch_engine::Error;

/// Why a run cannot go on, if nothing that is under way or that others do can change that. Only where this process has
/// the whole flow, and the log shows at once what was committed, can that be known.
pub fn found(run: &Work<'_>) -> Option<Error> {
    let alone = run.events.is_none() && run.shared.engine.counts_by_offset();
    let calls = run.windows.values().any(|w| w.len() > 0);
    if !alone || calls || listens(run) {
        return None;
    }
    let units = run.shared.plan.units.iter().zip(&run.facts.units).filter(|(_, p)| **p == Progress::Working);
    let mut waits: Vec<String> = vec![];
    for (unit, _) in units {
        let names: Vec<String> = unit.nodes.iter().map(|n| name(&run.shared.flow, *n)).collect();
        let roots: Vec<String> = unit.roots.iter().filter_map(|root| wait(run, root)).collect();
        waits.push(format!(
            "{} ({})",
            names.join(", "),
            if roots.is_empty() { "to end".into() } else { roots.join("; ") }
        ));
    }
    let text =
        format!("run {} can do nothing more and is not finished: waiting are {}", run.record.number, waits.join(", "));
    Some(Error::bug(text).help("what was committed stays; please report this flow"))
}

/// Whether something may still come through standard input.
fn listens(run: &Work<'_>) -> bool {
    let mut roots = run.shared.plan.units.iter().flat_map(|u| &u.roots).filter(|r| r.how == How::Stdin);
    roots.any(|r| positions::mark(run.ledger.all(), &super::marks::done(&name(&run.shared.flow, r.node))) == 0)
}

/// What a root waits for.
fn wait(run: &Work<'_>, root: &Root) -> Option<String> {
    let shared = &run.shared;
    let shut = root.gates.iter().find(|g| run.facts.gates[**g] != Some(Verdict::Open));
    if let Some(gate) = shut {
        return Some(format!("for the gate {}", shared.flow.steps[*gate].name));
    }
    let end = |p| facts::end(shared, run.ledger.all(), &run.record, &run.facts, root.how, root.from, p);
    let open = (0..shared.partitions[root.from]).any(|p| end(p).is_none());
    open.then(|| format!("for the end of {}", shared.flow.streams[root.from].name))
}
