//! What no reader of a flow needs any more is let go.

use crate::ledger::Standing;
use crate::life::books;
use crate::life::reports::saved_report;
use anabranch_engine::{At, Result, limits};
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
    keep.extend(logs_from(standing)?);
    context.engine.trim(&keep)
}

/// Where the logs begin that are kept: those of the last runs, and of batches that are held.
fn logs_from(standing: Standing<'_>) -> Result<Vec<At>> {
    let Standing { context, record, .. } = standing;
    let Some(stream) = context.logs()? else { return Ok(vec![]) };
    let held = record.held.iter().map(|h| h.batch).min();
    let oldest = record.number.saturating_sub(limits::LOGS_RUNS).min(held.unwrap_or(u64::MAX));
    // now and then: an old report has to be looked for
    if oldest == 0 || record.number % 10 != 0 {
        return Ok(vec![]);
    }
    let begins = saved_report(&*context.engine, &context.flow.name, oldest)?.map(|r| r.logs).unwrap_or_default();
    let at = |(p, offset)| At { stream: stream.clone(), partition: p as u32, offset };
    Ok(begins.into_iter().enumerate().map(at).collect())
}
