//! `anabranch dead retry | skip | edit | settle`: a run for each batch of the letters that are meant.

use super::args::{self, Args, FlowArg, Pick};
use super::letters::{self, Batches, Next, Seen};
use super::{Exit, place, print};
use anabranch_engine::{Admin, Error, Phase, Result};
use anabranch_flow::model::Flow;
use anabranch_run::{Batch, Letters, Like, Makes, NO_SUCH_LETTERS, Repair, Way, edit as by_expression};
use serde_json::json;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// What is typed, as the library has it.
pub fn like(typed: &args::Like) -> Like {
    Like { step: typed.step.clone(), error: typed.error.clone(), run: typed.run }
}

/// Works for each batch of the letters that are meant. The exit status is that of the last one, or the first that is worse.
pub fn repair(
    args: &Args,
    pick: &Pick,
    late: bool,
    way: impl FnOnce(&Arc<Flow>, &[Seen]) -> Result<Way>,
) -> Result<Exit> {
    let (arg, ids) = pick.named.parts();
    let typed = &pick.like;
    let is_like = typed.step.is_some() || typed.error.is_some() || typed.run.is_some() || typed.batch.is_some();
    if !ids.is_empty() && (is_like || pick.all) {
        return Err(Error::usage("ids are named, and others are described").help("name ids, or describe what is meant"));
    }
    if ids.is_empty() && !is_like && !pick.all {
        return Err(Error::usage("it is not said which dead letters are meant")
            .help("name their ids, or write  --step ,  --error ,  --run ,  --batch  or  --all"));
    }
    let Some(flow) = place::flow(args, &arg)? else { return Ok(2) };
    if let Some(step) = typed.step.as_deref().filter(|step| !ids_of_nodes(&flow, step)) {
        let near = anabranch_flow::names::nearest(step, flow.steps.iter().map(|s| s.name.as_str()));
        let near = near.map(|near| format!("did you mean {near}?")).unwrap_or_default();
        return Err(Error::usage(format!("{} has no step {step}", flow.name)).help(near));
    }
    let (wanted, way) = {
        let engine = place::engine_of(args, &arg.flow)?;
        let batches = Batches::of(&*engine, &flow)?;
        let found = if ids.is_empty() { vec![] } else { find(&*engine, &flow, &ids)? };
        let wanted = match ids.is_empty() {
            true => described(&batches, pick),
            false => of_ids(&batches, &found, &ids, &arg)?,
        };
        let way = way(&flow, &found)?;
        (wanted, way)
    };
    if wanted.is_empty() {
        return Err(nothing());
    }
    let how = args::Run { flow: arg, fresh: false, progress: "auto".into() };
    one_by_one(
        args,
        &how,
        wanted.into_iter().map(|(batch, letters)| Repair { late, ..Repair::of(batch).with(letters, way.clone()) }),
    )
}

fn nothing() -> Error {
    Error::usage("there are no such dead letters that are not settled").help("anabranch dead list")
}

/// A run for each batch. The exit status is that of the last one that is not done, a held one before others.
pub fn one_by_one(args: &Args, how: &args::Run, wanted: impl ExactSizeIterator<Item = Repair>) -> Result<Exit> {
    let (mut exit, several, mut worked, mut reports) = (0, wanted.len() > 1, false, vec![]);
    for repair in wanted {
        let (ended, report) = match super::run::once(args, how, Some(repair)) {
            // of several batches some have nothing that is meant
            Err(e) if several && e.code == NO_SUCH_LETTERS => continue,
            ended => ended?,
        };
        worked = true;
        reports.extend(report);
        if ended != 0 && exit != 4 {
            exit = ended;
        }
        if ![0, 3, 4].contains(&ended) {
            exit = ended;
            break;
        }
    }
    if !worked {
        return Err(nothing());
    }
    if args.json {
        match reports.as_slice() {
            [one] => print::document(one),
            all => print::document(&json!({ "schema": "anabranch.reports/1", "exit": exit, "reports": all })),
        }
    }
    Ok(exit)
}

/// Where items can fail: steps, and sources, sinks and finals by what they are of.
fn ids_of_nodes(flow: &Flow, node: &str) -> bool {
    let name = node.split_once(':').map_or(node, |(_, name)| name);
    flow.steps.iter().any(|s| s.name == name) || flow.streams.iter().any(|s| s.name == name)
}

/// All batches that may have what is described.
fn described(batches: &Batches, pick: &Pick) -> Vec<(u64, Letters)> {
    let typed = &pick.like;
    let left = |b: &&Batch| matches!(b.books.phase, Phase::Held | Phase::Dead);
    let of_run = |b: &&Batch| typed.run.is_none_or(|run| b.books.mending().runs.contains(&run));
    let meant = batches.all.iter().filter(left).filter(of_run).map(|b| b.books.record.batch);
    let meant = meant.filter(|b| typed.batch.is_none_or(|batch| batch == *b));
    meant.map(|batch| (batch, Letters::All(like(typed)))).collect()
}

/// The letters with these ids.
fn find(engine: &dyn Admin, flow: &Flow, ids: &[String]) -> Result<Vec<Seen>> {
    let mut found = vec![];
    letters::each(
        engine,
        flow,
        None,
        |seen| ids.contains(&seen.letter.id),
        |seen| {
            found.push(seen);
            Ok(if found.len() < ids.len() { Next::More } else { Next::Enough })
        },
    )?;
    Ok(found)
}

/// The ids by their batches.
fn of_ids(batches: &Batches, found: &[Seen], ids: &[String], arg: &FlowArg) -> Result<Vec<(u64, Letters)>> {
    let mut wanted: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for id in ids {
        let Some(seen) = found.iter().find(|seen| seen.letter.id == *id) else {
            let help = format!("anabranch dead list {}  shows what there is", arg.flow.display());
            return Err(Error::usage(format!("there is no dead letter {id}")).help(help));
        };
        let Some(batch) = batches.batch(&seen.letter) else {
            let text = format!("the dead letter {id} is of a run whose records are gone, and can only be looked at");
            return Err(Error::usage(text).help(format!("anabranch dead show {} {id}", arg.flow.display())));
        };
        wanted.entry(batch.books.record.batch).or_default().push(id.clone());
    }
    Ok(wanted.into_iter().map(|(batch, ids)| (batch, Letters::These(ids))).collect())
}

/// Another value: by an expression, or by the editor.
pub fn edit(flow: &Arc<Flow>, found: &[Seen], set: Option<&String>, value: Option<&String>) -> Result<Way> {
    match (set, value, found) {
        (Some(set), ..) => by_expression(flow, set, Makes::Fields).map(Way::Edit),
        (None, Some(value), _) => by_expression(flow, value, Makes::Value).map(Way::Edit),
        (None, None, [one]) => by_editor(one),
        (None, None, _) => Err(Error::usage("one dead letter is edited in an editor")
            .help("name one id, or say what becomes of all:  --set '{\"field\": value}'  or  --value EXPR")),
    }
}

/// Opens the value in an editor.
fn by_editor(seen: &Seen) -> Result<Way> {
    let editor = ["VISUAL", "EDITOR"].into_iter().find_map(std::env::var_os).unwrap_or_else(|| OsString::from("vi"));
    let was = seen.letter.failed.item.value.clone().unwrap_or_default();
    let folder = tempfile_folder()?;
    let path = folder.join(format!("{}.json", seen.letter.id));
    let failed = |what: &str, e: std::io::Error| Error::machine(format!("cannot {what} {}: {e}", path.display()));
    std::fs::write(&path, &was).map_err(|e| failed("write", e))?;
    let name = editor.to_string_lossy().into_owned();
    let ended = Command::new("sh").args(["-c", &format!("{name} \"$1\""), "sh"]).arg(&path).status();
    let is = std::fs::read(&path).map_err(|e| failed("read", e));
    let _ = std::fs::remove_dir_all(&folder);
    match ended {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(Error::usage(format!("the editor {name} ended with {status}: nothing is changed"))),
        Err(e) => return Err(Error::usage(format!("the editor {name} cannot be started: {e}"))),
    }
    let mut is = is?;
    if is.ends_with(b"\n") && !was.ends_with(b"\n") {
        is.pop(); // editors end every line
    }
    if is == was {
        return Err(Error::usage("the value is as it was: nothing is changed")
            .help("to try it as it is:  anabranch dead retry"));
    }
    Ok(Way::Edit(Arc::new(move |_| Ok(is.clone().into()))))
}

/// A folder that only its owner reads.
fn tempfile_folder() -> Result<std::path::PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    let path = std::env::temp_dir().join(format!("anabranch-edit-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&path)
        .map_err(|e| Error::machine(format!("cannot make {}: {e}", path.display())))?;
    Ok(path)
}

/// The work was done by hand; with what it gave.
pub fn by_hand(result: Option<&Path>) -> Result<Way> {
    let read =
        |path: &Path| std::fs::read(path).map_err(|e| Error::usage(format!("{} cannot be read: {e}", path.display())));
    Ok(Way::Settle(result.map(read).transpose()?.map(Into::into)))
}
