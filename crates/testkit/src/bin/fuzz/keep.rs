//! Keeping what was found: a folder with the flow, its files, and what was done.

use super::case::Case;
use super::play::Finding;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Writes a case into `target/fuzz`.
pub fn keep(number: u64, case: &Case, finding: &Finding) -> std::io::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/fuzz").join(number.to_string());
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    case.lay(&folder, &|_| Ok(()))?;
    let mut done = String::from("anabranch check\n");
    for (name, (partitions, bytes)) in &case.seed.topics {
        std::fs::write(folder.join(format!("{name}.feed")), bytes)?;
        let _ = writeln!(done, "anabranch streams create {name} --partitions {partitions}");
        let _ = writeln!(done, "anabranch produce {name} < {name}.feed");
    }
    for (i, args) in case.commands.iter().enumerate() {
        if i == 2 {
            for (name, bytes) in &case.later {
                let later = format!("{}.later", name.replace('/', "_"));
                std::fs::write(folder.join(&later), bytes)?;
                let _ = writeln!(done, "cp {later} {name}");
            }
        }
        let _ = writeln!(done, "anabranch {}", args.join(" "));
    }
    if let Some(input) = &case.seed.input {
        std::fs::write(folder.join("input"), input)?;
        done += "each run with  < input\n";
    }
    std::fs::write(folder.join("DONE"), done)?;
    std::fs::write(folder.join("FOUND"), format!("{} ({})\n{}", finding.what, finding.command, finding.said))?;
    Ok(folder)
}
