//! Style as a test: what no lint sees. The lists of exceptions may only shrink.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

use std::path::{Path, PathBuf};

/// Lines of a file, at most.
const FILE_LINES: usize = 500;
/// Lines of a function, at most.
const FUNCTION_LINES: usize = 60;
/// Functions that are longer, and why.
const LONG_FUNCTIONS: &[(&str, &str)] = &[
    ("fn node(&mut self, node: &'a Node)", "one match over all that an expression is made of"),
    ("fn keys(&self, step: &Step)", "one match over all verbs"),
    ("fn fill(&mut self, form: &str, d: u32)", "one match over all forms of an expression"),
    ("fn topics_that_are_missing_wrong_grown_cut", "one story, in its order"),
    ("fn held_and_repaired(", "one story, in its order"),
    ("fn what_is_split_and_merged_again_ends", "a list of flows"),
    ("fn items_take_the_format_of_the_stream", "a list of flows"),
];
/// Parameters of a function beside `self`, at most.
const PARAMETERS: usize = 5;
/// Fields of a struct, at most.
const FIELDS: usize = 12;
/// Structs that have more, and why.
const LARGE_STRUCTS: &[(&str, &str)] = &[
    ("RunRecord", "the run as it is stored: one document"),
    ("RepairRecord", "what a repair is, as it is stored: one document"),
    ("Report", "the report as it is printed: one document"),
    ("StepLine", "a line of the report: one field for each disposition"),
    ("RunContext", "what every part of a run knows, made once and whole"),
    ("Stream", "a stream with all that may be declared of it"),
];
/// What patterns must not touch.
const IMPURE: &[&str] = &["std::fs", "std::net", "std::process", "std::thread", "SystemTime", "Instant", "rand"];
/// What nobody uses, and what to use instead.
const BANNED: &[(&str, &str)] = &[
    ("thread::sleep", "wait for what happens"),
    ("todo!", "finish it"),
    ("dbg!", "take it out"),
    ("#[ignore", "let it run"),
];

/// Words that a stranger has to look up, and what is said instead.
const OLD_WORDS: &[(&str, &str)] =
    &[("anew", "again"), ("whence", "where … from"), ("borne", "waited for"), ("thereof", "of it"), ("hereby", "so")];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("reads") {
        let path = entry.expect("reads").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" {
            sources(&path, out);
        } else if name.ends_with(".rs") {
            out.push(path);
        }
    }
}

fn each(mut look: impl FnMut(&str, &str)) {
    let mut all = vec![];
    sources(&root().join("crates"), &mut all);
    assert!(all.len() > 80, "the sources are found");
    for path in all {
        let name = path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
        look(&name, &std::fs::read_to_string(&path).expect("reads"));
    }
}

#[test]
fn files_are_small_and_say_what_they_are() {
    let mut lines = vec![];
    each(|name, text| {
        let n = text.lines().count();
        assert!(n <= FILE_LINES, "{name} has {n} lines, at most {FILE_LINES} are read with pleasure");
        assert!(text.starts_with("//!"), "{name} does not say what it is");
        lines.push(n);
    });
    lines.sort();
    assert!(lines[lines.len() / 2] <= 150, "half of all files have more than {} lines", lines[lines.len() / 2]);
}

#[test]
fn functions_are_small() {
    let mut found = vec![];
    each(|name, text| {
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let is_one =
                ["fn ", "pub fn ", "pub(super) fn ", "pub(crate) fn "].iter().any(|f| line.trim_start().starts_with(f));
            let end = format!("{}}}", " ".repeat(indent));
            if !is_one || line.trim_end().ends_with(';') {
                continue;
            }
            let length = lines[i..].iter().position(|l| *l == end).map_or(0, |n| n + 1);
            if length > FUNCTION_LINES && !LONG_FUNCTIONS.iter().any(|(f, _)| line.contains(f)) {
                found.push(format!("{name}:{}: {length} lines: {}", i + 1, line.trim()));
            }
        }
    });
    assert!(found.is_empty(), "functions of more than {FUNCTION_LINES} lines:\n{}", found.join("\n"));
}

/// What stands between two brackets, split at the commas that are in no other brackets; nothing behind `->` ends one.
fn parts(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, vec![]);
    let bytes = text.as_bytes();
    for (i, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' | '<' => depth += 1,
            '>' if i > 0 && bytes[i - 1] == b'-' => {}
            ')' | ']' | '}' | '>' if depth == 0 => {
                parts.push(&text[start..i]);
                break;
            }
            ')' | ']' | '}' | '>' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.into_iter().map(str::trim).filter(|p| !p.is_empty()).collect()
}

#[test]
fn functions_have_few_parameters() {
    assert_eq!(parts("&self, a: (u8, u8), f: fn(u8) -> u8, v: Vec<(u8, u8)>) -> u8 {").len(), 4);
    let mut found = vec![];
    each(|name, text| {
        for (at, _) in text.match_indices("fn ") {
            let rest = &text[at + 3..];
            let is_word = text[..at].chars().next_back().is_none_or(char::is_whitespace);
            let Some(open) = rest.find('(').filter(|_| is_word) else { continue };
            let head = &rest[..open];
            let generics = head.split_once('<').map_or("", |(_, g)| g);
            // bounds in angle brackets may hold brackets themselves
            let open = if generics.contains("Fn") { rest.find(">(").map_or(open, |at| at + 1) } else { open };
            let all = parts(&rest[open + 1..]);
            let count =
                all.iter().filter(|p| !matches!(p.trim_start_matches("mut "), "self" | "&self" | "&mut self")).count();
            if count > PARAMETERS && head.chars().all(|c| c.is_alphanumeric() || "_<>', :".contains(c)) {
                found.push(format!("{name}: {head} has {count} parameters"));
            }
        }
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn structs_have_few_fields() {
    let mut found = vec![];
    each(|name, text| {
        for (at, _) in text.match_indices("struct ") {
            let Some((head, body)) = text[at + 7..].split_once('{') else { continue };
            let known = head.split(['<', ' ']).next().unwrap_or_default();
            let is_one = head.chars().all(|c| c.is_alphanumeric() || "_<>', ".contains(c));
            let code: Vec<&str> = body.lines().map(|l| l.split("//").next().unwrap_or_default()).collect();
            let fields = parts(&code.join("\n")).len();
            if is_one && fields > FIELDS && !LARGE_STRUCTS.iter().any(|(s, _)| *s == known) {
                found.push(format!("{name}: {known} has {fields} fields"));
            }
        }
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn patterns_are_pure_and_crates_keep_apart() {
    each(|name, text| {
        if name.starts_with("crates/flow/src/patterns") && !name.ends_with("trial.rs") {
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            IMPURE.iter().for_each(|what| assert!(!code.contains(what), "{name} uses {what}: a pattern is pure"));
        }
        if !name.ends_with("tests/style.rs") {
            BANNED.iter().for_each(|(what, instead)| assert!(!text.contains(what), "{name} uses {what}: {instead}"));
        }
    });
    for (krate, not) in [
        ("engine", "anabranch-"),
        ("engine-embedded", "anabranch-flow"),
        ("engine-kafka", "anabranch-flow"),
        ("flow", "anabranch-engine-"),
        ("flow", "anabranch-run"),
        ("run", "anabranch-engine-"),
        ("run", "anabranch-connect"),
    ] {
        let manifest = std::fs::read_to_string(root().join("crates").join(krate).join("Cargo.toml")).expect("reads");
        let needs = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        assert!(!needs.lines().any(|l| l.starts_with(not)), "{krate} must not know {not}…");
    }
}

#[test]
fn words_are_plain() {
    let check = |name: &str, text: &str| {
        for (at, line) in text.lines().enumerate() {
            let mut words = line.split(|c: char| !c.is_alphanumeric());
            let old = words.find_map(|w| OLD_WORDS.iter().find(|(old, _)| w.eq_ignore_ascii_case(old)));
            assert!(old.is_none(), "{name}:{}: {old:?}: {line}", at + 1);
        }
    };
    each(|name, text| {
        if !name.ends_with("tests/style.rs") {
            check(name, text);
        }
    });
    let mut pages = vec![root().join("README.md"), root().join("CHANGELOG.md"), root().join("CONTRIBUTING.md")];
    for folder in ["docs", "docs/adr", "docs/guide/src", "docs/guide/src/patterns"] {
        let files = std::fs::read_dir(root().join(folder)).expect("reads").map(|e| e.expect("reads").path());
        pages.extend(files.filter(|p| p.extension().is_some_and(|e| e == "md")));
    }
    assert!(pages.len() > 25, "the pages are found");
    for page in pages {
        check(&page.display().to_string(), &std::fs::read_to_string(&page).expect("reads"));
    }
}

/// What a flow keeps for itself has a name that none of its steps can have.
#[test]
fn own_names_are_listed() {
    each(|path, text| {
        for rest in text.split(".own(\"").skip(1).filter(|_| !path.contains("/tests/")) {
            let name = rest.split('"').next().unwrap_or_default();
            assert!(anabranch::engine::OWN_NAMES.contains(&name), "{path}: {name} is not in OWN_NAMES");
        }
    });
}
