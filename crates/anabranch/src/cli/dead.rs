//! `anabranch dead`

use super::args::{Args, Dead, FlowArg};
use super::table::table;
use super::{Exit, place, print, screen};
use anabranch_engine::{Admin, At, Error, Item, Result, chunks};
use anabranch_flow::run::{self, own_stream};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Lists and shows dead letters.
pub fn dead(args: &Args, what: &Dead) -> Result<Exit> {
    match what {
        Dead::List { flow, run } => list(args, flow, *run),
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

/// All dead letters of a flow that are kept, oldest first.
pub fn letters(engine: &dyn Admin, flow: &anabranch_flow::model::Flow) -> Result<Vec<Item>> {
    let stream = own_stream(&flow.name, "dead")?;
    let Ok(spans) = engine.span(&stream) else { return Ok(vec![]) };
    let mut out = vec![];
    for (p, span) in spans.into_iter().enumerate() {
        let at = At { stream: stream.clone(), partition: p as u32, offset: span.start };
        for chunk in chunks(engine, at, span.end) {
            for handle in &chunk?.batches {
                out.extend(handle.load()?.records()?.iter().map(|r| r.to_item()));
            }
        }
    }
    Ok(out)
}

/// A header of ours on a dead letter.
pub fn told(item: &Item, name: &str) -> String {
    item.header(&format!("anabranch.{name}")).map(|v| String::from_utf8_lossy(v).into_owned()).unwrap_or_default()
}

fn as_json(item: &Item) -> serde_json::Value {
    let text = |b: &Option<bytes::Bytes>| b.as_ref().map(|b| String::from_utf8_lossy(b).into_owned());
    let headers: serde_json::Map<String, serde_json::Value> = item
        .headers
        .iter()
        .filter(|(n, _)| !n.starts_with("anabranch."))
        .map(|(n, v)| (n.clone(), json!(text(v))))
        .collect();
    json!({ "id": told(item, "id"), "step": told(item, "step"), "error": told(item, "error"), "attempts": told(item, "attempts"),
            "place": told(item, "place"), "run": told(item, "run"), "key": text(&item.key), "value": text(&item.value),
            "headers": headers, "timestamp": item.timestamp })
}

/// Gives up what holds a batch, in as many runs as that takes.
fn skip(args: &Args, arg: &FlowArg, batch: u64) -> Result<Exit> {
    let Some(flow) = place::flow(args, arg)? else { return Ok(2) };
    let engine = place::engine_to_run(args, &arg.flow)?;
    loop {
        let skip = run::repair::unsettled(&*engine, &flow.name, batch)?;
        if skip.is_empty() {
            let text = format!("batch {batch} is held, but none of its dead letters is left to skip");
            return Err(
                Error::usage(text).help("it waits for a gate that another batch cannot open; please report this")
            );
        }
        let repair = run::Repair { batch, skip, ..run::Repair::default() };
        let how = super::args::Run { flow: arg.clone(), fresh: false, progress: "auto".into() };
        let exit = super::run::once(args, &how, Some(repair))?;
        if exit != 4 {
            return Ok(exit);
        }
    }
}

fn list(args: &Args, arg: &FlowArg, run: Option<u64>) -> Result<Exit> {
    let Some(flow) = place::flow(args, arg)? else { return Ok(2) };
    let engine = place::engine_of(args, &arg.flow)?;
    let mut letters = letters(&*engine, &flow)?;
    letters.retain(|l| run.is_none_or(|r| told(l, "run") == r.to_string()));
    if args.json {
        print::document(&json!(letters.iter().map(as_json).collect::<Vec<_>>()));
        return Ok(0);
    }
    let short = |t: String| t.lines().next().unwrap_or_default().chars().take(70).collect::<String>();
    let mut rows = vec![["ID", "STEP", "ATTEMPTS", "ERROR", "ITEM"].map(String::from).to_vec()];
    for l in &letters {
        let value = l.value.as_ref().map(|v| String::from_utf8_lossy(v).into_owned()).unwrap_or_default();
        rows.push(vec![told(l, "id"), told(l, "step"), told(l, "attempts"), short(told(l, "error")), short(value)]);
    }
    if letters.is_empty() {
        tell!("no dead letters");
    } else {
        print::show(&table(&rows, &[], screen::width(std::io::stdout())));
        if !args.quiet {
            tell!("show one of them:  anabranch dead show {} {}", arg.flow.display(), rows[1][0]);
        }
    }
    Ok(0)
}

fn show(args: &Args, arg: &FlowArg, id: &str) -> Result<Exit> {
    let Some(flow) = place::flow(args, arg)? else { return Ok(2) };
    let engine = place::engine_of(args, &arg.flow)?;
    let found = letters(&*engine, &flow)?.into_iter().find(|l| told(l, "id") == id);
    let letter = found.ok_or_else(|| unknown(id, &arg.flow))?;
    if args.json {
        print::document(&as_json(&letter));
        return Ok(0);
    }
    for what in ["id", "step", "error", "attempts", "place", "run"] {
        say!("{what:9} {}", told(&letter, what));
    }
    if let Some(key) = &letter.key {
        say!("{:9} {}", "key", String::from_utf8_lossy(key));
    }
    for (name, value) in letter.headers.iter().filter(|(n, _)| !n.starts_with("anabranch.")) {
        say!(
            "{:9} {name}: {}",
            "header",
            value.as_ref().map(|v| String::from_utf8_lossy(v).into_owned()).unwrap_or_default()
        );
    }
    say!("{:9} {}", "item", letter.value.as_ref().map(|v| String::from_utf8_lossy(v).into_owned()).unwrap_or_default());
    Ok(0)
}

fn unknown(id: &str, flow: &Path) -> Error {
    Error::usage(format!("there is no dead letter {id}"))
        .help(format!("anabranch dead list {}  shows all", flow.display()))
}
