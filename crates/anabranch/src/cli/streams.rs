//! `anabranch streams`

use super::args::{Args, Streams};
use super::{Exit, place, print, screen};
use anabranch_engine::{Error, Result, StreamInfo, StreamName, StreamSpec};
use anabranch_run::show::table::{number, table};
use anabranch_run::show::text::counted;
use serde_json::json;

/// Makes, lists, describes and deletes streams.
pub fn streams(args: &Args, what: &Streams) -> Result<Exit> {
    let engine = match (what, place::engine_there(args)?) {
        (_, Some(engine)) => engine,
        (Streams::Create { .. }, None) => place::engine(args)?,
        (Streams::List, None) => {
            if args.json {
                print::document(&json!([]));
            }
            return Ok(0);
        }
        (Streams::Describe { name } | Streams::Delete { name }, None) => return Err(unknown(&StreamName::new(name)?)),
    };
    match what {
        Streams::Create { name, partitions, replication_factor, config, if_not_exists } => {
            let name = StreamName::new(name)?;
            place::not_of_a_flow(&name)?;
            let config = config.iter().map(|c| place::pair(c, "--config")).collect::<Result<_>>()?;
            if engine.span(&name).is_ok() && !if_not_exists {
                return Err(Error::usage(format!("the stream {name} is there already"))
                    .help("with  --if-not-exists  that is no error"));
            }
            let spec = StreamSpec {
                name: name.clone(),
                partitions: Some(*partitions),
                replication_factor: *replication_factor,
                config,
            };
            let shape = engine.ensure(None, &[spec])?.pop();
            if !args.quiet {
                if let Some(note) = shape.and_then(|s| s.note) {
                    tell!("note: {note}");
                }
                tell!("Created stream {name} with {}.", counted(*partitions as usize, "partition"));
            }
        }
        Streams::List => {
            let all = engine.streams()?;
            if args.json {
                print::document(&json!(all.iter().map(as_json).collect::<Vec<_>>()));
            } else {
                all.iter().for_each(|s| say!("{}", s.name));
            }
        }
        Streams::Describe { name } => {
            let name = StreamName::new(name)?;
            let found = engine.streams()?.into_iter().find(|s| s.name == name);
            let info = found.ok_or_else(|| unknown(&name))?;
            if args.json { print::document(&as_json(&info)) } else { print::show(&describe(&info)) }
        }
        Streams::Delete { name } => {
            let name = StreamName::new(name)?;
            place::not_of_a_flow(&name)?;
            engine.delete(&name)?;
            if !args.quiet {
                tell!("Deleted stream {name}.");
            }
        }
    }
    Ok(0)
}

fn unknown(name: &StreamName) -> Error {
    Error::usage(format!("there is no stream {name} here")).help("anabranch streams list  shows all")
}

fn as_json(s: &StreamInfo) -> serde_json::Value {
    let partitions: Vec<_> =
        s.spans.iter().enumerate().map(|(p, r)| json!({ "partition": p, "start": r.start, "end": r.end })).collect();
    json!({ "stream": s.name.as_str(), "partitions": partitions, "bytes": s.bytes,
            "owner": s.owner.as_ref().map(ToString::to_string), "config": s.config })
}

fn describe(s: &StreamInfo) -> String {
    let owner = s.owner.as_ref().map_or(String::new(), |o| format!("  written by {o}"));
    let bytes = s.bytes.map_or(String::new(), |b| format!("  {} bytes", number(b)));
    let mut out = format!("{}  {}{bytes}{owner}\n", s.name, counted(s.spans.len(), "partition"));
    for (key, value) in &s.config {
        out += &format!("  {key} = {value}\n");
    }
    let mut rows = vec![["  PARTITION", "START", "END", "ITEMS"].map(String::from).to_vec()];
    for (p, r) in s.spans.iter().enumerate() {
        rows.push(vec![format!("  {p}"), r.start.to_string(), r.end.to_string(), (r.end - r.start).to_string()]);
    }
    out + &table(&rows, &[1, 2, 3], screen::width(std::io::stdout()))
}
