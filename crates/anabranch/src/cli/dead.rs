//! `anabranch dead`

use super::args::{Args, Dead, FlowArg, Like};
use super::letters::{self, Batches, Next, Out, Seen};
use super::{Exit, logs, place, print, repair, screen};
use anabranch_engine::{Error, Result, limits};
use anabranch_run::show::table::{number, table};
use anabranch_run::{DeadLetter, Failed, Way};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{BufWriter, stdout};
use std::path::Path;

/// Lists, shows and settles dead letters.
pub fn dead(args: &Args, what: &Dead) -> Result<Exit> {
    match what {
        Dead::List { flow, like, all, group, max } => {
            let listing = Listing { args, arg: flow, like, all: *all, max: *max };
            if *group { listing.grouped() } else { listing.list() }
        }
        Dead::Show { named } => match named.parts() {
            (flow, ids) if ids.len() == 1 => show(args, &flow, &ids[0]),
            _ => Err(Error::usage("one id is shown").help("anabranch dead show [FLOW] ID")),
        },
        Dead::Retry { pick, late } => repair::repair(args, pick, *late, |_, _| Ok(Way::Retry)),
        Dead::Skip { pick } => repair::repair(args, pick, false, |_, _| Ok(Way::Skip)),
        Dead::Edit { pick, set, value, late } => {
            repair::repair(args, pick, *late, |flow, found| repair::edit(flow, found, set.as_ref(), value.as_ref()))
        }
        Dead::Settle { pick, result, late, outcome: _ } => {
            repair::repair(args, pick, *late, |_, _| repair::by_hand(result.as_deref()))
        }
    }
}

fn as_json(seen: &Seen, batches: &Batches) -> serde_json::Value {
    let letter = &seen.letter;
    let Failed { step, reason, item, .. } = &letter.failed;
    let text = |b: &Option<bytes::Bytes>| b.as_ref().map(|b| String::from_utf8_lossy(b).into_owned());
    let headers: serde_json::Map<String, serde_json::Value> =
        item.headers.iter().map(|(n, v)| (n.clone(), json!(text(v)))).collect();
    let settled = batches.settled(seen).map(|s| json!({ "how": s.how, "run": s.run }));
    let batch = batches.batch(letter).map(|b| b.books.record.batch);
    json!({ "id": letter.id, "step": step, "error": reason.error, "attempts": reason.attempts.to_string(),
            "place": reason.place, "run": letter.run.to_string(), "key": text(&item.key), "value": text(&item.value),
            "headers": headers, "timestamp": item.timestamp, "batch": batch, "settled": settled })
}

/// What is listed.
struct Listing<'l> {
    args: &'l Args,
    arg: &'l FlowArg,
    like: &'l Like,
    all: bool,
    max: Option<usize>,
}

impl Listing<'_> {
    fn wanted<'w>(&'w self, batches: &'w Batches) -> impl Fn(&Seen) -> bool + 'w {
        let like = repair::like(self.like);
        let of_batch = |letter: &DeadLetter, n| batches.batch(letter).is_some_and(|b| b.books.record.batch == n);
        move |seen| {
            like.is(&seen.letter)
                && self.like.batch.is_none_or(|n| of_batch(&seen.letter, n))
                && (self.all || batches.is_open(seen))
        }
    }

    fn list(&self) -> Result<Exit> {
        let Listing { args, arg, .. } = *self;
        let Some(flow) = place::flow(args, arg)? else { return Ok(2) };
        let engine = place::engine_of(args, &arg.flow)?;
        let batches = Batches::of(&*engine, &flow)?;
        let mut out = Out::new(BufWriter::new(stdout()));
        if args.json {
            let mut before = "[";
            letters::each(&*engine, &flow, self.max, self.wanted(&batches), |seen| {
                let next = out.raw(&format!("{before}{}", as_json(&seen, &batches)));
                before = ",";
                next
            })?;
            out.raw(if before == "[" { "[]\n" } else { "]\n" })?;
            out.finish()?;
            return Ok(0);
        }
        let width = screen::width(stdout());
        let (mut page, mut one) = (vec![], None);
        let left_out = letters::each(&*engine, &flow, self.max.or(Some(SHOWN)), self.wanted(&batches), |seen| {
            one.get_or_insert_with(|| seen.letter.id.clone());
            page.push(row(&seen, self.all.then_some(&batches)));
            if page.len() < PAGE {
                Ok(Next::More)
            } else {
                out.plain(&table_of(std::mem::take(&mut page), self.all, width))
            }
        })?;
        if !page.is_empty() {
            out.plain(&table_of(page, self.all, width))?;
        }
        out.finish()?;
        match one {
            None if self.all => tell!("no dead letters"),
            None => tell!("no dead letters that are not settled;  --all  lists the others, too"),
            Some(one) if !args.quiet => {
                if left_out {
                    tell!("there are older ones:  --max N  lists the newest N,  --group  counts all");
                }
                tell!("show one of them:  anabranch dead show {} {one}", arg.flow.display());
            }
            Some(_) => {}
        }
        Ok(0)
    }

    /// How many there are, by step and error.
    fn grouped(&self) -> Result<Exit> {
        let Listing { args, arg, .. } = *self;
        let Some(flow) = place::flow(args, arg)? else { return Ok(2) };
        let engine = place::engine_of(args, &arg.flow)?;
        let batches = Batches::of(&*engine, &flow)?;
        let mut groups: BTreeMap<(String, String), (u64, String)> = BTreeMap::new();
        let mut others = 0;
        letters::each(&*engine, &flow, self.max, self.wanted(&batches), |seen| {
            let Failed { step, reason, .. } = seen.letter.failed;
            let (key, full) = ((step, reason.error), groups.len() >= limits::FAILURES_COUNTED);
            match groups.get_mut(&key) {
                Some((n, _)) => *n += 1,
                None if full => others += 1,
                None => drop(groups.insert(key, (1, seen.letter.id))),
            }
            Ok(Next::More)
        })?;
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by_key(|((step, _), (n, _))| (std::cmp::Reverse(*n), step.clone()));
        if args.json {
            let groups = groups
                .iter()
                .map(|((step, error), (n, id))| json!({ "step": step, "error": error, "count": n, "first": id }));
            print::document(&json!({ "groups": groups.collect::<Vec<_>>(), "others": others }));
            return Ok(0);
        }
        let head = ["COUNT", "STEP", "ERROR", "FIRST"].map(String::from).to_vec();
        let rows =
            groups.iter().map(|((step, error), (n, id))| vec![number(*n), step.clone(), short(error), id.clone()]);
        let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
        match rows.len() {
            1 => tell!("no dead letters that are not settled"),
            _ => print::show(&table(&rows, &[0], screen::width(stdout()))),
        }
        if others > 0 {
            say!("and {} with other errors", number(others));
        }
        Ok(0)
    }
}

/// Letters that are listed for people, if they do not say how many.
const SHOWN: usize = 100;

/// Rows of a table that is printed at once.
const PAGE: usize = 200;

fn short(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(70).collect()
}

fn row(seen: &Seen, batches: Option<&Batches>) -> Vec<String> {
    let letter = &seen.letter;
    let Failed { step, reason, item, .. } = &letter.failed;
    let value = item.value.as_ref().map(|v| String::from_utf8_lossy(&v[..v.len().min(1 << 10)]).into_owned());
    let value = value.unwrap_or_default();
    let mut row = vec![letter.id.clone(), step.clone(), reason.attempts.to_string()];
    row.extend(batches.map(|batches| state(seen, batches)));
    row.extend([short(&reason.error), short(&value)]);
    row
}

/// What became of a letter, in a few words.
fn state(seen: &Seen, batches: &Batches) -> String {
    match (batches.settled(seen), batches.batch(&seen.letter)) {
        (Some(settled), _) => format!("{} in run {}", settled.how, settled.run),
        (None, Some(_)) => "open".into(),
        (None, None) => "kept".into(),
    }
}

fn table_of(page: Vec<Vec<String>>, states: bool, width: Option<usize>) -> String {
    let states = if states { &["STATE"][..] } else { &[] };
    let head = [&["ID", "STEP", "ATTEMPTS"], states, &["ERROR", "ITEM"]].concat();
    let head = head.into_iter().map(String::from).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(page).collect();
    table(&rows, &[], width)
}

fn show(args: &Args, arg: &FlowArg, id: &str) -> Result<Exit> {
    let Some(flow) = place::flow(args, arg)? else { return Ok(2) };
    let engine = place::engine_of(args, &arg.flow)?;
    let mut found = None;
    letters::each(
        &*engine,
        &flow,
        None,
        |seen| seen.letter.id == id,
        |seen| {
            found = Some(seen);
            Ok(Next::Enough)
        },
    )?;
    let seen = found.ok_or_else(|| unknown(id, &arg.flow))?;
    let (letter, batches) = (&seen.letter, Batches::of(&*engine, &flow)?);
    let log = logs::of_letter(&*engine, &flow, letter)?;
    if args.json {
        let mut document = as_json(&seen, &batches);
        document["log"] = json!(log);
        print::document(&document);
        return Ok(0);
    }
    let Failed { step, reason, item, .. } = &letter.failed;
    let text =
        |b: &Option<bytes::Bytes>| b.as_ref().map(|v| String::from_utf8_lossy(v).into_owned()).unwrap_or_default();
    say!("{:9} {}", "id", letter.id);
    say!("{:9} {step}", "step");
    say!("{:9} {}", "error", reason.error);
    say!("{:9} {}", "attempts", reason.attempts);
    say!("{:9} {}", "place", reason.place);
    say!("{:9} {}", "run", letter.run);
    say!("{:9} {}", "state", state(&seen, &batches));
    if item.key.is_some() {
        say!("{:9} {}", "key", text(&item.key));
    }
    for (name, value) in &item.headers {
        say!("{:9} {name}: {}", "header", text(value));
    }
    say!("{:9} {}", "item", text(&item.value));
    log.iter().flat_map(logs::calls).for_each(|line| say!("{line}"));
    Ok(0)
}

fn unknown(id: &str, flow: &Path) -> Error {
    Error::usage(format!("there is no dead letter {id}"))
        .help(format!("anabranch dead list {}  shows all", flow.display()))
}
