//! What the tests of the command share.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// A folder with files, and the command run in it.
pub struct Place {
    folder: tempfile::TempDir,
    kafka: Option<String>,
}

impl Place {
    /// An empty folder.
    pub fn new() -> Place {
        Place { folder: tempfile::tempdir().expect("a folder"), kafka: None }
    }

    /// A copy of an example.
    pub fn example(name: &str) -> Place {
        let place = Place::new();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name), place.path());
        place
    }

    /// A folder with this flow and these files.
    pub fn with(flow: &str, files: &[(&str, &str)]) -> Place {
        let place = Place::new();
        place.write("flow.yaml", flow);
        files.iter().for_each(|(name, text)| place.write(name, text));
        place
    }

    /// The same with its streams on Kafka.
    pub fn on(mut self, brokers: &str) -> Place {
        self.kafka = Some(brokers.to_string());
        self
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("has a folder")).expect("makes folders");
        std::fs::write(path, text).expect("writes");
    }

    /// Writes a program. It is a new file: the old one may still run.
    #[allow(dead_code)] // not every test has it
    pub fn script(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let (new, path) = (self.path().join(format!("{name}.new")), self.path().join(name));
        std::fs::write(&new, text).expect("writes");
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).expect("may be run");
        std::fs::rename(new, path).expect("is put there");
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub fn has(&self, name: &str) -> bool {
        self.path().join(name).exists()
    }

    /// The command, not yet started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_anabranch"));
        command.args(args).current_dir(self.path()).env_remove("ANABRANCH_DATA").env_remove("GITHUB_ACTIONS");
        command.env_remove("ANABRANCH_KAFKA_CONFIG");
        match &self.kafka {
            Some(brokers) => command.env("ANABRANCH_KAFKA", brokers),
            None => command.env_remove("ANABRANCH_KAFKA"),
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the command to its end.
    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().expect("starts"))
    }

    /// The same, and the most memory that the process had, in KiB. The kernel says it as long as the process lives, and
    /// it only rises: the last look is missing one millisecond at most.
    pub fn run_weighed(&self, args: &[&str]) -> (Ran, u64) {
        let mut child = self.command(args).spawn().expect("starts");
        let (status, mut most) = (format!("/proc/{}/status", child.id()), 0);
        while child.try_wait().expect("waits").is_none() {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let peak = text.lines().find_map(|l| l.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
            most = peak.map_or(most, |kib| kib.parse().expect("a number"));
            std::thread::park_timeout(Duration::from_millis(1));
        }
        (Ran::from(child.wait_with_output().expect("has ended")), most)
    }

    /// Runs the command to its end, with standard input.
    pub fn feed(&self, args: &[&str], input: &[u8]) -> Ran {
        self.write(".input", input);
        let file = std::fs::File::open(self.path().join(".input")).expect("opens");
        Ran::from(self.command(args).stdin(file).output().expect("starts"))
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub exit: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ran {
    fn from(o: Output) -> Ran {
        Ran {
            exit: o.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&o.stdout).into_owned(),
            err: String::from_utf8_lossy(&o.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// It ended with this status; else everything it said is shown.
    #[track_caller]
    pub fn exits(self, status: i32) -> Ran {
        assert_eq!(self.exit, status, "{}{}", self.out, self.err);
        self
    }

    /// It said this on standard error.
    #[track_caller]
    pub fn says(self, text: &str) -> Ran {
        assert!(self.err.contains(text), "not said: {text}\n{}", self.err);
        self
    }
}

/// Lines in order of their text: what partitions promise nothing about.
pub fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
    lines.sort();
    lines
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("reads") {
        let entry = entry.expect("reads");
        let (path, name): (PathBuf, _) = (entry.path(), entry.file_name());
        if path.is_dir() {
            if name != ".anabranch" && name != "out" {
                std::fs::create_dir_all(to.join(&name)).expect("makes");
                copy(&path, &to.join(&name));
            }
        } else {
            std::fs::copy(&path, to.join(&name)).expect("copies");
        }
    }
}

/// The files of `expected/` equal those of `out/`, whatever the order of their lines.
#[track_caller]
pub fn as_expected(place: &Place) {
    let expected = std::fs::read_dir(place.path().join("expected")).expect("has expectations");
    for file in expected.map(|f| f.expect("reads").file_name().to_string_lossy().into_owned()) {
        let (want, got) = (place.read(&format!("expected/{file}")), place.read(&format!("out/{file}")));
        assert_eq!(sorted(&got), sorted(&want), "{file}");
    }
}

/// A bad part holds the batch of the example; its log says why, and each way of taking it up ends well, with other batches
/// in between, and opened by hand where the gate wants that.
#[allow(dead_code)] // not every test has it
pub fn a_bad_part_is_taken_up(place: &Place) {
    let bad = ["--env", "PARTS=bad"];
    let run = |args: &[&str]| place.run(&[args, &bad].concat());
    let held = || {
        run(&["run"]).exits(4).says("balanced ✓").says("held: 1 of 4 failed");
        let report: serde_json::Value = serde_json::from_str(&run(&["report", "--json"]).exits(0).out).expect("JSON");
        report["batch"].to_string()
    };
    let ways: [&[&str]; 4] = [
        &["dead", "retry"],
        &["dead", "skip"],
        &["dead", "edit", "--value", "'wheel'"],
        &["dead", "settle", "--as", "passed", "--result", "by-hand.json"],
    ];
    place.write("by-hand.json", "{\"part\":\"a wheel made by hand\"}");
    for (way, published) in ways.into_iter().zip(["broken wheel", "", "wheel", "a wheel made by hand"]) {
        let batch = held();
        assert!(
            run(&["logs", "made", "--failed", "--run", &batch]).exits(0).out.contains("| cannot make a broken wheel")
        );
        let listed = run(&["dead", "list", "--batch", &batch, "--json"]).exits(0).out;
        let letters: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
        let id = letters[0]["id"].as_str().unwrap_or_else(|| panic!("{listed}"));
        let shown = run(&["dead", "show", id]).exits(0).out;
        assert!(shown.contains("attempt 2") && shown.contains("| cannot make a broken wheel"), "{shown}");
        let script = place.read("make-part.sh");
        if way.contains(&"retry") {
            place.script("make-part.sh", &script.replace("broken*)", "nothing*)"));
        }
        // the next batch is held on its own, and given up
        let next = if way.contains(&"retry") { None } else { Some(held()) };
        run(&[way, &["--batch", &batch]].concat()).exits(0).says("balanced ✓").says(&format!("for batch {batch}"));
        next.iter().for_each(|next| drop(run(&["dead", "skip", "--batch", next]).exits(0)));
        let beside = format!("out/published.txt.batch-{batch}");
        let file = if place.has(&beside) { place.read(&beside) } else { place.read("out/published.txt") };
        let lines = sorted(&file);
        assert_eq!(lines.len(), if published.is_empty() { 3 } else { 4 }, "{lines:?}");
        assert!(published.is_empty() || lines.iter().any(|l| l.ends_with(published)), "{lines:?}");
        if way.contains(&"retry") {
            place.script("make-part.sh", &script);
        }
    }
    place.write(
        "flow.yaml",
        place
            .read("flow.yaml")
            .replace("{ join: 'made-*', done: told }", "{ join: 'made-*', done: told, open: by-hand }"),
    );
    place.run(&["run"]).exits(4).says("waits to be opened by hand");
    place.run(&["open", "all-made", "--by", "carol"]).exits(0).says("all-made was opened by carol").says("balanced ✓");
}
