//! What rounds begin with: the examples, flows that check speaks of, flows of this tool, and flows that are drawn.

use anabranch_simulator::drawn::{self, Source};
use anabranch_testkit::rng::Rng;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A flow with what it is given.
#[derive(Debug, Clone, Default)]
pub struct Seed {
    /// The flow file.
    pub flow: Vec<u8>,
    /// Files by name, with whether they are programs.
    pub files: BTreeMap<String, (Vec<u8>, bool)>,
    /// Streams that others fill: partitions and lines.
    pub topics: BTreeMap<String, (u32, Vec<u8>)>,
    /// Standard input.
    pub input: Option<Vec<u8>>,
}

/// Files that examples have for people, not for the flow.
const ASIDE: [&str; 4] = ["flow.yaml", "README.md", "expected", "out"];
/// Flows of this tool.
const OURS: [&str; 3] =
    [include_str!("flows/shapes.yaml"), include_str!("flows/text.yaml"), include_str!("flows/topics.yaml")];

/// All that do not have to be drawn.
pub fn all() -> Result<Vec<Seed>, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut all: Vec<Seed> = OURS.iter().map(|flow| Seed { flow: (*flow).into(), ..Seed::default() }).collect();
    for example in listed(&root.join("examples"))? {
        let mut seed = Seed { flow: read(&example.join("flow.yaml"))?, ..Seed::default() };
        gather(&example, "", &mut seed)?;
        all.push(seed);
    }
    for file in listed(&root.join("crates/anabranch/tests/check"))? {
        if file.extension().is_some_and(|e| e == "yaml") {
            all.push(Seed { flow: read(&file)?, ..Seed::default() });
        }
    }
    all.iter_mut().for_each(hurry);
    Ok(all)
}

fn listed(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut all: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    all.sort(); // one seed is one round, whatever order a folder is listed in
    Ok(all)
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|e| format!("{}: {e}", file.display()))
}

fn gather(folder: &Path, below: &str, seed: &mut Seed) -> Result<(), String> {
    for path in listed(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || ASIDE.contains(&name.as_str()) {
            continue;
        }
        let at = format!("{below}{name}");
        if path.is_dir() {
            gather(&path, &format!("{at}/"), seed)?;
        } else {
            let program = name.ends_with(".sh");
            seed.files.insert(at, (read(&path)?, program));
        }
    }
    Ok(())
}

/// Calls that fail are not waited for.
fn hurry(seed: &mut Seed) {
    let text = String::from_utf8_lossy(&seed.flow).into_owned();
    let calls = text.contains("exec:") && !text.contains("each:");
    if calls && !text.contains("defaults:") && !text.contains("retry:") {
        let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
        seed.flow = format!("{first}\ndefaults: {{ retry: {{ attempts: 2, backoff: 10ms }} }}\n{rest}").into();
    }
}

/// A flow that is drawn. Most of its topics are files, since it takes long to fill a topic.
pub fn draw(dice: &mut Rng) -> Seed {
    let mut shape = drawn::draw(dice, 6);
    let mut seed = Seed::default();
    for stream in &mut shape.streams {
        match stream.source {
            Source::Topic(n) if dice.eighths(2) => {
                seed.topics.insert(stream.name.clone(), (n, items(dice)));
            }
            Source::Topic(_) => stream.source = Source::File,
            _ => {}
        }
    }
    seed.flow = shape.yaml().into();
    seed
}

/// Gives what a flow names and does not have: files by their name, topics of our own flow, standard input.
pub fn provide(seed: &mut Seed, dice: &mut Rng) {
    let text = String::from_utf8_lossy(&seed.flow).into_owned();
    let of_name = |c: char| !(c.is_alphanumeric() || "./*-_".contains(c));
    for name in text.split(of_name).filter(|n| n.starts_with(|c: char| c.is_alphanumeric() || c == '*')) {
        let name = name.replace("**", "a").replace('*', "a");
        let kind = [".jsonl", ".txt", ".json", ".csv"].iter().find(|end| name.ends_with(**end));
        let may = !name.starts_with("out") && !name.contains("..") && !name.contains("//") && !name.contains(".sh/");
        if let Some(kind) = kind.filter(|_| may && dice.eighths(7) && !seed.files.contains_key(&name)) {
            let bytes = if kind.starts_with(".json") { items(dice) } else { lines(dice) };
            seed.files.insert(name, (bytes, false));
        }
    }
    for (name, partitions) in [("orders", 3), ("clicks", 2), ("photos-topic", 10), ("photos-topic-2", 10)] {
        if text.contains(&format!("{name}:")) && dice.eighths(3) {
            seed.topics.insert(name.into(), (partitions, items(dice)));
        }
    }
    if text.contains("stdin") && dice.eighths(7) {
        seed.input = Some(lines(dice));
    }
}

/// Items as flows of this project have them.
pub fn items(dice: &mut Rng) -> Vec<u8> {
    let mut out = String::new();
    for i in 0..dice.below(24) {
        let (g, v, n) = (dice.below(4), dice.below(9), dice.below(3));
        out += &match dice.below(8) {
            0 => format!("{{\"id\":{i},\"g\":{g},\"v\":-{v},\"text\":\"The word {n} and the\"}}\n"),
            1 => {
                format!("{{\"id\":\"{i}\",\"user\":\"u{n}\",\"email\":\"u{n}@x.y\",\"region\":\"eu\",\"page\":{v}}}\n")
            }
            2 => format!("{{\"id\":{i},\"n\":{n},\"age\":\"{v}\",\"k\":\"a\",\"wants_email\":true,\"g\":null}}\n"),
            _ => format!("{{\"id\":{i},\"g\":{g},\"v\":{v}}}\n"),
        };
    }
    out.into()
}

fn lines(dice: &mut Rng) -> Vec<u8> {
    (0..dice.below(12)).map(|i| format!("line {i} of {}\n", dice.below(4))).collect::<String>().into()
}
