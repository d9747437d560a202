//! The guide: every command on every page is run, in the order in which it stands there, and prints what the page shows.
//!
//! A block with a file name behind its language is that file; a block of `sh` is run by bash; a block of `text` behind it is
//! what both streams of that show. Times differ from run to run. With `UPDATE=1` in the environment what is shown is written
//! again: read it.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use common::Place;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn guide() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/src")
}

/// What is the same in every run: times and dates, and what a shell says of itself, are not.
fn same(text: &str) -> String {
    let words = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let is_time = |w: &str, next: Option<&&str>| {
            w.chars().all(|c| c.is_ascii_digit() || c == '.') && matches!(next, Some(&"ms" | &"s"))
        };
        let is_date = |w: &str| w.len() >= 8 && w.chars().all(|c| c.is_ascii_digit() || "-:T.Z".contains(c));
        let word = |i: usize| if is_time(words[i], words.get(i + 1)) || is_date(words[i]) { "N" } else { words[i] };
        // a time may be as long as its column is wide
        let words = (0..words.len()).map(word).filter(|w| !w.is_empty());
        words.collect::<Vec<_>>().join(" ").replace("N s", "N ms")
    };
    text.lines().map(|l| words(l.trim_end())).collect::<Vec<_>>().join("\n")
}

/// Runs a block; what it printed.
fn run(place: &Place, script: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_anabranch"));
    let path = format!("{}:{}", program.parent().expect("a folder").display(), std::env::var("PATH").expect("a path"));
    let mut bash = Command::new("bash");
    bash.args(["-c", &format!("exec 2>&1\n{script}")]).current_dir(place.path()).env("PATH", path);
    for name in ["ANABRANCH_DATA", "ANABRANCH_KAFKA", "ANABRANCH_KAFKA_CONFIG", "GITHUB_ACTIONS"] {
        bash.env_remove(name);
    }
    let output = bash.stdin(std::process::Stdio::null()).output().expect("starts");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs all blocks of a page; the page with what they printed now.
fn page(path: &Path) -> (String, String) {
    let text = std::fs::read_to_string(path).expect("reads");
    let (place, mut out, mut printed) = (Place::new(), String::new(), None::<String>);
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else {
            out += &format!("{line}\n");
            if !line.is_empty() {
                printed = None;
            }
            continue;
        };
        let block: String = lines.by_ref().take_while(|l| *l != "```").map(|l| format!("{l}\n")).collect();
        let (language, file) = info.split_once(' ').unwrap_or((info, ""));
        let shown = match (language, file) {
            ("sh", "") => {
                printed = Some(run(&place, &block));
                block
            }
            ("text", "") => {
                printed.take().unwrap_or_else(|| panic!("{}: nothing prints this: {block}", path.display()))
            }
            (_, "") => block,
            _ => {
                match block.starts_with("#!") {
                    true => place.script(file, &block),
                    false => place.write(file, &block),
                }
                block
            }
        };
        out += &format!("```{info}\n{shown}```\n");
    }
    (text, out)
}

fn pages(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("reads") {
        let path = entry.expect("reads").path();
        if path.is_dir() {
            pages(&path, out);
        } else if path.extension().is_some_and(|e| e == "md") {
            out.push(path);
        }
    }
}

#[test]
fn every_page_shows_what_its_commands_print() {
    let mut all = vec![];
    pages(&guide(), &mut all);
    all.sort();
    assert!(all.len() > 12, "the pages are found");
    for path in all {
        let (text, now) = page(&path);
        if std::env::var_os("UPDATE").is_some() && same(&text) != same(&now) {
            std::fs::write(&path, &now).expect("writes");
        } else {
            assert_eq!(same(&text), same(&now), "{}", path.display());
        }
    }
}

#[test]
fn every_page_is_in_the_summary_and_every_link_leads_somewhere() {
    let mut all = vec![];
    pages(&guide(), &mut all);
    let linked = |page: &Path| -> BTreeSet<PathBuf> {
        let text = std::fs::read_to_string(page).expect("reads");
        let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        let links = links.filter(|link| !link.is_empty() && !link.contains("://"));
        links.map(|link| page.parent().expect("a folder").join(link)).collect()
    };
    for page in &all {
        linked(page).iter().for_each(|to| assert!(to.exists(), "{}: {} is not there", page.display(), to.display()));
    }
    let summary = guide().join("SUMMARY.md");
    let named: BTreeSet<PathBuf> = linked(&summary).iter().map(|p| p.canonicalize().expect("is there")).collect();
    for page in all.iter().filter(|p| **p != summary) {
        assert!(named.contains(&page.canonicalize().expect("is there")), "{} is not in the summary", page.display());
    }
}
