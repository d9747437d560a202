//! Our expressions against cel-go, which is the other people's reading of CEL: random ones, and the table of what
//! differs in `docs/EXPRESSIONS.md`. Where there is no `go`, it says so and tests nothing.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

#[path = "cel/ours.rs"]
mod ours;
#[path = "cel/random.rs"]
mod random;

use anabranch_testkit::rng::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Results that are compared, where `CEL_RESULTS` says nothing else.
const RESULTS: usize = 20_000;
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Says something that is seen whether a test passes or not.
fn loudly(text: &str) {
    let _ = writeln!(std::io::stderr(), "\n*** cel_go: {text} ***\n");
}

/// The program that asks cel-go, if it can be had.
fn built(folder: &Path) -> Option<PathBuf> {
    let source = Path::new(ROOT).join("cel-go");
    let go = |args: &[&str]| Command::new("go").args(args).current_dir(&source).output();
    match go(&["mod", "download"]) {
        Err(_) => {
            loudly("NOTHING WAS COMPARED: there is no `go` on this machine");
            return None;
        }
        Ok(got) if !got.status.success() => {
            loudly(&format!("NOTHING WAS COMPARED: cel-go cannot be had: {}", String::from_utf8_lossy(&got.stderr)));
            return None;
        }
        Ok(_) => {}
    }
    let program = folder.join("cel-go");
    let made = go(&["build", "-buildvcs=false", "-o", program.to_str().unwrap(), "."]).expect("go is there");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some(program)
}

/// What cel-go says of each expression and item.
fn theirs(program: &Path, asked: &[(String, String)]) -> Vec<String> {
    let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let lines: String =
        asked.iter().map(|(e, i)| format!("{{\"e\":{},\"i\":{i}}}\n", serde_json::to_string(e).unwrap())).collect();
    let feed = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let out = child.wait_with_output().expect("ends");
    feed.join().unwrap().expect("takes them all");
    let said: Vec<String> = String::from_utf8_lossy(&out.stdout).lines().map(String::from).collect();
    assert_eq!(said.len(), asked.len(), "an answer to each");
    said
}

/// Errors are equal, whatever their words.
fn value(said: &str) -> &str {
    if said.starts_with("error") { "error" } else { said }
}

/// The table of what differs: name, expression, what CEL says, what we say.
fn table() -> Vec<[String; 4]> {
    let text = std::fs::read_to_string(Path::new(ROOT).join("../../docs/EXPRESSIONS.md")).expect("the reference");
    let rows = text.lines().filter(|l| l.starts_with("| `") && l.matches(" | ").count() == 3);
    let cells = rows.map(|row| {
        let cells: Vec<String> = row.trim_matches(|c| "| ".contains(c)).split(" | ").map(cell).collect();
        <[String; 4]>::try_from(cells).expect("four cells")
    });
    cells.collect()
}

fn cell(text: &str) -> String {
    text.trim().trim_matches('`').replace("\\|", "|")
}

/// What was said, in the words of the reference: whole numbers bare, doubles in decimal.
fn readable(said: &str) -> String {
    let mut parts = value(said).split("double:");
    let mut out = parts.next().unwrap_or_default().replace("int:", "");
    for part in parts {
        let (bits, rest) = part.split_at(16);
        let d = f64::from_bits(u64::from_str_radix(bits, 16).expect("bits"));
        out += &format!("{d:?}{}", rest.replace("int:", ""));
    }
    out
}

#[test]
fn the_table_of_what_differs_is_true() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(program) = built(folder.path()) else { return };
    let rows = table();
    assert!(rows.len() >= 20, "the table is found");
    let asked: Vec<_> = rows.iter().map(|[_, expression, ..]| (expression.clone(), "{}".to_string())).collect();
    let mut wrong = vec![];
    for ([name, expression, of_cel, here], theirs) in rows.iter().zip(theirs(&program, &asked)) {
        let (ours, theirs) = (readable(&ours::says(expression, "{}")), readable(&theirs));
        if (&theirs, &ours) != (of_cel, here) || ours == theirs {
            wrong.push(format!("| `{name}` | `{expression}` | `{theirs}` | `{ours}` |"));
        }
    }
    assert!(wrong.is_empty(), "it should say:\n{}", wrong.join("\n"));
}

/// The name under which the reference tells of a difference.
fn allowed(expression: &str, item: &str, ours: &str, theirs: &str) -> Option<&'static str> {
    let has = |part: &str| expression.contains(part);
    let doubles = ["item.d", "item.e", "item.any", "double(", ".5", ".0", "0.1", "1e", ".789"].into_iter().any(has);
    let overload = theirs.contains("no such overload");
    match () {
        _ if doubles && (ours.contains("out of range") || ours.contains("division by zero")) => Some("no-infinity"),
        _ if doubles && has(" / ") && has("nothing") && ours.starts_with("error") => Some("no-infinity"),
        _ if theirs.contains("no such overload: string(") => Some("more-text"),
        _ if doubles && overload && ours.contains("double:") => Some("mixed-numbers"),
        _ if ours.contains("the same name twice") => Some("same-name-twice"),
        _ if has("timestamp(") && has(" - ") && theirs.contains("overflow") => Some("long-durations"),
        _ if ours.contains("is not a timestamp") && has("timestamp('") => Some("read-at-once"),
        _ if ours.contains("is not a duration") && has("duration('") => Some("read-at-once"),
        _ if has("timestamp(") && theirs.contains("to 'google.protobuf.Timestamp'") => Some("more-times"),
        _ if ours.contains("not UTF-8 cannot be made text") && has("%s") => Some("bytes-as-text"),
        _ if (has("string(") || has("%s")) && item.contains("1.000000001s") => Some("text-of-durations"),
        _ if has("5u") || has("uint(") => (theirs.starts_with("error") || has("type(")).then_some("unsigned"),
        _ => None,
    }
}

#[test]
fn random_expressions_give_what_cel_go_gives() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(program) = built(folder.path()) else { return };
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let (seed, results) = (number("CEL_SEED").unwrap_or(1), number("CEL_RESULTS").unwrap_or(RESULTS as u64));
    let mut rng = Rng::new(seed);
    let mut asked = vec![];
    for n in 0..results {
        let expression = random::Random::new(&mut rng).any(1 + (n % 4) as u32);
        let item = random::item(&mut rng).to_string();
        if expression.len() < 1_000 {
            asked.push((expression, item));
        }
    }
    let theirs = theirs(&program, &asked);
    let names: BTreeSet<String> = table().into_iter().map(|[name, ..]| name).collect();
    let (mut seen, mut wrong, mut values) = (BTreeMap::new(), vec![], 0);
    for ((expression, item), theirs) in asked.iter().zip(&theirs) {
        let ours = ours::says(expression, item);
        values += usize::from(!theirs.starts_with("error"));
        if value(&ours) == value(theirs) {
            continue;
        }
        match allowed(expression, item, &ours, theirs) {
            Some(name) => {
                assert!(names.contains(name), "`{name}` is not in the reference");
                *seen.entry(name).or_insert(0) += 1;
            }
            None => wrong.push(format!("{expression}\n  item    {item}\n  ours    {ours}\n  cel-go  {theirs}")),
        }
    }
    loudly(&format!(
        "{} results compared, {values} of them values; differences that the reference tells of: {seen:?}",
        asked.len()
    ));
    assert!(values * 2 > asked.len(), "most expressions have a value");
    wrong.sort_by_key(String::len);
    assert!(
        wrong.is_empty(),
        "seed {seed}: {} differences, the shortest:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(25)].join("\n")
    );
}
