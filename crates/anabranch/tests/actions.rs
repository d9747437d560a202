//! User code that misbehaves: it costs its item, never the run.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use common::{Place, Ran};

fn flow(step: &str) -> String {
    format!(
        "
flow: act
streams: {{ all: {{ source: in.jsonl }}, out: {{ sink: out/out.jsonl }} }}
steps:
  out: {{ work: all, {step} }}
"
    )
}

/// Runs one step over three items.
fn run(step: &str) -> (Place, Ran) {
    let place = Place::with(&flow(step), &[("in.jsonl", "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n")]);
    let ran = place.run(&["run"]);
    (place, ran)
}

fn first_error(place: &Place) -> String {
    let list = place.run(&["dead", "list", "--json"]).exits(0);
    let letters: Vec<serde_json::Value> = serde_json::from_str(&list.out).expect("json");
    letters[0]["error"].as_str().expect("text").to_string()
}

#[track_caller]
fn all_dead(step: &str, error: &str) {
    let (place, ran) = run(step);
    ran.exits(3).says("balanced ✓");
    let said = first_error(&place);
    assert!(said.contains(error), "{said}");
}

#[test]
fn a_program_that_fails() {
    all_dead("exec: [sh, -c, 'echo why >&2; exit 7'], retry: { attempts: 1 }", "exit 7: why");
    all_dead("exec: [sh, -c, 'kill -9 $$$$'], retry: { attempts: 1 }", "ended by signal 9");
}

#[test]
fn a_program_that_hangs_is_ended_with_its_children() {
    all_dead(
        "exec: [sh, -c, 'sleep 1000 & sleep 1000'], timeout: 300ms, retry: { attempts: 1 }",
        "timeout after 300ms",
    );
}

#[test]
fn a_program_that_leaves_children_does_not_block() {
    let (place, ran) = run("exec: [sh, -c, 'sleep 1000 & echo 1'], retry: { attempts: 1 }");
    ran.exits(0).says("balanced ✓");
    assert_eq!(place.read("out/out.jsonl"), "1\n1\n1\n");
}

#[test]
fn a_program_that_floods_its_error_output() {
    all_dead(
        "exec: [sh, -c, 'head -c 5000000 /dev/zero | tr \"\\0\" e >&2; echo last >&2; exit 1'], retry: { attempts: 1 }",
        "last",
    );
}

#[test]
fn the_contract_of_exec() {
    let step = "exec: [sh, -c, 'cat \"$WORK_ITEM_FILE\" - | tr -d \"\\n\"; printf \" $WORK_ITEM_ID $WORK_ATTEMPT\"'], idempotency-key: string(item.n)";
    let (place, ran) = run(step);
    ran.exits(0);
    assert_eq!(
        place.read("out/out.jsonl").lines().next(),
        Some(r#""{\"n\":1}{\"n\":1} 1 1""#),
        "the file, standard input, id and attempt"
    );
    let (place, ran) = run("exec: ['true']");
    ran.exits(0);
    assert_eq!(
        place.read("out/out.jsonl"),
        "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n",
        "no output: the item goes on as it is"
    );
}

#[test]
fn a_failed_call_is_made_again() {
    let step = "exec: [sh, -c, 'test $WORK_ATTEMPT = 3 && echo $WORK_ATTEMPT'], retry: { attempts: 3, backoff: 1ms }";
    let (place, ran) = run(step);
    ran.exits(0);
    assert_eq!(place.read("out/out.jsonl"), "3\n3\n3\n");
}

#[test]
fn policies_of_failed_items() {
    let (_, ran) = run("exec: ['false'], retry: { attempts: 1 }, on-error: skip");
    ran.exits(0).says("skipped").says("balanced ✓");
    let (place, ran) = run("exec: [sh, -c, 'test ! -e bad'], retry: { attempts: 1 }, on-error: fail");
    ran.exits(0);
    place.write("bad", "");
    place.run(&["run"]).exits(1).says("the step out failed at act/out/");
    std::fs::remove_file(place.path().join("bad")).expect("removes");
    place.run(&["run"]).exits(0).says("continuing run").says("balanced ✓");
    assert_eq!(place.read("out/out.jsonl").lines().count(), 3);
}

#[test]
fn pipes() {
    let (place, ran) = run("pipe: [cat], set: { again: result.n }");
    ran.exits(0);
    assert_eq!(place.read("out/out.jsonl").lines().next(), Some(r#"{"n":1,"again":1}"#));
    all_dead(r#"pipe: [sed, -u, 's/.*/{{"error":"no"}}/'], retry: { attempts: 1 }"#, "no");
    all_dead("pipe: [sh, -c, 'read x; exit 3'], retry: { attempts: 1 }", "the program exited (status 3) on this item");
    all_dead("pipe: [sh, -c, 'cat > /dev/null'], timeout: 200ms, retry: { attempts: 1 }", "does it flush each line?");
}

#[test]
fn a_result_that_is_no_json_is_text() {
    let (place, ran) = run("exec: [echo, 'no {{json']");
    ran.exits(0);
    assert_eq!(place.read("out/out.jsonl").lines().next(), Some("\"no {json\""));
}

#[test]
fn every_call_of_exec_has_an_item_file_of_its_own() {
    let place = Place::with(
        "
flow: files
streams: { all: { source: in.jsonl }, out: { sink: out.jsonl } }
steps:
  parts: { shard: all, by: item.n, shards: 4, to: 'p-{shard}' }
  same: { work: 'p-{shard}', exec: [sh, -c, 'read a; read b < $WORK_ITEM_FILE; [ \"$a\" = \"$b\" ] && echo $b'], to: 'q-{shard}' }
  out: { merge: 'q-*' }
",
        &[("in.jsonl", &(0..400).map(|n| format!("{{\"n\":{n}}}\n")).collect::<String>())],
    );
    place.run(&["run"]).exits(0).says("balanced ✓");
    assert_eq!(place.read("out.jsonl").lines().count(), 400);
}

#[test]
fn what_is_not_committed_is_bounded_by_the_window() {
    // the first item is answered last; it counts the calls that were made beside it
    let script =
        "while read l; do echo $l >> calls; if [ $l = 0 ]; then sleep 1; wc -l < calls > seen; fi; echo $l; done";
    let flow = format!(
        "
flow: window
streams: {{ all: {{ source: in.txt }}, out: {{ sink: out.txt }} }}
steps: {{ out: {{ work: all, pipe: [sh, -c, '{script}'], concurrency: 4 }} }}
"
    );
    let place = Place::with(&flow, &[("in.txt", &(0..5_000).map(|n| format!("{n}\n")).collect::<String>())]);
    place.run(&["run"]).exits(0).says("balanced ✓");
    let seen: usize = place.read("seen").trim().parse().expect("a number");
    assert!((100..=1_000).contains(&seen), "{seen} calls were made before the first one was answered");
}

#[test]
fn a_program_that_closes_its_output_or_leaves_a_process_behind_does_not_block_the_run() {
    let flow = |action: &str| {
        format!(
            "
flow: shut
streams: {{ all: {{ source: in.txt }}, out: {{ sink: out.txt }} }}
steps: {{ out: {{ work: all, {action}, timeout: 1s }} }}
"
        )
    };
    let place = Place::with(&flow("pipe: [sh, -c, 'exec >&-; sleep 300']"), &[("in.txt", "a\n")]);
    place.run(&["run"]).exits(3).says("balanced ✓");
    let place = Place::with(&flow("exec: [sh, -c, 'setsid sleep 20 & echo ok']"), &[("in.txt", "a\n")]);
    let began = std::time::Instant::now();
    place.run(&["run"]).exits(0).says("balanced ✓");
    assert_eq!(place.read("out.txt"), "ok\n");
    assert!(began.elapsed().as_secs() < 15, "it waited for a process that was left behind");
}

#[test]
fn a_pipe_that_says_more_than_it_is_asked_is_noticed() {
    let flow = "
flow: banner
streams: { all: { source: in.txt }, slow: {}, out: { sink: out.txt } }
steps:
  slow: { work: all, exec: [sh, -c, 'sleep 0.1; cat'], concurrency: 1 }
  out: { work: slow, pipe: [sh, -c, 'echo hello; while read l; do echo $l; done'], concurrency: 1 }
";
    let place = Place::with(flow, &[("in.txt", "a\nb\nc\n")]);
    place.run(&["run"]).exits(3);
    let list = place.run(&["dead", "list"]).exits(0);
    assert!(list.out.contains("a line that nobody asked for"), "{}", list.out);
}
