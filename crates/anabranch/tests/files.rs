//! Files as sources and sinks: found once, kept as they are, never taken for each other.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

mod common;
use common::{Place, Ran};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::process::{Command, Stdio};

const COPY: &str = "
flow: copy
streams: { all: { source: SOURCE }, out: { sink: SINK } }
steps: { c: { copy: all, to: out } }
";

fn copy(source: &str, sink: &str) -> String {
    COPY.replace("SOURCE", &format!("'{source}'")).replace("SINK", sink)
}

fn mkfifo(place: &Place, name: &str) {
    assert!(Command::new("mkfifo").arg(place.path().join(name)).status().expect("starts").success());
}

#[test]
fn patterns_are_looked_up_in_the_folder_of_the_flow_however_that_is_named() {
    let place = Place::new();
    place.write("sub/flow.yaml", copy("in/*.txt", "out.txt"));
    place.write("sub/in/a.txt", "a\n");
    place.write("in/wrong.txt", "wrong\n");
    let whole = place.path().join("sub/flow.yaml");
    for flow in
        ["sub/flow.yaml", "./sub/flow.yaml", ".//sub//flow.yaml", "sub/../sub/flow.yaml", whole.to_str().unwrap()]
    {
        place.run(&["run", flow]).exits(0).says("balanced ✓");
        assert_eq!(place.read("sub/out.txt"), "a\n", "{flow}");
        std::fs::remove_file(place.path().join("sub/out.txt")).expect("is there");
    }
}

#[test]
fn what_a_pattern_leaves_out_is_told_and_nothing_is_read_twice() {
    let place =
        Place::with(&copy("**/*.txt", "done/out.txt"), &[("a.txt", "a\n"), (".b.txt", "b\n"), ("d/c.txt", "c\n")]);
    symlink("..", place.path().join("d/up")).expect("links");
    symlink("a.txt", place.path().join("again.txt")).expect("links");
    symlink("gone", place.path().join("nowhere.txt")).expect("links");
    for _ in 0..2 {
        let ran = place.run(&["run"]).exits(0).says("balanced ✓");
        let ran = ran.says("again.txt (another name of a.txt)").says("nowhere.txt (a link that leads nowhere)");
        ran.says("done/out.txt is left out");
        assert_eq!(place.read("done/out.txt"), "a\nc\n");
    }
}

#[test]
fn the_data_directory_is_no_source_and_no_sink_wherever_it_is() {
    for data in ["data", ".", "sub/deep"] {
        let place = Place::with(&copy("**/*", "../out.txt"), &[]);
        let flow = place.read("flow.yaml");
        place.write("w/flow.yaml", &flow);
        place.write("w/in.txt", "a\n");
        let data = format!("w/{data}");
        for _ in 0..2 {
            place.run(&["run", "w/flow.yaml", "--data", &data]).exits(0).says("balanced ✓");
            let mut want: Vec<&str> = flow.lines().chain(["a"]).collect();
            want.sort();
            assert_eq!(common::sorted(&place.read("out.txt")), want, "{data}");
        }
        let own = copy("in.txt", &format!("'../{data}/index.db'"));
        place.write("w/flow.yaml", own);
        place.run(&["run", "w/flow.yaml", "--data", &data, "--fresh"]).exits(2).says("is in the data directory");
    }
}

#[test]
fn what_the_flow_writes_is_not_what_it_reads() {
    let place = Place::with(&copy("*.txt", "out.txt"), &[("in.txt", "a\n")]);
    place.run(&["check"]).exits(0).says("warning: `*.txt` matches what the flow writes itself: out.txt is left out");
    for _ in 0..3 {
        place.run(&["run", "-q"]).exits(0);
        assert_eq!(place.read("out.txt"), "a\n");
    }
    symlink(".", place.path().join("here")).expect("links");
    for mode in ["replace", "append"] {
        for source in ["in.txt", "./in.txt", "here/in.txt", "x/../in.txt"] {
            place.write("flow.yaml", copy("in.txt", &format!("{{ file: {source}, mode: {mode} }}")));
            for command in ["check", "run"] {
                let ran = place.run(&[command]).exits(2);
                assert!(ran.err.contains("writes"), "{source}: {}", ran.err);
            }
            assert_eq!(place.read("in.txt"), "a\n", "{source}");
        }
    }
}

#[test]
fn two_sinks_are_never_one_file() {
    let flow = "
flow: two
streams: { all: { source: in.txt }, a: { sink: { file: A, mode: MODE } }, b: { sink: B } }
steps: { c: { copy: all, to: [a, b] } }
";
    for (a, b) in [
        ("real/x", "real/../real/x"),
        ("real/x", "link/x"),
        ("real/x", "to-x"),
        ("real/x", "WHOLE/real/x"),
        ("x", "no/../x"),
        ("x.partial", "x"),
        ("real/z", "z"), // one file of two names; added to by both
    ] {
        for mode in ["replace", "append"] {
            let place = Place::with("", &[("in.txt", "a\n"), ("real/y", "")]);
            symlink("real", place.path().join("link")).expect("links");
            symlink("real/x", place.path().join("to-x")).expect("links");
            place.write("real/z", "");
            std::fs::hard_link(place.path().join("real/z"), place.path().join("z")).expect("links");
            let b = if b == "z" { "{ file: z, mode: append }" } else { b };
            if b.contains("append") && mode == "replace" {
                continue; // they part then
            }
            let b = b.replace("WHOLE", place.path().to_str().unwrap());
            place.write(
                "flow.yaml",
                flow.replace("A,", &format!("{a},")).replace("B }", &format!("{b} }}")).replace("MODE", mode),
            );
            for command in ["check", "run"] {
                place.run(&[command]).exits(2).says("written to one file");
            }
            assert!(!place.has("real/x") && !place.has("x"), "{a} {b}: nothing is touched");
        }
    }
}

#[test]
fn a_sink_that_is_a_pipe_or_a_device_is_written_as_it_is() {
    let place = Place::with(&copy("in.txt", "pipe"), &[("in.txt", "a\nb\n")]);
    mkfifo(&place, "pipe");
    for _ in 0..2 {
        let path = place.path().join("pipe");
        let reader = std::thread::spawn(move || std::fs::read_to_string(path).expect("reads"));
        place.run(&["run"]).exits(0).says("balanced ✓");
        assert_eq!(reader.join().expect("ends"), "a\nb\n");
    }
    assert!(place.path().join("pipe").symlink_metadata().expect("is there").file_type().is_fifo());
    let made = Command::new("mknod").arg(place.path().join("device")).args(["c", "1", "3"]).status().expect("starts");
    assert!(made.success(), "this test makes a device and must run as root");
    for mode in ["replace", "append"] {
        place.write("flow.yaml", copy("in.txt", &format!("{{ file: device, mode: {mode} }}")));
        place.run(&["run"]).exits(0).says("balanced ✓");
        assert!(place.path().join("device").symlink_metadata().expect("is there").file_type().is_char_device());
    }
    for stdout in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        place.write("flow.yaml", copy("in.txt", stdout));
        assert_eq!(place.run(&["run"]).exits(0).out, "a\nb\n");
        sh(&place, &format!("(echo start; {} run -q; echo end) > out.txt", env!("CARGO_BIN_EXE_anabranch")));
        assert_eq!(place.read("out.txt"), "start\na\nb\nend\n", "{stdout}");
    }
}

#[test]
fn a_run_that_waits_for_the_reader_of_a_pipe_can_be_stopped_and_goes_on() {
    let place = Place::with(&copy("in.txt", "pipe"), &[("in.txt", "a\n")]);
    mkfifo(&place, "pipe");
    let mut child = place.command(&["run", "-q"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
    while !place.has(".anabranch/index.db") {
        std::hint::spin_loop();
    }
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("signals");
    assert_eq!(child.wait().expect("ends").code(), Some(143));
    let path = place.path().join("pipe");
    let reader = std::thread::spawn(move || std::fs::read_to_string(path).expect("reads"));
    place.run(&["run"]).exits(0).says("balanced ✓");
    assert_eq!(reader.join().expect("ends"), "a\n");
}

#[test]
fn a_source_that_is_no_file_is_refused_at_once() {
    let place = Place::with(&copy("in.txt", "out.txt"), &[]);
    mkfifo(&place, "in.txt");
    for command in ["check", "run"] {
        place.run(&[command]).exits(2).says("is not a file but a pipe").says("source: stdin");
    }
    place.write("flow.yaml", copy("/dev/null", "out.txt"));
    place.run(&["run"]).exits(2).says("is not a file but a device");
    symlink("nowhere", place.path().join("link")).expect("links");
    place.write("flow.yaml", copy("link", "out.txt"));
    place.run(&["run"]).exits(2).says("is a link to nowhere, which is not there");
}

#[test]
fn more_files_than_may_be_open_are_read() {
    let place = Place::with(&copy("in/*.txt", "out.txt"), &[]);
    let name = |i: usize| format!("{i:03}\n");
    (0..200).for_each(|i| place.write(&format!("in/{i:03}.txt"), name(i)));
    let line = format!("ulimit -n 48; exec {} run", env!("CARGO_BIN_EXE_anabranch"));
    let output = Command::new("sh").args(["-c", &line]).current_dir(place.path()).output().expect("starts");
    Ran::from(output).exits(0).says("balanced ✓");
    assert_eq!(place.read("out.txt"), (0..200).map(name).collect::<String>());
}

/// Each line is copied by a program that adds to the file.
const GROWS: &str = "
flow: grows
streams: { all: { source: in.txt }, out: { sink: out.txt } }
steps: { c: { work: all, exec: [sh, -c, 'echo more >> in.txt; cat'], to: out } }
";

#[test]
fn a_file_that_grows_while_it_is_read_ends_well() {
    let place = Place::with(GROWS, &[("in.txt", "a\nb\n")]);
    place.run(&["run"]).exits(0).says("balanced ✓");
    assert_eq!(place.read("out.txt"), "a\nb\n");
    place.run(&["run"]).exits(0).says("balanced ✓");
    assert_eq!(place.read("out.txt"), "a\nb\nmore\nmore\n");
}

fn sh(place: &Place, line: &str) {
    assert!(Command::new("sh").args(["-c", line]).current_dir(place.path()).status().expect("starts").success());
}

#[test]
fn a_last_line_without_an_end_is_the_next_runs_if_its_file_has_grown() {
    let place = Place::with(&copy("in.txt", "pipe"), &[("in.txt", "a\nhal")]);
    mkfifo(&place, "pipe");
    let mut child = place.command(&["run", "-q"]).spawn().expect("starts");
    while place.run(&["report"]).exit != 0 {} // until the run is open: it waits for the reader of the pipe
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("signals");
    assert_eq!(child.wait().expect("ends").code(), Some(143));
    sh(&place, "printf 'f\nc\n' >> in.txt");
    for want in ["a\n", "a\nhalf\nc\n"] {
        let path = place.path().join("pipe");
        let reader = std::thread::spawn(move || std::fs::read_to_string(path).expect("reads"));
        place.run(&["run"]).exits(0).says("balanced ✓");
        assert_eq!(reader.join().expect("ends"), want);
    }
}

#[test]
fn a_last_line_that_is_committed_stays() {
    let flow = "
flow: stays
streams: { all: { source: in.txt }, mid: { partitions: 1, format: text }, out: { sink: out.txt } }
steps:
  m: { copy: all, to: mid }
  c: { work: mid, exec: [sh, -c, 'if test ! -e go; then touch go; kill -9 $PPID; fi; cat'], concurrency: 1, to: out }
";
    let place = Place::with(flow, &[("in.txt", "a\nhal")]);
    assert_eq!(place.run(&["run"]).exit, -1, "killed by its own child");
    sh(&place, "printf 'f\nc\n' >> in.txt");
    place.run(&["run"]).exits(0).says("continuing run").says("balanced ✓");
    assert_eq!(place.read("out.txt"), "a\nhal\n");
}

#[test]
fn only_what_was_there_when_the_run_opened_must_stay_and_the_advice_helps() {
    let flow = "
flow: slow
streams: { all: { source: in.txt }, out: { sink: out.txt } }
steps: { c: { work: all, exec: [sh, -c, 'if test ! -e go; then touch go; kill -9 $PPID; fi; cat'], to: out } }
";
    let place = Place::with(flow, &[("in.txt", "a\nb\n")]);
    assert_eq!(place.run(&["run"]).exit, -1, "killed by its own child");
    sh(&place, "cp -p in.txt copy; echo x > other; mv other in.txt");
    place.run(&["run"]).exits(1).says("shrank from 4 to 2").says("cp -p from a copy").says("--fresh");
    sh(&place, "cp copy in.txt; printf 'A' | dd of=in.txt conv=notrunc 2>/dev/null");
    place.run(&["run"]).exits(1).says("was replaced by another one");
    sh(&place, "cp -p copy in.txt.2; mv in.txt.2 in.txt"); // another inode of the same content and time
    place.run(&["run"]).exits(0).says("continuing run").says("balanced ✓");
    assert_eq!(place.read("out.txt"), "a\nb\n");
}

#[test]
fn a_name_that_is_not_utf_8_is_read_and_told_in_headers() {
    let flow = "
flow: names
streams: { all: { source: 'in/*' }, out: { sink: out.jsonl } }
steps: { c: { work: all, value: { file: headers.file, text: item }, to: out } }
";
    let place = Place::with(flow, &[("in/a.txt", "a\n")]);
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.txt");
    std::fs::write(place.path().join("in").join(name), "b\n").expect("writes");
    place.run(&["run"]).exits(0).says("balanced ✓");
    let want = "{\"file\":\"in/a.txt\",\"text\":\"a\"}\n{\"file\":\"in/caf\\\\xe9.txt\",\"text\":\"b\"}\n";
    assert_eq!(place.read("out.jsonl"), want);
}

#[test]
fn a_standard_output_that_nobody_reads_does_not_keep_a_run_from_stopping() {
    let place = Place::with(&copy("in.txt", "stdout"), &[]);
    place.write("in.txt", (("x".repeat(99) + "\n").repeat(100_000)).as_bytes());
    let mut child = place.command(&["run", "-q"]).spawn().expect("starts");
    let mut out = child.stdout.take().expect("a pipe");
    let mut first = [0];
    out.read_exact(&mut first).expect("it is at work, and will soon wait");
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("signals");
    assert_eq!(child.wait().expect("ends").code(), Some(143));
}

#[test]
fn sinks_that_lead_to_one_place_are_told_apart() {
    let flow = |a: &str, b: &str| {
        format!(
            "flow: apart\nstreams: {{ in: {{ source: in.txt }}, a: {{ sink: {a} }}, b: {{ sink: {b} }} }}\nsteps: {{ a: {{ filter: in, where: 'true' }}, b: {{ filter: in, where: 'true' }} }}\n"
        )
    };
    let place = Place::with("", &[("in.txt", "1\n")]);
    std::process::Command::new("mkfifo").arg(place.path().join("pipe")).status().expect("makes a pipe");
    std::os::unix::fs::symlink("pipe", place.path().join("link")).expect("links");
    for (a, b, says) in [
        ("pipe", "link", "are written to one file"),
        ("stdout", "/dev/stdout", "are written to one file"),
        ("out", "out/x", "needs a folder"),
        ("./deep/er/x", "deep", "needs a folder"),
    ] {
        place.write("flow.yaml", flow(a, b));
        place.run(&["check"]).exits(2).says(says);
        place.run(&["run"]).exits(2).says(says);
        assert!(!place.has("out") && !place.has("deep"), "nothing was made");
    }
}
