//! `anabranch groups`

use super::args::{Args, Groups};
use super::{Exit, place, print, rewind, screen};
use anabranch_engine::{Admin, Error, Group, Partition, Result, StreamName};
use anabranch_run::show::table::table;
use serde_json::json;
use std::collections::BTreeSet;

/// Lists, describes and sets consumer groups.
pub fn groups(args: &Args, what: &Groups) -> Result<Exit> {
    let Some(engine) = place::engine_there(args)? else { return nothing(args, what) };
    match what {
        Groups::List => {
            let all = engine.groups()?;
            if args.json {
                print::document(&json!(all.iter().map(|g| &g.name).collect::<Vec<_>>()));
            } else {
                all.iter().for_each(|g| say!("{}", g.name));
            }
        }
        Groups::Describe { group } => describe(args, &*engine, &find(&*engine, group)?)?,
        Groups::Reset { group, stream, to_earliest, to_latest, to_offset } => {
            let known = known(&*engine, group)?;
            let mut offsets = vec![];
            let wanted = |name: &StreamName| stream.as_ref().is_none_or(|s| s == name.as_str());
            for (name, p) in known.iter().filter(|(name, _)| wanted(name)) {
                let span = engine.span(name)?.get(*p as usize).cloned().unwrap_or(0..0);
                let to = match (to_earliest, to_latest, to_offset) {
                    (true, ..) => span.start,
                    (_, true, _) => span.end,
                    (_, _, Some(n)) => (*n).clamp(span.start, span.end),
                    _ => return Err(Error::usage("choose where to:  --to-earliest, --to-latest or --to-offset N")),
                };
                offsets.push((name.clone(), *p, to));
            }
            if let (true, Some(stream)) = (offsets.is_empty(), stream) {
                return Err(Error::usage(format!("the group {group} has no offsets in {stream}"))
                    .help(format!("anabranch groups describe {group}  shows where it has some")));
            }
            rewind::reset(&*engine, group, &offsets)?;
            describe(args, &*engine, &find(&*engine, group)?)?;
        }
    }
    Ok(0)
}

/// Where nothing is kept there is no group.
fn nothing(args: &Args, what: &Groups) -> Result<Exit> {
    match what {
        Groups::List if args.json => print::document(&json!([])),
        Groups::List => {}
        Groups::Describe { group } | Groups::Reset { group, .. } => return Err(unknown(group)),
    }
    Ok(0)
}

fn unknown(group: &str) -> Error {
    Error::usage(format!("there is no group {group} here")).help("anabranch groups list  shows all")
}

/// Where a group has offsets, or a step reads under its name: brokers forget offsets, of a topic that was deleted for one.
fn known(engine: &dyn Admin, group: &str) -> Result<BTreeSet<(StreamName, Partition)>> {
    let mut known = rewind::read_as(engine, group)?;
    match find(engine, group) {
        Err(e) if known.is_empty() => return Err(e),
        found => known.extend(found.into_iter().flat_map(|g| g.offsets.into_keys())),
    }
    Ok(known)
}

fn find(engine: &dyn Admin, name: &str) -> Result<Group> {
    let found = Some(engine.group(name)?).filter(|g| !g.offsets.is_empty());
    found.ok_or_else(|| unknown(name))
}

fn describe(args: &Args, engine: &dyn Admin, group: &Group) -> Result<()> {
    let mut rows =
        vec![["GROUP", "TOPIC", "PARTITION", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG"].map(String::from).to_vec()];
    let mut all = vec![];
    for ((stream, p), next) in &group.offsets {
        let end = engine.span(stream).ok().and_then(|s| s.get(*p as usize).map(|r| r.end)).unwrap_or(*next);
        all.push(json!({ "group": group.name, "stream": stream.as_str(), "partition": p, "offset": next, "end": end, "lag": end - next }));
        let cells = [
            group.name.clone(),
            stream.to_string(),
            p.to_string(),
            next.to_string(),
            end.to_string(),
            (end - next).to_string(),
        ];
        rows.push(cells.to_vec());
    }
    if args.json {
        print::document(&json!(all));
    } else {
        print::show(&table(&rows, &[], screen::width(std::io::stdout())))
    }
    Ok(())
}
