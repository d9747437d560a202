//! Where things are: the flow file, its folder, the data directory.

use super::args::{Args, FlowArg};
use super::print;
use crate::{Config, Embedded, Kafka};
use anabranch_engine::{Admin, Error, Result, StreamName};
use anabranch_flow::check::{Checked, check_text};
use anabranch_flow::diagnostic::{Diagnostic, Severity, Span};
use anabranch_flow::model::Flow;
use anabranch_flow::names::nearest;
use anabranch_run::show::text::counted;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A flow file that was read.
pub struct FlowFile {
    /// As it was typed.
    pub name: String,
    /// What it says.
    pub text: String,
    /// What the check found.
    pub checked: Checked,
}

/// Reads and checks a flow file.
pub fn read(arg: &FlowArg) -> Result<FlowFile> {
    let name = arg.flow.display().to_string();
    let text = std::fs::read_to_string(&arg.flow).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            Error::usage(format!("there is no flow file {name}")).help("name it:  anabranch run FLOW.yaml")
        }
        _ => Error::usage(format!("the flow file {name} cannot be read: {e}")),
    })?;
    let given = variables(arg)?;
    let asked = RefCell::new(BTreeSet::new());
    let lookup = |name: &str| {
        asked.borrow_mut().insert(name.to_string());
        given.get(name).map(|(value, _)| value.clone()).or_else(|| std::env::var(name).ok())
    };
    let mut checked = check_text(&text, &lookup);
    let unasked = given.iter().filter(|(name, _)| !asked.borrow().contains(*name));
    checked.diagnostics.extend(unasked.filter_map(|(name, (_, line))| {
        let asked = asked.borrow();
        let file = arg.variables.env_file.as_ref()?.display().to_string();
        let what = format!("{file}, line {}: the flow lists no variable {name} under `env`", (*line)?);
        let near = nearest(name, asked.iter().map(String::as_str)).map(|n| format!("did you mean `{n}`?"));
        Some(Diagnostic::warning("unknown-env", Span::default(), what).label(near.unwrap_or_default()))
    }));
    if let Some(flow) = &checked.flow {
        for name in arg.variables.env.iter().filter_map(|e| e.split_once('=')).map(|(name, _)| name.trim()) {
            if !flow.env.contains_key(name) {
                let known = flow.env.keys().cloned().collect::<Vec<_>>().join(", ");
                let known = if known.is_empty() { "it lists none".into() } else { format!("it lists: {known}") };
                return Err(Error::usage(format!("the flow lists no variable {name} under `env`")).help(known));
            }
        }
    }
    Ok(FlowFile { name, text, checked })
}

/// Reads a flow that must be able to run; its warnings are said, its errors end it.
pub fn flow(args: &Args, arg: &FlowArg) -> Result<Option<Arc<Flow>>> {
    told(args, arg, !args.quiet)
}

/// The same without a word on warnings.
pub fn flow_alone(args: &Args, arg: &FlowArg) -> Result<Option<Arc<Flow>>> {
    told(args, arg, false)
}

fn told(args: &Args, arg: &FlowArg, warnings: bool) -> Result<Option<Arc<Flow>>> {
    let file = read(arg)?;
    let errors = file.checked.diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
    for d in file.checked.diagnostics.iter().filter(|d| d.severity == Severity::Error || warnings) {
        print::tell(&d.draw(&file.name, &file.text));
    }
    if errors > 0 {
        let text = format!("{}; nothing was run", counted(errors, "error"));
        tell!("{text}");
        if args.json {
            let mut document = super::error(2, "invalid-flow", &text, None);
            document["diagnostics"] = print::documents(&file.checked.diagnostics, &file.name).collect();
            print::document(&document);
        }
    }
    Ok(file.checked.flow.map(Arc::new))
}

/// The variables that are given, each with its line in the file of variables.
fn variables(arg: &FlowArg) -> Result<BTreeMap<String, (String, Option<usize>)>> {
    let mut out = BTreeMap::new();
    if let Some(path) = &arg.variables.env_file {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Error::usage(format!("{} cannot be read: {e}", path.display())))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let lines = text.lines().map(str::trim).enumerate();
        for (i, line) in lines.filter(|(_, l)| !l.is_empty() && !l.starts_with('#')) {
            let (name, value) = pair(line, "a line of the file of variables")?;
            out.insert(name, (value, Some(i + 1)));
        }
    }
    for text in &arg.variables.env {
        let (name, value) = pair(text, "--env")?;
        out.insert(name, (value, None));
    }
    Ok(out)
}

/// `NAME=VALUE`.
pub fn pair(text: &str, of: &str) -> Result<(String, String)> {
    let pair = text.split_once('=').map(|(n, v)| (n.trim().to_string(), v.to_string()));
    pair.ok_or_else(|| Error::usage(format!("{of} is NAME=VALUE, not `{text}`")))
}

/// The folder of a flow file.
pub fn folder(flow: &Path) -> PathBuf {
    flow.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf()
}

/// The data directory of a flow.
pub fn of_flow(args: &Args, flow: &Path) -> PathBuf {
    args.data.clone().unwrap_or_else(|| folder(flow).join(".anabranch"))
}

/// The data directory from here: searched upwards as git does, else made here.
pub fn from_here(args: &Args) -> Result<PathBuf> {
    if let Some(data) = &args.data {
        return Ok(data.clone());
    }
    let here =
        std::env::current_dir().map_err(|e| Error::machine(format!("the current folder cannot be determined: {e}")))?;
    let found = here.ancestors().map(|d| d.join(".anabranch")).find(|d| d.is_dir());
    Ok(found.unwrap_or_else(|| here.join(".anabranch")))
}

/// Whether streams are to be on Kafka.
pub fn kafka_is_meant(args: &Args) -> bool {
    args.kafka.is_some() || args.command_config.is_some()
}

/// The Kafka cluster that was named, if one was.
pub fn kafka(args: &Args) -> Result<Option<Arc<Kafka>>> {
    if !kafka_is_meant(args) {
        return Ok(None);
    }
    if args.data.is_some() {
        return Err(Error::usage("streams are kept in a directory, or on Kafka")
            .help("leave out  --data, or  --kafka  and  --command-config"));
    }
    let config = args.command_config.as_deref().map(Config::read).transpose()?;
    let config = match (config, &args.kafka) {
        (Some(config), Some(brokers)) => config.at(brokers),
        (Some(config), None) => config,
        (None, brokers) => Config::plain(brokers.as_deref().unwrap_or_default()),
    };
    if !config.has_brokers() {
        return Err(Error::usage("no broker of the Kafka cluster is named")
            .help("name some:  --kafka HOST:PORT,  or  bootstrap.servers  in the file of  --command-config"));
    }
    let quiet = args.quiet;
    let tell = move |text: &str| {
        if !quiet {
            tell!("note: {text}");
        }
    };
    Ok(Some(Arc::new(Kafka::connect(config.telling(tell))?)))
}

/// Opens the engine from here to look at what is there; `None` where nothing is kept, and nothing is made.
pub fn engine_there(args: &Args) -> Result<Option<Arc<dyn Admin>>> {
    match kafka(args)? {
        Some(kafka) => Ok(Some(kafka)),
        None => match from_here(args)? {
            dir if is_kept(&dir) => Ok(Some(Arc::new(Embedded::open(&dir)?))),
            _ => Ok(None),
        },
    }
}

/// A stream is named where nothing is kept.
pub fn no_stream(stream: &StreamName) -> Error {
    Error::usage(format!("there is no stream {stream} here"))
        .help(format!("make it with  anabranch streams create {stream} --partitions N"))
}

/// Whether a directory is a data directory, or something is in the way of one.
fn is_kept(dir: &Path) -> bool {
    dir.join("index.db").exists() || (dir.exists() && !dir.is_dir())
}

/// Opens the engine from here.
pub fn engine(args: &Args) -> Result<Arc<dyn Admin>> {
    match kafka(args)? {
        Some(kafka) => Ok(kafka),
        None => Ok(Arc::new(Embedded::open(&from_here(args)?)?)),
    }
}

/// Opens the engine for a run of a flow.
pub fn engine_to_run(args: &Args, flow: &Path) -> Result<Arc<dyn Admin>> {
    match kafka(args)? {
        Some(kafka) => Ok(kafka),
        None => Ok(Arc::new(Embedded::open(&of_flow(args, flow))?)),
    }
}

/// Opens the engine of a flow that was run before.
pub fn engine_of(args: &Args, flow: &Path) -> Result<Arc<dyn Admin>> {
    if let Some(kafka) = kafka(args)? {
        return Ok(kafka);
    }
    let dir = of_flow(args, flow);
    if !is_kept(&dir) {
        return Err(Error::usage(format!("nothing was run here yet: there is no {}", dir.display()))
            .help("run the flow first:  anabranch run"));
    }
    Ok(Arc::new(Embedded::open(&dir)?))
}

/// Opens the engine of a flow to look at it; where nothing was run yet there is an empty one.
pub fn engine_to_look(args: &Args, flow: &Path) -> Result<Arc<dyn Admin>> {
    let is_there = kafka_is_meant(args) || is_kept(&of_flow(args, flow));
    if is_there { engine_of(args, flow) } else { Ok(Arc::new(anabranch_trial::log::MemoryLog::empty())) }
}

/// What a flow keeps for itself is not for people to make, write or delete.
pub fn not_of_a_flow(stream: &StreamName) -> Result<()> {
    match stream.as_str().starts_with("anabranch.") {
        true => Err(Error::usage(format!("{stream} is kept by a flow for itself"))
            .help("its accounts, dead letters or lists of files would be damaged; a flow empties its own streams")),
        false => Ok(()),
    }
}

/// `explain STEP` means the flow here.
pub fn the_step(flow: &FlowArg, step: Option<&String>) -> (FlowArg, Option<String>) {
    let mut arg = flow.clone();
    let typed = arg.flow.to_string_lossy().into_owned();
    let only_a_step = step.is_none() && !arg.flow.exists() && !typed.contains(['.', '/']);
    if only_a_step {
        arg.flow = "flow.yaml".into();
        return (arg, Some(typed));
    }
    (arg, step.cloned())
}

/// The command that opens a gate.
pub fn opens(flow: &Path, step: &str, batch: u64) -> String {
    format!("anabranch open {} {step} --batch {batch}", flow.display())
}
