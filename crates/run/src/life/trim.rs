//! What no reader of a flow needs any more is let go.

use crate::ledger::Standing;
use crate::life::books;
use anabranch_engine::{At, Result};
use anabranch_flow::model::Writer;

/// Lets go of what no reader of this flow needs any more.
pub fn trim(standing: Standing<'_>) -> Result<()> {
    let Standing { context, record, .. } = standing;
    let mut keep: Vec<At> = vec![];
    for (s, stream) in context.flow.numbered_streams() {
        let internal = context.plan.logged[s] && stream.writer != Writer::Outside && !stream.is_public();
        if !internal || context.is_view(s) {
            continue;
        }
        for p in 0..context.partitions[s] {
            let at = &stream.at;
            let end = standing.written(&(at.clone(), p));
            let held = record
                .held
                .iter()
                .flat_map(|h| &h.extents)
                .filter(|(n, q, ..)| n == at && *q == p)
                .map(|(_, _, start, _)| *start)
                .min();
            let of_pairs = context.plan.units.iter().filter(|u| u.pairs.is_some()).flat_map(|u| &u.roots);
            let kept = of_pairs.filter(|r| r.from == s && context.is_carried(r));
            let paired = kept.map(|r| standing.next(&context.reader(r, p))).min();
            let offset = end.min(held.unwrap_or(end)).min(paired.unwrap_or(end));
            keep.push(At { stream: at.clone(), partition: p, offset });
        }
    }
    keep.extend(books::books_from(context, record)?);
    context.engine.trim(&keep)
}
