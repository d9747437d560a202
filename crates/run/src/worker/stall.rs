//! A run that can do nothing more and is not finished: it says so, instead of waiting for what never comes.

use crate::ledger::facts::Progress;
use crate::worker::Worker;
use anabranch_engine::Error;
use anabranch_flow::patterns::join::Verdict;
use anabranch_flow::plan::{How, Root, name};

/// Why a run cannot go on, if nothing that is under way or that others do can change that. Only where this process has
/// the whole flow, and the log shows at once what was committed, can that be known.
pub fn found(run: &Worker<'_>) -> Option<Error> {
    let alone = run.events.is_none() && run.context.engine.counts_by_offset();
    let calls = run.windows.values().any(|w| w.len() > 0);
    if !alone || calls || listens(run) {
        return None;
    }
    let units = run.context.plan.units.iter().zip(&run.facts.units).filter(|(_, p)| **p == Progress::Working);
    let mut waits: Vec<String> = vec![];
    for (unit, _) in units {
        let names: Vec<String> = unit.nodes.iter().map(|n| name(&run.context.flow, *n)).collect();
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
fn listens(run: &Worker<'_>) -> bool {
    let mut roots = run.context.plan.units.iter().flat_map(|u| &u.roots).filter(|r| r.how == How::Stdin);
    roots.any(|r| run.standing().mark(&crate::ledger::marks::done(&name(&run.context.flow, r.node))) == 0)
}

/// What a root waits for.
fn wait(run: &Worker<'_>, root: &Root) -> Option<String> {
    let context = &run.context;
    let shut = root.gates.iter().find(|g| run.facts.gates[**g] != Some(Verdict::Open));
    if let Some(gate) = shut {
        return Some(format!("for the gate {}", context.flow.steps[*gate].name));
    }
    let end = |p| run.standing().end(&run.facts, root.how, root.from, p);
    let open = (0..context.partitions[root.from]).any(|p| end(p).is_none());
    open.then(|| format!("for the end of {}", context.flow.streams[root.from].name))
}
