//! The schema of the language, by a validator that nobody here wrote: it accepts every flow that the check accepts, and
//! refuses what the check says of keys.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

use anabranch_flow::check::check_text;
use anabranch_flow::patterns::{STEP_KEYS, VERBS};
use anabranch_flow::spec::{Usual, is_known};
use anabranch_flow::{schema, tree};
use anabranch_simulator::drawn;
use anabranch_testkit::rng::Rng;
use boon::{Compiler, SchemaIndex, Schemas};
use std::path::{Path, PathBuf};

/// The schema, compiled.
struct Validator(Schemas, SchemaIndex);

impl Validator {
    fn new() -> Validator {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("flow.json", schema::schema()).expect("a document");
        let index = compiler.compile("flow.json", &mut schemas).expect("a schema");
        Validator(schemas, index)
    }

    fn validate(&self, text: &str) -> Result<(), String> {
        let mut faults = vec![];
        let root = tree::parse(text, &mut faults).expect("YAML");
        let flow: serde_json::Value = serde_json::from_str(&root.to_json()).expect("JSON");
        self.0.validate(&flow, self.1).map_err(|e| format!("{e:#}"))
    }
}

/// Whether the check accepts a flow; every variable has a value.
fn is_accepted(text: &str) -> bool {
    check_text(text, &|_| Some("x".into())).flow.is_some()
}

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("reads") {
        let path = entry.expect("reads").path();
        if path.is_dir() {
            files(&path, out);
        } else if path.extension().is_some_and(|e| e == "yaml") {
            out.push(path);
        }
    }
}

#[test]
fn flows_that_the_check_accepts_are_valid() {
    let validator = Validator::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut all = vec![];
    ["examples", "crates/testkit/tests/schema"].iter().for_each(|f| files(&root.join(f), &mut all));
    assert!(all.len() > 5, "the flows are found");
    for path in all {
        let text = std::fs::read_to_string(&path).expect("reads");
        if text.lines().any(|l| l.starts_with("flow:")) {
            assert!(is_accepted(&text), "{}", path.display());
            validator.validate(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }
    let mut accepted = 0;
    for seed in 0..500 {
        let text = drawn::draw(&mut Rng::new(seed), 9).yaml();
        if is_accepted(&text) {
            accepted += 1;
            validator.validate(&text).unwrap_or_else(|e| panic!("{text}\n{e}"));
        }
    }
    assert!(accepted > 300, "only {accepted} drawn flows are accepted");
}

#[test]
fn keys_and_words_that_the_language_does_not_have_are_refused() {
    let validator = Validator::new();
    let good = "flow: a\nstreams: { s: { source: s.jsonl } }\nsteps: { f: { filter: s, where: item.x } }\n";
    validator.validate(good).expect("valid");
    for (this, that) in [
        ("flow: a\n", ""),
        ("streams:", "stream:"),
        ("source:", "sources:"),
        ("s.jsonl", "{ file: s.jsonl, mode: all }"),
        ("s.jsonl }", "s.jsonl, partitions: many }"),
        ("s.jsonl }", "s.jsonl, format: csv }"),
        ("filter: s", "filters: s"),
        ("where: item.x", "where: [item.x]"),
        ("where: item.x", "where: item.x, cases: []"),
        ("where: item.x", "where: item.x, on-error: stop"),
        ("where: item.x", "where: item.x, copy: s"),
        ("filter: s, where: item.x", "work: s, exec: ./run.sh"),
        ("filter: s, where: item.x", "work: s, exec: [./run.sh], retry: 3"),
        ("filter: s, where: item.x", "work: s, exec: [./run.sh], concurrency: 0"),
        ("filter: s, where: item.x", "join: s, tolerate: some"),
        ("filter: s, where: item.x", "reduce: s, emit: changes"),
    ] {
        let bad = good.replace(this, that);
        assert_ne!(bad, good, "{this}");
        assert!(validator.validate(&bad).is_err(), "{bad}");
        assert!(!is_accepted(&bad), "{bad}");
    }
}

/// What the reference shows can be written: each verb's example, and each key's in it.
#[test]
fn examples_of_verbs_and_keys_are_right() {
    let validator = Validator::new();
    let names = ["photos", "clicks", "taps", "sales", "words", "blurred-a", "left", "right"];
    let declared: String = names.map(|n| format!("  {n}: {{}}\n")).concat();
    for verb in VERBS {
        let flow = |step: &str| format!("flow: a\nstreams:\n{declared}  small: {{}}\n  big: {{}}\nsteps:\n  {step}\n");
        let said = |text: &str| check_text(text, &|_| None).diagnostics;
        let wrong = |text: &str| -> Vec<_> {
            // outputs that nobody reads are told, and are not what is asked here
            said(text).into_iter().filter(|d| !["unread", "unread-result", "unused"].contains(&d.code)).collect()
        };
        let text = flow(verb.spec.example);
        assert!(wrong(&text).is_empty(), "{text}: {:?}", wrong(&text));
        validator.validate(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
        for key in STEP_KEYS.iter().chain(verb.spec.keys).filter(|k| is_known(k)) {
            assert!(key.example.starts_with(&format!("{}: ", key.name)), "{}: {}", key.name, key.example);
            assert!(key.doc.ends_with('.'), "{}: {}", key.name, key.doc);
            if let Usual::Value(value) = key.usual {
                assert!(!value.is_empty(), "{}", key.name);
            }
        }
    }
}
