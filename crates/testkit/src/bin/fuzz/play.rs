//! Playing a case in a folder of its own, and judging what every command did.

use super::case::Case;
use super::guard;
use super::process::{Ended, Machine};
use serde_json::Value;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is, the same for all cases of one cause.
    pub what: String,
    /// The command that did it.
    pub command: String,
    /// What it said.
    pub said: String,
}

/// What was done in a round.
#[derive(Debug, Default)]
pub struct Played {
    /// Processes.
    pub commands: u64,
    /// Runs of flows that the check accepted.
    pub runs: u64,
    /// The flow may not be run here.
    pub left_out: bool,
    /// The first thing that must not be.
    pub finding: Option<Finding>,
    /// The most memory that a process had, in KiB.
    pub peak: u64,
    /// Why a run refused what the check had accepted.
    pub refused: Option<String>,
}

/// Words in which a command tells of a mistake of ours.
const OURS: [&str; 2] = ["panicked", "please report"];

/// A case that is played.
struct Play<'p> {
    machine: &'p Machine,
    folder: PathBuf,
    /// Where lies what is not the flow's.
    beside: &'p Path,
    accepted: bool,
    played: Played,
}

/// Plays a case.
pub fn play(case: &Case, machine: &Machine) -> std::io::Result<Played> {
    let temp = tempfile::tempdir()?;
    std::fs::set_permissions(temp.path(), Permissions::from_mode(0o755))?;
    let folder = temp.path().join("flow");
    std::fs::create_dir(&folder)?;
    machine.give(&folder)?;
    let mut play = Play { machine, folder, beside: temp.path(), accepted: false, played: Played::default() };
    // a name may be that of another one's folder: such a case is no case
    if case.lay(&play.folder, &|path| machine.give(path)).is_ok() {
        play.all(case)?;
    }
    Ok(play.played)
}

impl Play<'_> {
    /// All commands of a case, until something is found.
    fn all(&mut self, case: &Case) -> std::io::Result<()> {
        let checked = self.tell(&["check"], None)?;
        self.played.left_out = checked == Some(guard::LEFT_OUT);
        self.accepted = checked == Some(0);
        let refused = checked == Some(2) && case.stubborn;
        if !(self.accepted || refused) {
            return Ok(());
        }
        for (name, (partitions, bytes)) in &case.seed.topics {
            let created =
                self.tell(&["streams", "create", name, "--partitions", &partitions.to_string(), "-q"], None)?;
            if created.is_none() || self.tell(&["produce", name, "-q"], Some(bytes))?.is_none() {
                return Ok(());
            }
        }
        for (i, args) in case.commands.iter().enumerate() {
            let changed = i != 2 || case.change(&self.folder, &|path| self.machine.give(path)).is_ok();
            let input = case.seed.input.as_deref().filter(|_| args[0] == "run");
            // where a run has made a folder of that name, nothing can be changed
            if !changed || self.tell(args, input)?.is_none() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Runs a command: its exit status, if it ended as it may.
    fn tell(&mut self, args: &[&str], input: Option<&[u8]>) -> std::io::Result<Option<i32>> {
        let feed = self.beside.join("feed");
        if let Some(bytes) = input {
            std::fs::write(&feed, bytes)?;
        }
        let ended = self.machine.run(&self.folder, self.beside, args, input.map(|_| feed.as_path()))?;
        let (played, runs) = (&mut self.played, args[0] == "run" && self.accepted);
        played.commands += 1;
        played.peak = played.peak.max(ended.peak);
        played.runs += u64::from(runs && ended.exit != Some(2));
        if runs && ended.exit == Some(2) {
            played.refused = ended.err.lines().find(|l| l.starts_with("error")).map(alike);
        }
        let said = || format!("{}{}", ended.err, String::from_utf8_lossy(&ended.out[..ended.out.len().min(2_000)]));
        let what = judge(&ended, args, self.machine);
        played.finding = what.map(|what| Finding { what, command: args.join(" "), said: said() });
        Ok(ended.exit.filter(|_| played.finding.is_none()))
    }
}

/// What is wrong with how a command ended.
fn judge(ended: &Ended, args: &[&str], machine: &Machine) -> Option<String> {
    if let Some(at) = ended.err.find("panicked at ") {
        let place = ended.err[at..].lines().next().unwrap_or_default();
        return Some(place.to_string());
    }
    if ended.late {
        return Some(format!("no end of {}", args[0]));
    }
    if ended.peak > machine.memory {
        return Some(format!("memory of {}", args[0]));
    }
    let Some(exit) = ended.exit else {
        return Some(format!("{} is ended by signal {}", args[0], ended.signal.unwrap_or(0)));
    };
    if !(0..=4).contains(&exit) && exit != guard::LEFT_OUT {
        return Some(format!("{} ends with {exit}", args[0]));
    }
    if let Some(line) = ended.err.lines().find(|line| OURS.iter().any(|word| line.contains(word))) {
        let before = ended.err.lines().take_while(|l| *l != line).last().unwrap_or_default();
        return Some(alike(&format!("a mistake of ours: {before} {line}")));
    }
    if ended.err.contains("not balanced") || ended.err.contains('✗') {
        return Some("not balanced".into());
    }
    match (args[0], args.contains(&"--json")) {
        ("run", true) => document(&ended.out, exit),
        _ if exit == 1 && !ended.err.contains("error:") && !ended.err.contains("FAILED") => {
            Some(format!("{} ends with 1 and does not say why", args[0]))
        }
        _ => None,
    }
}

/// What is wrong with the document that a run prints.
fn document(out: &[u8], exit: i32) -> Option<String> {
    let text = String::from_utf8_lossy(out);
    let found: Option<Value> = text.lines().next_back().and_then(|line| serde_json::from_str(line).ok());
    let Some(found) = found.filter(|d| d["schema"].is_string()) else {
        return (exit != guard::LEFT_OUT).then(|| format!("no document, exit {exit}"));
    };
    if found["exit"] != exit {
        return Some(format!("the document says another exit than {exit}"));
    }
    if found["schema"] == "anabranch.error/1" {
        let said = found["error"].as_str().is_some_and(|e| !e.is_empty());
        return (!said).then(|| "an error that does not say what it is".into());
    }
    if found["balanced"] != true {
        return Some("not balanced".into());
    }
    let why = found["notes"].as_array().is_some_and(|n| !n.is_empty()) || found.to_string().contains("\"gate\":\"");
    (exit == 1 && !why).then(|| "failed, and the document does not say why".into())
}

/// A text without its numbers: those of one cause are alike.
fn alike(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_must_not_be_is_told_from_what_may() {
        let machine = Machine::new(Duration::from_secs(1), 1_000).expect("has programs");
        let judged = |exit: i32, out: &str, err: &str, args: &[&str]| {
            let (out, err) = (out.as_bytes().to_vec(), err.to_string());
            let ended = Ended { exit: Some(exit), signal: None, out, err, peak: 1, late: false };
            judge(&ended, args, &machine)
        };
        let report = |exit: u8, balanced: bool, notes: &str| {
            format!(
                "{{\"schema\":\"anabranch.report/1\",\"exit\":{exit},\"balanced\":{balanced},\"notes\":[{notes}]}}\n"
            )
        };
        let run = |exit, out: &str| judged(exit, out, "", &["run", "--json"]);
        assert_eq!(run(0, &("an item\n".to_string() + &report(0, true, ""))), None);
        assert_eq!(run(1, &report(1, true, "\"why\"")), None);
        assert_eq!(judged(2, "", "error: there is no such file", &["run"]), None);
        for found in [
            run(0, ""),
            run(0, &report(3, true, "")),
            run(1, &report(1, true, "")),
            run(0, &report(0, false, "")),
            judged(0, "", "thread 'main' panicked at x.rs:1:2:\nno", &["check"]),
            judged(101, "", "", &["check"]),
            judged(134, "", "", &["run"]),
            judged(1, "", "", &["run"]),
            judged(1, "", "error: x\n  = this is a mistake of Anabranch: please report it", &["run"]),
            judged(1, "", "x · run 1 · FAILED\n  ✗ 2 made, 1 taken", &["run"]),
            judge(
                &Ended { exit: None, signal: Some(11), out: vec![], err: String::new(), peak: 1, late: false },
                &["run"],
                &machine,
            ),
            judge(
                &Ended { exit: Some(0), signal: None, out: vec![], err: String::new(), peak: 1_001, late: false },
                &["graph"],
                &machine,
            ),
            judge(
                &Ended { exit: None, signal: Some(9), out: vec![], err: String::new(), peak: 1, late: true },
                &["run"],
                &machine,
            ),
        ] {
            assert!(found.is_some());
        }
    }
}
