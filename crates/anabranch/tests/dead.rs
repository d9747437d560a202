//! Dead letters are listed as they are read: the newest ones for people, all of them for programs.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use common::Place;
use serde_json::Value;

const FLOW: &str = "
flow: letters
streams: { all: { source: in.txt }, out: { sink: out.txt } }
steps: { out: { filter: all, where: 'int(item) > 0' } }
";

/// One run of 250 items that fail, and one of 2.
fn failed() -> Place {
    let lines = |range: std::ops::Range<u32>| range.map(|i| format!("x{i}\n")).collect::<String>();
    let place = Place::with(FLOW, &[("in.txt", &lines(0..250))]);
    place.run(&["run"]).exits(3).says("dead letters: 250 at out");
    place.write("in.txt", lines(250..252));
    place.run(&["run"]).exits(3);
    place
}

fn ids(json: &str) -> Vec<String> {
    let all: Vec<Value> = serde_json::from_str(json).unwrap();
    all.iter().map(|l| l["id"].as_str().unwrap().to_string()).collect()
}

fn first_words(text: &str) -> Vec<&str> {
    text.lines().map(|l| l.split(' ').next().unwrap()).collect()
}

#[test]
fn programs_get_all_letters_or_the_newest() {
    let place = failed();
    let list = |more: &[&str]| ids(&place.run(&[&["dead", "list", "--json"], more].concat()).exits(0).out);
    let all = list(&[]);
    assert_eq!((all.len(), all[0].as_str(), all[251].as_str()), (252, "1-0001", "2-0002"));
    assert_eq!(list(&["--max", "3"]), ["1-0250", "2-0001", "2-0002"]);
    assert_eq!(list(&["--max", "2", "--run", "1"]), ["1-0249", "1-0250"]);
    assert_eq!(list(&["--max", "1000"]), all);
    assert!(list(&["--run", "9"]).is_empty() && list(&["--run", "9", "--max", "5"]).is_empty());
}

#[test]
fn people_get_the_newest_letters_in_pages() {
    let place = failed();
    let list = place.run(&["dead", "list"]).exits(0).says("there are older ones");
    let seen = first_words(&list.out);
    assert_eq!((seen.len(), seen[0], seen[1], seen[100]), (101, "ID", "1-0153", "2-0002"));
    let list = place.run(&["dead", "list", "--max", "252"]).exits(0);
    assert!(!list.err.contains("older"), "{}", list.err);
    let seen = first_words(&list.out);
    assert_eq!((seen.len(), seen[0], seen[1], seen[201], seen[202]), (254, "ID", "1-0001", "ID", "1-0201"));
    let shown = place.run(&["dead", "show", "1-0250"]).exits(0);
    assert!(shown.out.contains("x249"), "{}", shown.out);
}

#[test]
fn explain_shows_the_first_letters_and_counts_the_others() {
    let place = Place::with(FLOW, &[("in.txt", &"x\n".repeat(23))]);
    place.run(&["run"]).exits(3);
    let said = place.run(&["explain"]).exits(0).out;
    assert_eq!(said.matches("dead at out").count(), 20, "{said}");
    assert!(said.contains("… and 3 more:  anabranch dead list flow.yaml --batch 1"), "{said}");
}
