//! Calls of actions: what they are given, in which order they are made, and what is to blame when they fail.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use common::{Place, Ran};
use std::collections::BTreeMap;
use std::process::Command;

fn numbers(n: usize) -> String {
    (1..=n).map(|n| format!("{n}\n")).collect()
}

/// A flow of one step over the numbers 1 to `n`.
fn place(n: usize, step: &str) -> Place {
    let flow = format!(
        "
flow: calls
env: {{ WORD: hello, BRACES: '{{item.secret}} $$ {{{{' }}
streams: {{ all: {{ source: in.txt }}, out: {{ sink: out.txt }} }}
steps: {{ out: {{ work: all, {step} }} }}
"
    );
    Place::with(&flow, &[("in.txt", &numbers(n))])
}

fn run(n: usize, step: &str) -> (Place, Ran) {
    let place = place(n, step);
    let ran = place.run(&["run"]);
    (place, ran)
}

fn errors(place: &Place) -> Vec<String> {
    let list = place.run(&["dead", "list", "--json"]).exits(0);
    let letters: Vec<serde_json::Value> = serde_json::from_str(&list.out).expect("json");
    letters.iter().map(|l| l["error"].as_str().expect("text").to_string()).collect()
}

#[test]
fn arguments_and_variables_of_a_pipe_know_the_run() {
    let with = "x, '{run.id}', '{env.WORD}'], env: { V: '{run.id}-{env.WORD}' }";
    for action in [
        "pipe: [sh, -c, 'while read l; do echo \"$l $1 $2 $V\"; done', ",
        "exec: [sh, -c, 'read l; echo \"$l $1 $2 $V\"', ",
    ] {
        let (place, ran) = run(1, &format!("{action}{with}"));
        ran.exits(0);
        assert_eq!(place.read("out.txt"), "1 1 hello 1-hello\n", "{action}");
    }
}

#[test]
fn a_variable_is_text_and_no_language() {
    for action in ["pipe: [sh, -c, 'while read l; do echo \"$1 $V\"; done', ", "exec: [sh, -c, 'echo \"$1 $V\"', "] {
        let (place, ran) = run(1, &format!("{action} x, 'a ${{BRACES}} {{env.WORD}}'], env: {{ V: '${{BRACES}}' }}"));
        ran.exits(0);
        assert_eq!(place.read("out.txt"), "a {item.secret} $$ {{ hello {item.secret} $$ {{\n", "{action}");
    }
    let (_, ran) = run(1, "exec: [echo, '{item + \"${WORD}\"}']");
    ran.exits(2).says("write `env.WORD`");
}

#[test]
fn a_variable_with_braces_in_the_path_of_a_sink() {
    let flow = "
flow: calls
env: { NAME: 'a{b}' }
streams: { all: { source: in.txt }, out: { sink: '${NAME}.txt' } }
steps: { out: { filter: all, where: 'true' } }
";
    let place = Place::with(flow, &[("in.txt", "x\n")]);
    place.run(&["run"]).exits(0);
    assert_eq!(place.read("a{b}.txt"), "x\n");
}

#[test]
fn a_program_that_cannot_be_started_stops_the_run_at_the_first_call() {
    let kinds = [
        ("flow's folder", None),
        ("chmod", Some(("#!/bin/sh\necho $1\n", "644"))),
        ("(#!) is not there", Some(("#!/no/such/interpreter\n", "755"))),
        ("no program for this machine", Some(("\x00\x01", "755"))),
    ];
    let tool = |place: &Place, text: &str, mode: &str| {
        place.write("tool", text);
        Command::new("chmod").arg(mode).arg(place.path().join("tool")).status().expect("chmod");
    };
    for verb in ["exec", "pipe"] {
        for (help, script) in &kinds {
            let place = place(100, &format!("{verb}: [./tool, x], concurrency: 1"));
            script.iter().for_each(|(text, mode)| tool(&place, text, mode));
            place.run(&["run"]).exits(1).says("cannot run ./tool").says(help).says("run again to continue");
            assert!(place.run(&["check"]).exits(0).err.contains(" ./tool ") || *help == kinds[3].0);
            tool(&place, "#!/bin/sh\nwhile read l; do echo $l; done\n", "755");
            place.run(&["run"]).exits(0).says("continuing run").says("balanced ✓");
            assert_eq!(place.read("out.txt"), numbers(100), "none became a dead letter");
        }
    }
}

#[test]
fn a_program_that_the_item_names_is_the_items_fault() {
    let (place, ran) = run(3, "exec: ['./{item}', x], retry: { attempts: 1 }");
    ran.exits(3).says("balanced ✓");
    assert!(errors(&place)[0].contains("cannot run ./1"));
}

#[test]
fn a_step_whose_first_items_all_fail_alike_stops() {
    let place = place(
        200,
        "exec: [sh, -c, '[ -e mended ] || {{ echo no $WORK_ITEM_ID >&2; exit 7; }}'], retry: { attempts: 1 }",
    );
    place.run(&["run"]).exits(1).says("the first 20 items of the step out failed in the same way: exit 7");
    place.write("mended", "");
    place.run(&["run"]).exits(0).says("continuing run").says("balanced ✓");
    assert_eq!(place.read("out.txt"), numbers(200), "none became a dead letter");
}

#[test]
fn a_step_whose_first_items_fail_otherwise_does_not_stop() {
    let failing = "exec: ['false'], retry: { attempts: 1 }";
    for policy in ["dead-letter", "skip"] {
        let (_, ran) = run(40, &format!("{failing}, on-error: {policy}"));
        ran.exits(if policy == "skip" { 0 } else { 3 }).says("balanced ✓");
    }
    let (_, ran) = run(19, failing);
    ran.exits(3).says("19 dead letters");
    let (_, ran) = run(40, "exec: [sh, -c, 'test $(cat) = 1'], retry: { attempts: 1 }");
    ran.exits(3).says("39 dead letters");
    let (_, ran) = run(40, "exec: [sh, -c, 'exit $(($(cat) % 2 + 1))'], retry: { attempts: 1 }");
    ran.exits(3).says("40 dead letters");
}

/// Calls in the order in which they began: item and attempt.
fn begun(place: &Place) -> Vec<(usize, usize)> {
    let line = |l: &str| {
        let numbers: Vec<usize> = l.split(' ').map(|t| t.parse().unwrap_or_else(|e| panic!("{l}: {e}"))).collect();
        (numbers[0], numbers[1])
    };
    place.read("begun").lines().map(line).collect()
}

fn one_fails_once(verb: &str) -> String {
    let call = "echo $n $A >> begun; sleep 0.01; if [ $n = 33 ] && [ ! -e was ]; then touch was";
    match verb {
        "exec" => format!(
            "exec: [sh, -c, 'read n; A=$WORK_ATTEMPT; {call}; exit 1; fi'], concurrency: 4, retry: {{ backoff: 1ms }}"
        ),
        _ => format!(
            "pipe: [sh, -c, 'while read n; do A=1; {call}; echo \"{{{{\\\"error\\\":1}}}}\"; else echo $n; fi; done'], \
             concurrency: 4, retry: {{ backoff: 1ms }}"
        ),
    }
}

#[test]
fn a_call_that_is_made_again_goes_before_new_ones() {
    for verb in ["exec", "pipe"] {
        let (place, ran) = run(1_000, &one_fails_once(verb));
        ran.exits(0).says("balanced ✓");
        let calls = begun(&place);
        assert_eq!(calls.len(), 1_001, "{verb}");
        let of_33: Vec<usize> = (0..calls.len()).filter(|i| calls[*i].0 == 33).collect();
        let between = of_33[1] - of_33[0];
        assert!(
            between < 100,
            "{verb}: {between} calls were begun before the second attempt, it was the last one of all"
        );
    }
}

#[test]
fn a_kill_repeats_what_was_under_way() {
    // the 500th call kills the run that makes it
    let kill = "[ $(wc -l < begun) -lt 500 ] || [ -e killed ] || { touch killed; kill -9 $(cat run.pid); }";
    let step =
        one_fails_once("exec").replace("if [ $n", &format!("{}; if [ $n", kill.replace('{', "{{").replace('}', "}}")));
    let place = place(1_000, &step);
    let mut child = place.command(&["run", "-q"]).spawn().expect("starts");
    place.write("run.pid", child.id().to_string());
    child.wait().expect("ends");
    let before = begun(&place).len();
    assert!((500..600).contains(&before), "it was killed in the middle: {before}");
    place.run(&["run"]).exits(0).says("continuing run").says("balanced ✓");
    assert_eq!(place.read("out.txt"), numbers(1_000));
    let mut times: BTreeMap<usize, usize> = BTreeMap::new();
    begun(&place).iter().for_each(|(n, _)| *times.entry(*n).or_default() += 1);
    let repeated = times.iter().filter(|(n, t)| **n != 33 && **t > 1).count();
    assert!(repeated <= 40, "{repeated} calls were repeated, with 4 at once and commits of a few");
}

#[test]
fn a_step_does_not_run_far_ahead_of_an_item_that_is_not_done() {
    // the first item waits until the step has run ahead of it as far as it may: it is shown by a call that waits, too
    let script = "read n; echo $n >> begun; if [ $n = 1 ]; then while [ $(wc -l < begun) -lt 128 ]; do :; done; cp begun seen; fi";
    let (place, ran) = run(1_000, &format!("exec: [sh, -c, '{script}'], concurrency: 2"));
    ran.exits(0);
    assert_eq!(place.read("seen").lines().count(), 128, "64 for each call at once");
}

#[test]
fn lengths_of_time_have_an_end() {
    for key in ["timeout: 2562047788015215h", "retry: { backoff: 2562047788015215h }", "retry: { max: 100000h }"] {
        let (_, ran) = run(1, &format!("exec: [cat], {key}"));
        ran.exits(2).says("is at most 87600 hours");
    }
    for key in ["timeout: 87600h", "retry: { backoff: 87600h, max: 87600h }"] {
        let (_, ran) = run(1, &format!("exec: [cat], {key}"));
        ran.exits(0);
    }
}

#[test]
fn a_full_folder_for_items_is_the_machines_fault() {
    let place = place(1, "exec: [wc, -c], retry: { attempts: 1 }");
    place.write("in.txt", "x".repeat(200_000) + "\n");
    let disk = place.path().join("small");
    std::fs::create_dir(&disk).expect("makes");
    let mount =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&disk).status().expect("mount");
    assert!(mount.success(), "this test mounts a small disk and must run as root");
    let ran = Ran::from(place.command(&["run"]).env("TMPDIR", &disk).output().expect("starts"));
    Command::new("umount").arg("-l").arg(&disk).status().expect("umount");
    ran.exits(1).says("free some space");
    place.run(&["run"]).exits(0).says("continuing run");
    assert_eq!(place.read("out.txt").trim(), "200000");
}

#[test]
fn a_result_that_is_too_large_is_told_as_that() {
    let actions = [
        "exec: [sh, -c, 'yes e | head -c 20000000']",
        "pipe: [sh, -c, 'while read l; do head -c 17000000 /dev/zero | tr \"\\\\0\" x; echo; done']",
    ];
    for action in actions {
        let (place, ran) = run(1, &format!("{action}, retry: {{ attempts: 1 }}"));
        ran.exits(3).says("balanced ✓");
        assert_eq!(errors(&place), ["the result has more than 16777216 bytes"], "{action}");
    }
}

#[test]
fn calls_do_not_cost_more_the_more_items_there_are() {
    // all items of a batch share it, however often the step reads on: kept once for each it would be 250 MB
    let place = place(1, "exec: ['true'], concurrency: 4");
    place.write("in.txt", (0..3_000).map(|n| format!("{n:080}\n")).collect::<String>());
    let (ran, kib) = place.run_weighed(&["run"]);
    ran.exits(0).says("balanced ✓");
    assert!(kib < 48 << 10, "{kib} KiB");
}

#[test]
fn what_a_call_leaves_behind_reads_its_own_item() {
    let late = "touch up; while test ! -e go; do :; done; echo \\$(cat) >> got";
    let call = format!("rm -f up; exec 3<&0; setsid sh -c \"{late}\" <&3 >&- 2>&- & while test ! -e up; do :; done");
    let (place, ran) = run(4, &format!("exec: [sh, -c, '{call}'], concurrency: 1"));
    ran.exits(0);
    place.write("go", "");
    let got = || std::fs::read_to_string(place.path().join("got")).unwrap_or_default();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while got().lines().count() < 4 && std::time::Instant::now() < until {
        std::hint::spin_loop();
    }
    assert_eq!(common::sorted(&got()), ["1", "2", "3", "4"]);
}

#[test]
fn more_files_than_may_be_open_are_the_machines_fault() {
    let place = place(400, "exec: [sh, -c, 'read n < wait'], concurrency: 400");
    Command::new("mkfifo").arg(place.path().join("wait")).status().expect("makes a pipe");
    let run = place.command(&["run"]);
    let mut few = Command::new("sh");
    few.args(["-c", "ulimit -n 200; exec \"$0\" run"]).arg(run.get_program()).current_dir(place.path());
    // The first file too many is that of an item or a program's, whichever comes first.
    Ran::from(few.output().expect("starts")).exits(1).says("Too many open files (os error 24)").says("ulimit -n");
}

#[test]
fn an_item_that_cannot_be_an_argument_is_to_blame_and_no_other() {
    let long = "x".repeat(200_000);
    for (call, bad) in [
        ("exec: [echo, '{item}']", "b\\u0000"),
        ("exec: [sh, -c, 'echo $V'], env: { V: '{item}' }", "b\\u0000"),
        ("exec: [cat], idempotency-key: item", "b\\u0000"),
        ("exec: [echo, '{item}']", long.as_str()),
        ("exec: [sh, -c, 'echo $V'], env: { V: '{item}' }", long.as_str()),
    ] {
        let flow = format!(
            "flow: blame\nstreams: {{ all: {{ source: in.jsonl }}, out: {{ sink: out.txt }} }}\nsteps: {{ out: {{ work: all, {call}, retry: {{ attempts: 1 }} }} }}\n"
        );
        let place = Place::with(&flow, &[("in.jsonl", &format!("\"a\"\n\"{bad}\"\n\"c\"\n"))]);
        place.run(&["run"]).exits(3).says("dead letters: 1 at out").says("balanced ✓");
        assert_eq!(place.read("out.txt").lines().count(), 2, "{call}");
    }
}
