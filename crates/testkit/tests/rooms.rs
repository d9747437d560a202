//! The rooms of the house: who uses whom, read from the paths that files name. Files of a crate use each other in no
//! circle, and no room of `run` names a higher one.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The rooms of `run`, the lowest first.
const ROOMS: [&str; 9] = ["world", "context", "ledger", "show", "piece", "options", "worker", "life", "pages"];
/// What the pure rooms of `run` and all of `flow` do not touch.
const IMPURE: &[&str] =
    &["std::fs", "std::net", "std::process", "std::thread", "SystemTime", "Instant", "engine.", "thread::"];
/// Rooms that are pure.
const PURE: [&str; 2] = ["run/src/ledger/", "run/src/piece/"];
/// The rooms of `engine-kafka`, the lowest first.
const KAFKA_ROOMS: [&str; 5] = ["net", "cluster", "log", "crew", "fit"];

/// The files of a crate by the path of their module, without comments and tests.
fn modules(krate: &str) -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(krate).join("src");
    let mut files = BTreeMap::new();
    let mut todo = vec![root.clone()];
    while let Some(folder) = todo.pop() {
        for entry in std::fs::read_dir(&folder).expect("reads") {
            let path = entry.expect("reads").path();
            if path.is_dir() {
                todo.extend((!path.ends_with("bin")).then_some(path));
                continue;
            }
            let below = path.strip_prefix(&root).expect("below").with_extension("");
            let name = below.to_string_lossy().replace('/', "::");
            let name = name.strip_suffix("::mod").unwrap_or(&name);
            let text = std::fs::read_to_string(&path).expect("reads");
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let code: Vec<&str> = code.lines().map(|l| l.split("//").next().unwrap_or_default()).collect();
            files.insert(if name == "lib" { String::new() } else { name.to_string() }, code.join("\n"));
        }
    }
    files
}

/// `a::{b, c::{d, e}}` as `a::b`, `a::c::d`, `a::c::e`.
fn leaves(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((before, inner)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap_or_default().trim().to_string()];
    };
    let inner = inner.trim_end().strip_suffix('}').unwrap_or(inner);
    let (mut depth, mut start, mut parts) = (0, 0, vec![]);
    for (i, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inner[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[start..]);
    let parts = parts.into_iter().filter(|p| !p.trim().is_empty());
    parts.flat_map(leaves).map(|leaf| format!("{}{leaf}", before.trim())).collect()
}

/// The paths that a file names, from the crate's root.
fn paths(module: &str, code: &str) -> Vec<(bool, String)> {
    let mut found = vec![];
    let (mut rest, mut others) = (code, String::new());
    while let Some(at) = rest.find("use ").filter(|at| rest[at + 4..].contains(';')) {
        others.push_str(&rest[..at]);
        let end = at + rest[at..].find(';').unwrap_or(0);
        let is_word = rest[..at].chars().next_back().is_none_or(char::is_whitespace);
        if is_word {
            let exports = rest[..at].trim_end().ends_with("pub");
            found.extend(leaves(&rest[at + 4..end]).into_iter().map(|p| (exports, p)));
        }
        rest = &rest[if is_word { end } else { at + 4 }..];
    }
    others.push_str(rest);
    for word in others.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')) {
        if word.starts_with("crate::") || word.starts_with("super::") {
            found.push((false, word.to_string()));
        }
    }
    let up = |path: &str| path.rsplit_once("::").map_or(String::new(), |(up, _)| up.to_string());
    let join = |a: &str, b: &str| if a.is_empty() { b.to_string() } else { format!("{a}::{b}") };
    let whole = |path: String| {
        if let Some(rest) = path.strip_prefix("crate::") {
            return rest.to_string();
        }
        if !path.starts_with("super::") {
            return join(module, path.strip_prefix("self::").unwrap_or(&path)); // a child, or another crate
        }
        let (mut at, mut rest) = (module.to_string(), path.as_str());
        while let Some(next) = rest.strip_prefix("super::") {
            (at, rest) = (up(&at), next);
        }
        join(&at, rest)
    };
    found.into_iter().map(|(exports, p)| (exports, whole(p))).collect()
}

/// For each file the files that it uses. What a file only passes on is used where it stands.
fn uses(files: &BTreeMap<String, String>) -> BTreeMap<String, BTreeSet<String>> {
    let owner = |path: &str| {
        let mut at = path;
        while !files.contains_key(at) {
            at = at.rsplit_once("::").map_or("", |(up, _)| up);
        }
        at.to_string()
    };
    let mut named: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut passed_on = BTreeMap::new();
    for (module, code) in files {
        for (exports, path) in paths(module, code) {
            if exports {
                let name = path.rsplit("::").next().unwrap_or_default();
                let here = if module.is_empty() { name.to_string() } else { format!("{module}::{name}") };
                passed_on.insert(here, path);
            } else {
                named.entry(module.clone()).or_default().push(path);
            }
        }
    }
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, paths) in named {
        let stands = |mut path: String| {
            for _ in 0..9 {
                let Some(next) = passed_on.get(&path) else { break };
                path.clone_from(next);
            }
            owner(&path)
        };
        let is_own = |used: &String| *used != module && !used.is_empty();
        all.entry(module.clone()).or_default().extend(paths.into_iter().map(stands).filter(is_own));
    }
    all
}

/// A way from a file back to itself.
fn circle(all: &BTreeMap<String, BTreeSet<String>>, from: &str) -> Option<Vec<String>> {
    let mut came: BTreeMap<&str, &str> = BTreeMap::new();
    let mut todo = vec![from];
    while let Some(at) = todo.pop() {
        for next in all.get(at).into_iter().flatten() {
            if next == from {
                let mut way = vec![from.to_string()];
                let mut back = at;
                while back != from {
                    way.insert(0, back.to_string());
                    back = came[back];
                }
                way.insert(0, from.to_string());
                return Some(way);
            }
            if !came.contains_key(next.as_str()) {
                came.insert(next, at);
                todo.push(next);
            }
        }
    }
    None
}

#[test]
fn files_use_each_other_in_no_circle() {
    let mut found = vec![];
    for krate in ["engine", "engine-embedded", "engine-kafka", "flow", "run", "connect", "anabranch", "testkit"] {
        let all = uses(&modules(krate));
        let ways = all.keys().filter_map(|file| circle(&all, file));
        found.extend(ways.map(|way| format!("{krate}: {}", way.join(" → "))));
    }
    assert!(found.is_empty(), "circles:\n{}", found.join("\n"));
}

#[test]
fn no_room_names_a_higher_one() {
    for (krate, rooms) in [("run", &ROOMS[..]), ("engine-kafka", &KAFKA_ROOMS[..])] {
        let all = uses(&modules(krate));
        assert!(all.len() > 25, "the files are found");
        let room = |file: &str| file.split("::").next().unwrap_or_default().to_string();
        let level =
            |file: &str| rooms.iter().position(|r| *r == room(file)).unwrap_or_else(|| panic!("no room: {file}"));
        for (file, used) in all.iter().filter(|(file, _)| !file.is_empty()) {
            for other in used {
                assert!(level(other) <= level(file), "{file} is in a lower room than {other}");
            }
        }
    }
}

#[test]
fn pure_rooms_are_pure() {
    for (krate, folder) in PURE.map(|p| p.split_once("/src/").expect("a folder of a crate")) {
        let room = folder.trim_end_matches('/');
        for (file, code) in modules(krate).iter().filter(|(f, _)| f.split("::").next() == Some(room)) {
            IMPURE.iter().for_each(|what| assert!(!code.contains(what), "{file} uses {what}"));
        }
    }
    // the parser of expressions recurses, and is given a stack of its own
    let apart = ["patterns::trial", "expr::parse"];
    for (file, code) in modules("flow").iter().filter(|(f, _)| !apart.contains(&f.as_str())) {
        IMPURE.iter().for_each(|what| assert!(!code.contains(what), "flow: {file} uses {what}"));
    }
}
