//! What a run would do, for people.

use crate::life::changed::{Difference, Sort};
use crate::life::forecast::{Calls, Forecast, How, Reads, What};
use crate::show::table::{number, table};
use crate::show::text::counted;

/// What a run would do, as it is shown in a terminal of this width, or elsewhere.
pub fn draw(told: &Forecast, width: Option<usize>) -> String {
    let what = match told.what {
        What::New => format!("run {} would begin", told.run),
        What::GoesOn => format!("run {} is open and would go on", told.run),
        What::Refused => format!("run {} cannot go on", told.run),
    };
    let mut out = format!("{} · {what}; nothing was opened or written\n", told.flow);
    let mut section = |title: &str, rows: Vec<Vec<String>>, right: &[usize]| {
        if !rows.is_empty() {
            let rows: Vec<Vec<String>> = rows.into_iter().map(|row| [vec!["   ".into()], row].concat()).collect();
            out += &format!("  {title}\n{}", table(&rows, right, width));
        }
    };
    section("reads", told.sources.iter().map(reads).collect(), &[]);
    section("calls, at most", told.calls.iter().map(calls).collect(), &[]);
    let how = |how| match how {
        How::Made => "made",
        How::Replaced => "replaced",
        How::AddedTo => "added to",
        How::Printed => "printed",
    };
    let sinks = told.sinks.iter().map(|w| {
        vec![w.stream.clone(), w.path.clone().unwrap_or_else(|| "standard output".into()), how(w.how).to_string()]
    });
    section("writes, when all is done", sinks.collect(), &[]);
    let held = told
        .held
        .iter()
        .map(|h| vec![format!("batch {}", h.batch), format!("at {}", h.step), counted(h.dead as usize, "failed item")]);
    section("stays held", held.collect(), &[]);
    section("the flow has changed", changed(&told.differences), &[]);
    for note in &told.notes {
        out += &format!("  note: {note}\n");
    }
    if let Some(why) = &told.refused {
        out += &format!("  refused: {why}\n");
    }
    out
}

fn reads(r: &Reads) -> Vec<String> {
    let about = if r.exact { "" } else { "at most " };
    let items = r.items.map(|n| format!("{about}{}", count(n, "item")));
    let from = match r.step.as_ref() {
        Some(step) => format!("{}, by {step}", r.from),
        None => r.from.clone(),
    };
    let files = r.files.zip(r.bytes).map(|(f, b)| format!("{}, {}", count(f, "file"), count(b, "byte")));
    let unknown = || if r.from == "stdin" { "what comes".into() } else { "too much to count before".into() };
    vec![
        r.stream.clone(),
        from,
        files.into_iter().chain([items.unwrap_or_else(unknown)]).collect::<Vec<_>>().join(", "),
    ]
}

fn calls(c: &Calls) -> Vec<String> {
    let program = c.program.clone().unwrap_or_default();
    let attempts = if c.attempts > 1 { format!(", up to {} attempts each", c.attempts) } else { String::new() };
    let most = match c.items {
        Some(n) => {
            let calls = n.saturating_mul(u64::from(c.attempts));
            format!("{} ({}{attempts})", count(calls, "call"), count(n, "item"))
        }
        None => format!("one for each item{attempts}"),
    };
    vec![c.step.clone(), program, most]
}

fn count(n: u64, what: &str) -> String {
    format!("{} {what}{}", number(n), if n == 1 { "" } else { "s" })
}

/// Differences, each with all that it matters for.
fn changed(all: &[Difference]) -> Vec<Vec<String>> {
    let mut groups: Vec<(&Difference, Vec<&str>)> = vec![];
    for d in all {
        let same = |of: &Difference| (&of.path, of.verdict, &of.why) == (&d.path, d.verdict, &d.why);
        match groups.iter_mut().find(|(of, _)| same(of)) {
            Some((_, of)) => of.push(&d.of),
            None => groups.push((d, vec![&d.of])),
        }
    }
    let row = |(d, of): (&Difference, Vec<&str>)| {
        let some =
            if of.len() > 5 { format!("{} and {} more", of[..5].join(", "), of.len() - 5) } else { of.join(", ") };
        let sort = match d.sort {
            Sort::New => " is new",
            Sort::Gone => " is gone",
            Sort::Differs => " differs",
        };
        vec![format!("{}{sort}", d.path), format!("{some} {}", d.verdict.words()), d.why.clone()]
    };
    groups.into_iter().map(row).collect()
}
