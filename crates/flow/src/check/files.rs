//! Files of sources and sinks: how they hold items, and what a later version reads.

use crate::diagnostic::{Diagnostic, Span};
use crate::format::FileFormat;
use crate::read::keys::{Faults, Keys};

const LATER_FORMATS: [&str; 3] = ["json", "csv", "tsv"];
const LATER_KINDS: [&str; 4] = ["url", "kafka", "ticks", "workqueue"];

/// How a file holds items, by its name.
pub fn format_of(path: &str, span: Span, faults: &mut Faults) -> FileFormat {
    let lower = path.to_lowercase();
    for packed in [".gz", ".zst"] {
        if lower.ends_with(packed) {
            faults.push(Diagnostic::error(
                "not-in-this-version",
                span,
                format!("packed files ({packed}) are not read or written in this version"),
            ));
        }
    }
    match lower.rsplit_once('.').map(|(_, e)| e) {
        Some("jsonl" | "ndjson") => FileFormat::Jsonl,
        Some(e) if LATER_FORMATS.contains(&e) => {
            let what = format!("the format {e} is not in this version; known formats: jsonl, lines");
            faults.push(Diagnostic::error("not-in-this-version", span, what));
            FileFormat::Lines
        }
        _ => FileFormat::Lines,
    }
}

/// The format that is written.
pub fn format_key(keys: &mut Keys<'_>, faults: &mut Faults) -> Option<FileFormat> {
    let (word, span) = keys.text("format", faults)?;
    match word {
        "lines" => Some(FileFormat::Lines),
        "jsonl" => Some(FileFormat::Jsonl),
        later if LATER_FORMATS.contains(&later) => {
            faults.push(Diagnostic::error(
                "not-in-this-version",
                span,
                format!("the format {later} is not in this version; known formats: jsonl, lines"),
            ));
            None
        }
        _ => {
            faults.push(Diagnostic::error("unknown-word", span, "`format` is one of: lines, jsonl"));
            None
        }
    }
}

/// Says so where a kind is of a later version; `true` if it was.
pub fn later_kind(keys: &mut Keys<'_>, faults: &mut Faults) -> bool {
    let found = LATER_KINDS.into_iter().find_map(|k| keys.key_span(k).map(|s| (k, s)));
    if let Some((kind, span)) = found {
        faults.push(Diagnostic::error("not-in-this-version", span, format!("`{kind}` is not in this version")));
    }
    found.is_some()
}
