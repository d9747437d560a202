//! Programs that answer line by line: no answer ever comes to another item.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use common::{Place, Ran, sorted};

/// Runs a pipe over the numbers 1 to `n`, each a line.
fn run(n: usize, action: &str) -> (Place, Ran) {
    let flow = format!(
        "
flow: piped
streams: {{ all: {{ source: in.txt }}, out: {{ sink: out.txt }} }}
steps: {{ out: {{ work: all, {action}, on-error: dead-letter }} }}
"
    );
    let place = Place::with(&flow, &[("in.txt", &numbers(1..=n))]);
    let ran = place.run(&["run"]);
    (place, ran)
}

fn numbers(of: impl Iterator<Item = usize>) -> String {
    of.map(|n| format!("{n}\n")).collect()
}

/// Errors of all dead letters.
fn errors(place: &Place) -> Vec<String> {
    let list = place.run(&["dead", "list", "--json"]).exits(0);
    let letters: Vec<serde_json::Value> = serde_json::from_str(&list.out).expect("json");
    letters.iter().map(|l| l["error"].as_str().expect("text").to_string()).collect()
}

#[test]
fn a_line_without_an_answer_fails_itself_and_moves_no_other() {
    for concurrency in [1, 3] {
        let (place, ran) = run(
            200,
            &format!(
                "pipe: [sh, -c, 'while read l; do test $l = 77 || echo $l; done'], concurrency: {concurrency}, \
                 timeout: 2s, retry: {{ attempts: 1 }}"
            ),
        );
        ran.exits(3).says("balanced ✓");
        assert_eq!(place.read("out.txt"), numbers((1..=200).filter(|n| *n != 77)));
        assert!(errors(&place)[0].contains("no answer within 2s"));
    }
}

#[test]
fn a_line_with_two_answers_fails_itself_and_moves_no_other() {
    // wherever the second answer comes: in the same breath, or when the next line could long be there
    for second in ["printf \"$l\\\\nmore\\\\n\"", "echo $l; sleep 0.02; echo more"] {
        let script = format!("while read l; do if test $l = 7; then {second}; else echo $l; fi; done");
        let action = format!("pipe: [sh, -c, '{script}'], concurrency: 1, retry: {{ attempts: 1 }}");
        let (place, ran) = run(50, &action);
        ran.exits(3).says("balanced ✓");
        assert_eq!(place.read("out.txt"), numbers((1..=50).filter(|n| *n != 7)), "{second}");
        assert!(errors(&place)[0].contains("a line that nobody asked for, beside its answer"), "{second}");
    }
}

#[test]
fn the_last_line_is_no_exception() {
    let (place, ran) =
        run(1, r#"pipe: [sh, -c, 'while read l; do printf "$l\nmore\n"; done'], retry: { attempts: 1 }"#);
    ran.exits(3);
    assert!(errors(&place)[0].contains("a line that nobody asked for"), "{:?}", errors(&place));
}

#[test]
fn what_is_said_at_the_end_of_the_input_fails_the_run() {
    let (place, ran) = run(5, "pipe: [sh, -c, 'while read l; do echo $l; done; echo total'], concurrency: 1");
    ran.exits(1).says("an answer that nobody asked for").says("total").says("closed as failed");
    assert!(!place.has("out.txt"), "nothing is put in its place");
}

#[test]
fn a_program_that_copies_bytes_is_no_exception() {
    let (place, ran) = run(300, "pipe: [cat]");
    ran.exits(0);
    assert_eq!(place.read("out.txt"), numbers(1..=300));
}

#[test]
fn a_program_that_ends_between_two_lines_is_started_again() {
    let (place, ran) = run(20, "pipe: [head, -1], retry: { attempts: 1 }");
    ran.exits(0);
    assert_eq!(place.read("out.txt"), numbers(1..=20));
}

/// A program that waits for eight questions, or the end, and answers them in reverse.
const REVERSED: &str = "import sys, json\\ndef say(qs):\\n  for q in reversed(qs): \
     print(json.dumps(dict(id=q['id'], result=q['item'] + '!')), flush=True)\\nqs = []\\nfor line in sys.stdin:\\n  \
     qs.append(json.loads(line))\\n  if len(qs) == 8: say(qs); qs = []\\nsay(qs)";

#[test]
fn answers_with_ids_come_in_any_order() {
    let (place, ran) = run(64, &format!("answers: by-id, concurrency: 1, pipe: [python3, -c, \"{REVERSED}\"]"));
    ran.exits(0).says("balanced ✓");
    assert_eq!(place.read("out.txt"), (1..=64).map(|n| format!("{n}!\n")).collect::<String>());
}

/// Answers each question with what an expression in Python makes of `q`; lines behind each other with `|`.
fn by_id(answer: &str) -> String {
    let script = format!(
        "import sys, json, os\\nfor line in sys.stdin:\\n  q = json.loads(line)\\n  a = {answer}\\n  \
         print(json.dumps(a), flush=True)"
    );
    format!("answers: by-id, timeout: 60s, retry: {{ attempts: 1 }}, concurrency: 1, pipe: [python3, -c, \"{script}\"]")
        .replace("{'", "{{'")
        .replace("'}", "'}}")
}

#[test]
fn answers_with_ids_that_are_errors_or_nothing() {
    let answer = "dict(id=q['id'], error='bad') if q['item'] == '3' else dict(id=q['id'], error=None)";
    let (place, ran) = run(5, &by_id(answer));
    ran.exits(3).says("balanced ✓");
    assert_eq!(place.read("out.txt"), "1\n2\n4\n5\n", "no result: the item goes on as it is");
    assert_eq!(errors(&place), ["bad"]);
}

#[test]
fn the_item_that_ends_a_program_is_found_among_those_that_are_with_it() {
    let answer = "dict(id=q['id'], result=q['item']) if q['item'] != '30' else os._exit(9)";
    let (place, ran) = run(60, &by_id(answer));
    ran.exits(3).says("balanced ✓");
    assert_eq!(place.read("out.txt"), numbers((1..=60).filter(|n| *n != 30)));
    assert_eq!(errors(&place), ["the program exited (status 9) on this item"]);
}

#[test]
fn a_line_that_is_no_answer_fails_its_item() {
    let answer = "dict(id=q['id'], result=q['item']) if q['item'] != '30' else None";
    let (place, ran) = run(60, &by_id(answer));
    ran.exits(3).says("balanced ✓");
    assert_eq!(place.read("out.txt"), numbers((1..=60).filter(|n| *n != 30)));
    assert!(errors(&place)[0].contains("no answer: null"), "{:?}", errors(&place));
}

#[test]
fn an_item_without_an_answer_is_found_by_its_id() {
    let script = r#"/"item":"30"/!s/"item":/"result":/p"#;
    let (place, ran) =
        run(60, &format!("answers: by-id, timeout: 3s, retry: {{ attempts: 1 }}, pipe: [sed, -un, '{script}']"));
    ran.exits(3).says("balanced ✓");
    assert_eq!(place.read("out.txt"), numbers((1..=60).filter(|n| *n != 30)));
    assert!(errors(&place)[0].contains("no answer within 3s"), "{:?}", errors(&place));
}

#[test]
fn an_answer_for_nobody_stops_the_run() {
    let (_, ran) = run(9, &by_id("dict(id='no such id', result=1)"));
    ran.exits(1).says("no item with that id is with it");
}

#[test]
fn ids_of_items_that_are_alike_do_not_meet() {
    let action = format!("idempotency-key: '\"same\"', {}", by_id("dict(id=q['id'], result=q['item'])"));
    let (place, ran) = run(20, &action);
    ran.exits(0);
    assert_eq!(place.read("out.txt"), numbers(1..=20));
}

#[test]
fn shards_share_the_programs_of_their_step() {
    let flow = "
flow: shared
streams: { all: { source: in.txt }, out: { sink: out.txt } }
steps:
  parts: { shard: all, by: item, shards: 200, to: 'p-{shard}' }
  made: { work: 'p-{shard}', concurrency: 2, to: 'q-{shard}',
          pipe: [sh, -c, 'echo $$$$ >> started; while read l; do echo $l; done'] }
  out: { merge: 'q-*' }
";
    let place = Place::with(flow, &[("in.txt", &numbers(1..=400))]);
    place.run(&["run"]).exits(0).says("balanced ✓");
    assert_eq!(sorted(&place.read("out.txt")), sorted(&numbers(1..=400)));
    assert_eq!(place.read("started").lines().count(), 2, "one program for each call at once");
}

#[test]
fn an_error_that_is_null_fails_nothing() {
    let (place, ran) = run(1, "pipe: [sed, -u, 's/.*/{{\"error\":null}}/']");
    ran.exits(0);
    assert_eq!(place.read("out.txt"), "{\"error\":null}\n");
}

#[test]
fn whatever_a_program_says_no_answer_comes_to_another_item() {
    let script = "while read l; do
  [ $l = 150 ] && continue
  echo r$l
  [ $((l % 13)) = 0 ] && echo x$l
  [ $((l % 17)) = 0 ] && printf \"y$l\\nz\"
  [ $((l % 19)) = 0 ] && exit $((l % 3))
done";
    let action =
        "pipe: [sh, ./p.sh], concurrency: 3, timeout: 3s, retry: { attempts: 1 }, value: { i: item, r: result }";
    let flow = format!(
        "
flow: piped
streams: {{ all: {{ source: in.txt }}, out: {{ sink: out.jsonl }} }}
steps: {{ out: {{ work: all, {action}, on-error: dead-letter }} }}
"
    );
    let place = Place::with(&flow, &[("in.txt", &numbers(1..=300)), ("p.sh", script)]);
    place.run(&["run"]).exits(3).says("balanced ✓");
    let good = (1..=300).filter(|n| n % 13 != 0 && n % 17 != 0 && *n != 150);
    let want: String = good.map(|n| format!("{{\"i\":\"{n}\",\"r\":\"r{n}\"}}\n")).collect();
    assert_eq!(place.read("out.jsonl"), want);
}
