//! A run that can do nothing more and is not finished: it says so, instead of waiting for what never comes.

use crate::ledger::facts::Progress;
use crate::ledger::marks::Mark;
use crate::worker::Worker;
use anabranch_engine::Error;
use anabranch_flow::patterns::barrier::Verdict;
use anabranch_flow::plan::{ReadFrom, Root, name};

/// Why a run cannot go on, if nothing that is under way or that others do can change that. Only where this process has
/// the whole flow, which the caller has seen to, and the log shows at once what was committed, can that be known.
pub fn found(worker: &Worker) -> Option<Error> {
    if !worker.context.engine.counts_by_offset() || listens(worker) {
        return None;
    }
    let units = worker.context.plan.units.iter().zip(&worker.facts.units).filter(|(_, p)| **p == Progress::Working);
    let mut waits: Vec<String> = vec![];
    for (unit, _) in units {
        let names: Vec<String> = unit.nodes.iter().map(|n| name(&worker.context.flow, *n)).collect();
        let roots: Vec<String> = unit.roots.iter().filter_map(|root| wait(worker, root)).collect();
        waits.push(format!(
            "{} ({})",
            names.join(", "),
            if roots.is_empty() { "to end".into() } else { roots.join("; ") }
        ));
    }
    let text = format!(
        "run {} can do nothing more and is not finished: waiting are {}",
        worker.record.number,
        waits.join(", ")
    );
    Some(Error::bug(text).help("what was committed stays; please report this flow"))
}

/// Whether something may still come through standard input.
pub fn listens(worker: &Worker) -> bool {
    let mut roots = worker.context.plan.units.iter().flat_map(|u| &u.roots).filter(|r| r.how == ReadFrom::Stdin);
    roots.any(|r| worker.standing().mark(Mark::Done(&name(&worker.context.flow, r.node))) == 0)
}

/// What a root waits for.
fn wait(worker: &Worker, root: &Root) -> Option<String> {
    let context = &worker.context;
    let shut = root.gates.iter().find(|g| worker.facts.gates[**g] != Some(Verdict::Open));
    if let Some(gate) = shut {
        return Some(format!("for the gate {}", context.flow.steps[*gate].name));
    }
    let end = |p| worker.standing().end(&worker.facts, root.how, root.from, p);
    let open = (0..context.partitions[root.from]).any(|p| end(p).is_none());
    open.then(|| format!("for the end of {}", context.flow.streams[root.from].name))
}
