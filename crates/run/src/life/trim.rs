//! What no reader of a flow needs any more is let go.

use crate::context::RunContext;
use crate::ledger::positions;
use crate::life::books;
use anabranch_engine::{Account, At, Result, RunRecord};
use anabranch_flow::model::Writer;

/// Lets go of what no reader of this flow needs any more.
pub fn trim(context: &RunContext, accounts: &[Account], record: &RunRecord) -> Result<()> {
    let mut keep: Vec<At> = vec![];
    for (s, stream) in context.flow.streams.iter().enumerate() {
        let internal = context.plan.logged[s] && stream.writer != Writer::Outside && !stream.is_public();
        if !internal || context.is_view(s) {
            continue;
        }
        for p in 0..context.partitions[s] {
            let at = &stream.at;
            let end = positions::written(accounts, record, &(at.clone(), p));
            let held = record
                .held
                .iter()
                .flat_map(|h| &h.extents)
                .filter(|(n, q, ..)| n == at && *q == p)
                .map(|(_, _, start, _)| *start)
                .min();
            let of_pairs = context.plan.units.iter().filter(|u| u.pairs.is_some()).flat_map(|u| &u.roots);
            let kept = of_pairs.filter(|r| r.from == s && context.is_carried(r));
            let paired = kept.map(|r| positions::next(accounts, record, &context.reader(r, p))).min();
            let offset = end.min(held.unwrap_or(end)).min(paired.unwrap_or(end));
            keep.push(At { stream: at.clone(), partition: p, offset });
        }
    }
    keep.extend(books::books_from(context, record)?);
    context.engine.trim(&keep)
}
