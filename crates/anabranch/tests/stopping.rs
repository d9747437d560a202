//! Signals, two runs at once, standard input, and machines that fail.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use common::Place;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

/// A step that waits until it may go on, and says when it is there.
const GATED: &str = "
flow: gated
streams: { all: { source: in.jsonl }, out: { sink: out/out.jsonl } }
steps: { out: { work: all, exec: [sh, -c, 'echo here >> begun; while test ! -e go; do read x < wait || true; done'], concurrency: 1 } }
";

/// A gated run whose first call has begun.
fn begun(place: &Place) -> Child {
    Command::new("mkfifo").arg(place.path().join("wait")).status().expect("makes a pipe");
    let child = place.command(&["run"]).spawn().expect("starts");
    while !place.has("begun") {
        std::hint::spin_loop();
    }
    child
}

fn signal(child: &Child, name: &str) {
    Command::new("kill").args([name, &child.id().to_string()]).status().expect("signals");
}

#[test]
fn a_signal_stops_a_run_safely_and_it_goes_on() {
    for (name, status) in [("-INT", 130), ("-TERM", 143)] {
        let place = Place::with(GATED, &[("in.jsonl", "{\"n\":1}\n{\"n\":2}\n")]);
        let mut child = begun(&place);
        signal(&child, name);
        assert_eq!(child.wait().expect("ends").code(), Some(status), "{name}");
        assert!(!place.has("out/out.jsonl"), "nothing half done is in its place");
        place.write("go", "");
        place.run(&["run"]).exits(0).says("continuing run").says("balanced ✓");
        assert_eq!(place.read("out/out.jsonl"), "{\"n\":1}\n{\"n\":2}\n");
    }
}

#[test]
fn two_runs_at_once_are_refused_and_others_may_look() {
    let place = Place::with(GATED, &[("in.jsonl", "{\"n\":1}\n")]);
    let mut child = begun(&place);
    place.run(&["run"]).exits(2).says(&format!("already running here: process {}", child.id()));
    let seen = place.run(&["explain"]).exits(0);
    assert!(seen.out.contains("· running"), "{}", seen.out);
    place.run(&["streams", "create", "other"]).exits(0);
    place.feed(&["produce", "other"], b"x\n").exits(0);
    child.kill().expect("kills");
    child.wait().expect("ends");
}

#[test]
fn children_end_with_a_killed_run() {
    let place = Place::with(&GATED.replace("echo here", "echo $$$$"), &[("in.jsonl", "{\"n\":1}\n")]);
    let mut child = begun(&place);
    while place.read("begun").lines().next().is_none_or(|l| l.is_empty()) {
        std::hint::spin_loop();
    }
    let pid = place.read("begun").trim().to_string();
    child.kill().expect("kills");
    child.wait().expect("ends");
    let gone = || std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |s| s.contains(") Z "));
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !gone() {
        assert!(std::time::Instant::now() < until, "the child {pid} lives on");
        std::hint::spin_loop();
    }
}

const STDIN: &str = "
flow: piped
streams: { all: { source: stdin, format: json }, out: { sink: stdout } }
steps: { big: { filter: all, where: item.n > 1, to: out } }
";

#[test]
fn standard_input_to_standard_output() {
    let place = Place::with(STDIN, &[]);
    let ran = place.feed(&["run"], b"{\"n\":1}\n{\"n\":2}\n{\"n\":3}").exits(0).says("balanced ✓");
    assert_eq!(ran.out, "{\"n\":2}\n{\"n\":3}\n", "standard output has data only");
}

#[test]
fn a_killed_reader_of_standard_input_says_that_the_rest_is_gone() {
    let place = Place::with(STDIN, &[]);
    let mut child = place.command(&["run"]).stdin(Stdio::piped()).spawn().expect("starts");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(b"{\"n\":2}\n").expect("writes");
    let mut said = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut said).expect("reads");
    assert_eq!(said, "{\"n\":2}\n", "it is there before the input has ended");
    child.kill().expect("kills");
    child.wait().expect("ends");
    place.run(&["run"]).exits(1).says("standard input was cut");
}

#[test]
fn a_full_disk_stops_the_run_and_space_lets_it_go_on() {
    let flow = "
flow: full
streams: { all: { source: in.jsonl }, kept: { partitions: 1 } }
steps: { kept: { filter: all, where: item.n >= 0 } }
";
    let line = format!("{{\"n\":1,\"x\":\"{}\"}}\n", "y".repeat(1000));
    let place = Place::with(flow, &[("in.jsonl", &line.repeat(20_000))]);
    let disk = place.path().join("disk");
    std::fs::create_dir(&disk).expect("makes");
    let mount = |args: &[&str]| Command::new("mount").args(args).arg(&disk).output().expect("mount");
    let mounted = mount(&["-t", "tmpfs", "-o", "size=8m", "tmpfs"]);
    assert!(
        mounted.status.success(),
        "this test mounts a small disk and must run as root: {}",
        String::from_utf8_lossy(&mounted.stderr)
    );
    let ran = place.run(&["run", "--data", "disk/data"]);
    let grown = mount(&["-o", "remount,size=200m"]);
    let again = place.run(&["run", "--data", "disk/data"]);
    let count = place.run(&["consume", "kept", "-q", "--data", "disk/data"]).out.lines().count();
    Command::new("umount").arg("-l").arg(&disk).status().expect("umount");
    assert!(grown.status.success());
    ran.exits(1).says("free some space");
    again.exits(0).says("continuing run").says("balanced ✓");
    assert_eq!(count, 20_000);
}

#[test]
fn a_read_only_directory_is_named() {
    let place = Place::with(
        "flow: a\nstreams: { s: {} }\nsteps: { c: { copy: s, to: t }, d: { filter: t, where: 'true' } }\n",
        &[],
    );
    let disk = place.path().join("disk");
    std::fs::create_dir(&disk).expect("makes");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "ro", "tmpfs"]).arg(&disk).status().expect("mount");
    assert!(mounted.success(), "this test mounts a disk and must run as root");
    let ran = place.run(&["run", "--data", "disk/data"]);
    Command::new("umount").arg("-l").arg(&disk).status().expect("umount");
    ran.exits(1).says("disk/data").says("--data DIR");
}

/// Whether a process has ended.
fn is_gone(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |s| s.contains(") Z ") || s.contains(") X "))
}

#[track_caller]
fn ends(pid: &str, whose: &str) {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !is_gone(pid) {
        assert!(std::time::Instant::now() < until, "what the action started lives on after {whose}");
        std::hint::spin_loop();
    }
}

/// A step whose program leaves a process of its own at work: `begun` has the number of both.
fn family(place: &Place) -> (Child, Vec<String>) {
    let child = place.command(&["run"]).spawn().expect("starts");
    let pids = || std::fs::read_to_string(place.path().join("begun")).unwrap_or_default();
    while pids().lines().count() < 2 {
        std::hint::spin_loop();
    }
    (child, pids().lines().map(str::to_string).collect())
}

const FAMILY: &str = "
flow: family
streams: { all: { source: in.txt }, out: { sink: out.txt } }
steps:
  out: { work: all, concurrency: 1, VERB: [sh, -c, 'test -e go && exec cat; sleep 1000 & echo $! >> begun; echo $$$$ >> begun; wait'] }
";

#[test]
fn what_actions_started_ends_with_the_run() {
    for verb in ["exec", "pipe"] {
        for (name, status) in
            [("-INT", Some(130)), ("-TERM", Some(143)), ("-HUP", Some(129)), ("-QUIT", None), ("-KILL", None)]
        {
            let place = Place::with(&FAMILY.replace("VERB", verb), &[("in.txt", "a\n")]);
            let (mut child, pids) = family(&place);
            signal(&child, name);
            assert_eq!(child.wait().expect("ends").code(), status, "{name}");
            pids.iter().for_each(|pid| ends(pid, name));
            place.write("go", "");
            place.run(&["run"]).exits(0).says("continuing run").says("balanced ✓");
            assert_eq!(place.read("out.txt"), "a\n");
        }
    }
}

#[test]
fn a_hang_up_means_nothing_under_nohup() {
    let place = Place::with(GATED, &[("in.jsonl", "{\"n\":1}\n")]);
    Command::new("mkfifo").arg(place.path().join("wait")).status().expect("makes a pipe");
    let run = place.command(&["run"]);
    let mut nohup = Command::new("nohup");
    nohup.arg(run.get_program()).arg("run").current_dir(place.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = nohup.spawn().expect("starts");
    while !place.has("begun") {
        std::hint::spin_loop();
    }
    signal(&child, "-HUP");
    place.write("go", "");
    std::fs::write(place.path().join("wait"), "\n").expect("lets it go on");
    assert_eq!(child.wait().expect("ends").code(), Some(0));
    assert_eq!(place.read("out/out.jsonl"), "{\"n\":1}\n");
}

#[test]
fn what_a_killed_run_left_is_ended_by_the_next_one() {
    let place = Place::with(&FAMILY.replace("VERB", "exec"), &[("in.txt", "a\n")]);
    let (mut child, pids) = family(&place);
    // the guard of the run is killed with it, as by a kill of everything that a service started
    let guard = Command::new("pgrep").args(["-P", &child.id().to_string(), "sh"]).output().expect("pgrep");
    for pid in String::from_utf8_lossy(&guard.stdout).lines().filter(|pid| !pids.contains(&pid.to_string())) {
        Command::new("kill").args(["-9", pid]).status().expect("kills");
    }
    child.kill().expect("kills");
    child.wait().expect("ends");
    assert!(pids.iter().all(|pid| !is_gone(pid)), "they live on");
    place.write("go", "");
    place.run(&["run"]).exits(0).says("continuing run");
    assert!(pids.iter().all(|pid| is_gone(pid)), "they are ended before the run goes on");
    let notes = std::fs::read_dir(place.path().join(".anabranch/children")).expect("reads");
    assert_eq!(notes.count(), 0, "nothing is noted when nothing runs");
}

#[test]
fn the_first_process_of_a_container_takes_orphans() {
    // each call leaves an orphan that has ended; the second step waits until none is left
    let flow = "
flow: first
streams: { all: { source: in.txt }, a: { format: text, partitions: 1 }, out: { sink: out.txt } }
steps:
  a: { work: all, exec: [sh, -c, 'setsid true & cat'], concurrency: 1 }
  out: { work: a, concurrency: 1, exec: [sh, -c, 'while grep -qs \"^State:.Z\" /proc/[0-9]*/status; do :; done; cat'] }
";
    let place = Place::with(flow, &[("in.txt", "a\nb\nc\n")]);
    let run = place.command(&["run"]);
    let mut first = Command::new("unshare");
    first.args(["--pid", "--fork", "--mount-proc"]).arg(run.get_program()).arg("run").current_dir(place.path());
    let ran = common::Ran::from(first.output().expect("unshare, as root"));
    ran.exits(0).says("balanced ✓");
    assert_eq!(place.read("out.txt"), "a\nb\nc\n");
}

#[test]
fn a_run_that_was_started_to_ignore_the_end_of_children_hears_it() {
    for verb in ["exec", "pipe"] {
        let place = Place::with(&FAMILY.replace("VERB", verb), &[("in.txt", "a\n"), ("go", "")]);
        let run = place.command(&["run"]);
        let mut deaf = Command::new("python3");
        let ignore = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])";
        deaf.args(["-c", ignore]).arg(run.get_program()).arg("run").current_dir(place.path());
        common::Ran::from(deaf.output().expect("starts")).exits(0).says("balanced ✓");
        assert_eq!(place.read("out.txt"), "a\n");
    }
}

#[test]
fn a_run_that_computes_for_long_stops_all_the_same() {
    let flow = "
flow: long
streams: { all: { source: in.jsonl }, out: { sink: out.jsonl } }
steps: { out: { work: all, value: 'item.filter(x, x in item).size()' } }
";
    let numbers: Vec<String> = (0..900_000).map(|n: u32| n.to_string()).collect(); // it would take an hour
    let place = Place::with(flow, &[("in.jsonl", &format!("[{}]\n", numbers.join(",")))]);
    let mut child = place.command(&["run", "--progress", "plain"]).spawn().expect("starts");
    let mut said = String::new();
    BufReader::new(child.stderr.as_mut().expect("a pipe")).read_line(&mut said).expect("reads");
    signal(&child, "-TERM");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while child.try_wait().expect("waits").is_none() {
        assert!(std::time::Instant::now() < until, "it goes on: {said}");
        std::thread::park_timeout(std::time::Duration::from_millis(5));
    }
    assert_eq!(child.wait().expect("ends").code(), Some(143));
    let open = place.run(&["explain"]).exits(0).out;
    assert!(open.contains("run 1"), "{open}");
}

#[test]
fn a_stopped_produce_says_how_far_it_got() {
    for (name, status) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        let place = Place::new();
        place.run(&["streams", "create", "s"]).exits(0);
        let mut child = place.command(&["produce", "s"]).stdin(Stdio::piped()).spawn().expect("starts");
        let mut input = child.stdin.take().expect("a pipe");
        input.write_all(b"1\n2\n3\n").expect("writes");
        while place.run(&["consume", "s"]).exits(0).out.lines().count() < 3 {}
        signal(&child, name);
        let ran = child.wait_with_output().expect("ends");
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert_eq!(ran.status.code(), Some(status), "{said}");
        assert!(said.contains("the first 3 items are in s, from lines 1 to 3") && said.contains("line 4"), "{said}");
    }
    let place = Place::new();
    place.run(&["streams", "create", "s"]).exits(0);
    place.feed(&["produce", "s", "--key-separator", "="], b"a=1\nb\n").exits(2).says("nothing of it is in s");
}

#[test]
fn files_that_may_not_grow_are_told_by_every_command() {
    let place = Place::new();
    place.run(&["streams", "create", "s"]).exits(0);
    let binary = env!("CARGO_BIN_EXE_anabranch");
    let limited = |then: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -f 100; seq 200000 | {binary} {then}")]).current_dir(place.path());
        shell.output().expect("starts")
    };
    let ran = limited("produce s");
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    assert!(String::from_utf8_lossy(&ran.stderr).contains("File too large"), "{ran:?}");
    place.feed(&["produce", "s"], "some text that fills a file\n".repeat(10_000).as_bytes()).exits(0);
    let ran = limited("consume s > printed");
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    assert!(String::from_utf8_lossy(&ran.stderr).contains("File too large"), "{ran:?}");
}
