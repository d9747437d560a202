//! `anabranch dead`

use super::args::{Args, Dead, FlowArg};
use super::letters::{self, Next, Out, Wanted};
use super::{Exit, place, print, screen};
use anabranch_engine::{Error, Result, limits};
use anabranch_run as run;
use anabranch_run::show::table::table;
use anabranch_run::{DeadLetter, Failed};
use serde_json::json;
use std::io::{BufWriter, stdout};
use std::path::{Path, PathBuf};

/// Lists and shows dead letters.
pub fn dead(args: &Args, what: &Dead) -> Result<Exit> {
    match what {
        Dead::List { flow, run, max } => list(args, flow, &Wanted { run: *run, most: *max }),
        Dead::Skip { flow, batch } => skip(args, flow, *batch),
        Dead::Show { what, env, env_file } => {
            let (flow, id) = match what.as_slice() {
                [flow, id] => (PathBuf::from(flow), id),
                [id] => (PathBuf::from("flow.yaml"), id),
                _ => return Err(Error::usage("anabranch dead show [FLOW] ID")),
            };
            show(args, &FlowArg { flow, env: env.clone(), env_file: env_file.clone() }, id)
        }
    }
}

fn as_json(letter: &DeadLetter) -> serde_json::Value {
    let Failed { step, reason, item } = &letter.failed;
    let text = |b: &Option<bytes::Bytes>| b.as_ref().map(|b| String::from_utf8_lossy(b).into_owned());
    let headers: serde_json::Map<String, serde_json::Value> =
        item.headers.iter().map(|(n, v)| (n.clone(), json!(text(v)))).collect();
    json!({ "id": letter.id, "step": step, "error": reason.error, "attempts": reason.attempts.to_string(),
            "place": reason.place, "run": letter.run.to_string(), "key": text(&item.key), "value": text(&item.value),
            "headers": headers, "timestamp": item.timestamp })
}

/// Gives up what holds a batch now, in as many runs as that takes. What fails behind its gate then is not given up.
fn skip(args: &Args, arg: &FlowArg, batch: u64) -> Result<Exit> {
    let Some(flow) = place::flow(args, arg)? else { return Ok(2) };
    let engine = place::engine_to_run(args, &arg.flow)?;
    let all = run::unsettled(&*engine, &flow.name, batch)?;
    if all.is_empty() {
        let text = format!("batch {batch} is held, but none of its dead letters is left to skip");
        return Err(Error::usage(text).help("it waits for a gate that another batch cannot open; please report this"));
    }
    let mut exit = 4;
    for skip in all.chunks(limits::REPAIRED_AT_ONCE) {
        let repair = run::Repair { batch, skip: skip.to_vec(), ..run::Repair::default() };
        let how = super::args::Run { flow: arg.clone(), fresh: false, progress: "auto".into() };
        exit = super::run::once(args, &how, Some(repair))?;
        if exit != 4 {
            break;
        }
    }
    Ok(exit)
}

fn list(args: &Args, arg: &FlowArg, wanted: &Wanted) -> Result<Exit> {
    let Some(flow) = place::flow(args, arg)? else { return Ok(2) };
    let engine = place::engine_of(args, &arg.flow)?;
    let mut out = Out::new(BufWriter::new(stdout()));
    if args.json {
        let mut before = "[";
        letters::each(&*engine, &flow, wanted, |l| {
            let next = out.raw(&format!("{before}{}", as_json(&l)));
            before = ",";
            next
        })?;
        out.raw(if before == "[" { "[]\n" } else { "]\n" })?;
        out.finish()?;
        return Ok(0);
    }
    let width = screen::width(stdout());
    let (mut page, mut one) = (vec![], None);
    let wanted = Wanted { most: wanted.most.or(Some(SHOWN)), ..wanted.clone() };
    let left_out = letters::each(&*engine, &flow, &wanted, |l| {
        one.get_or_insert_with(|| l.id.clone());
        page.push(row(&l));
        if page.len() < PAGE { Ok(Next::More) } else { out.plain(&table_of(std::mem::take(&mut page), width)) }
    })?;
    if !page.is_empty() {
        out.plain(&table_of(page, width))?;
    }
    out.finish()?;
    match one {
        None => tell!("no dead letters"),
        Some(one) if !args.quiet => {
            if left_out {
                tell!("there are older ones:  --max N  lists the newest N");
            }
            tell!("show one of them:  anabranch dead show {} {one}", arg.flow.display());
        }
        Some(_) => {}
    }
    Ok(0)
}

/// Letters that are listed for people, if they do not say how many.
const SHOWN: usize = 100;

/// Rows of a table that is printed at once.
const PAGE: usize = 200;

fn row(letter: &DeadLetter) -> Vec<String> {
    let short = |t: &str| t.lines().next().unwrap_or_default().chars().take(70).collect::<String>();
    let Failed { step, reason, item } = &letter.failed;
    let value = item.value.as_ref().map(|v| String::from_utf8_lossy(&v[..v.len().min(1 << 10)]).into_owned());
    let value = value.unwrap_or_default();
    vec![letter.id.clone(), step.clone(), reason.attempts.to_string(), short(&reason.error), short(&value)]
}

fn table_of(page: Vec<Vec<String>>, width: Option<usize>) -> String {
    let head = ["ID", "STEP", "ATTEMPTS", "ERROR", "ITEM"].map(String::from).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(page).collect();
    table(&rows, &[], width)
}

fn show(args: &Args, arg: &FlowArg, id: &str) -> Result<Exit> {
    let Some(flow) = place::flow(args, arg)? else { return Ok(2) };
    let engine = place::engine_of(args, &arg.flow)?;
    let mut found = None;
    letters::each(&*engine, &flow, &Wanted::default(), |l| {
        found = Some(l).filter(|l| l.id == id);
        Ok(if found.is_some() { Next::Enough } else { Next::More })
    })?;
    let letter = found.ok_or_else(|| unknown(id, &arg.flow))?;
    if args.json {
        print::document(&as_json(&letter));
        return Ok(0);
    }
    let Failed { step, reason, item } = &letter.failed;
    let text =
        |b: &Option<bytes::Bytes>| b.as_ref().map(|v| String::from_utf8_lossy(v).into_owned()).unwrap_or_default();
    say!("{:9} {}", "id", letter.id);
    say!("{:9} {step}", "step");
    say!("{:9} {}", "error", reason.error);
    say!("{:9} {}", "attempts", reason.attempts);
    say!("{:9} {}", "place", reason.place);
    say!("{:9} {}", "run", letter.run);
    if item.key.is_some() {
        say!("{:9} {}", "key", text(&item.key));
    }
    for (name, value) in &item.headers {
        say!("{:9} {name}: {}", "header", text(value));
    }
    say!("{:9} {}", "item", text(&item.value));
    Ok(0)
}

fn unknown(id: &str, flow: &Path) -> Error {
    Error::usage(format!("there is no dead letter {id}"))
        .help(format!("anabranch dead list {}  shows all", flow.display()))
}
