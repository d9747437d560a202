//! What a gate says in a report: kept as the words that people read.

use anabranch_flow::patterns::barrier::{Tolerate, Verdict};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a gate says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Gate {
    /// Whether it is open.
    pub verdict: Verdict,
    /// Failed items of its batch.
    pub failed: u64,
    /// Items of its batch, with those that failed.
    pub of: u64,
    /// Failed items that it accepts: a number, or a share.
    pub tolerate: String,
    /// It accepts the batch, and waits to be opened by hand.
    pub waits: bool,
    /// Who opened it by hand, when and why.
    pub opened: Option<String>,
}

/// What a gate says that waits to be opened.
const WAITS: &str = ", waits to be opened by hand";

impl Gate {
    /// A gate that has judged its batch.
    pub fn new(verdict: Verdict, failed: u64, arrived: u64, tolerate: Tolerate) -> Gate {
        let tolerate = match tolerate {
            Tolerate::Items(n) => n.to_string(),
            Tolerate::Percent(p) => format!("{p}%"),
        };
        Gate { verdict, failed, of: failed + arrived, tolerate, waits: false, opened: None }
    }

    fn open(opened: Option<String>) -> Gate {
        Gate { verdict: Verdict::Open, failed: 0, of: 0, tolerate: String::new(), waits: false, opened }
    }

    /// Whether it lets nothing through.
    pub fn is_shut(&self) -> bool {
        self.verdict != Verdict::Open
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.verdict {
            Verdict::Open => {
                f.write_str("open")?;
                return self.opened.as_ref().map_or(Ok(()), |opened| write!(f, ": {opened}"));
            }
            Verdict::Held => "held",
            Verdict::Failed => "failed",
        };
        let waits = if self.waits { WAITS } else { "" };
        write!(f, "{word}: {} of {} failed, tolerate is {}{waits}", self.failed, self.of, self.tolerate)
    }
}

impl From<Gate> for String {
    fn from(gate: Gate) -> String {
        gate.to_string()
    }
}

impl TryFrom<String> for Gate {
    type Error = String;

    /// Reads what a report that was kept says of a gate.
    fn try_from(text: String) -> Result<Gate, String> {
        if text == "open" {
            return Ok(Gate::open(None));
        }
        if let Some(opened) = text.strip_prefix("open: ") {
            return Ok(Gate::open(Some(opened.into())));
        }
        let read = || {
            let (word, rest) = text.split_once(": ")?;
            let verdict = match word {
                "held" => Verdict::Held,
                "failed" => Verdict::Failed,
                _ => return None,
            };
            let (failed, rest) = rest.split_once(" of ")?;
            let (of, tolerate) = rest.split_once(" failed, tolerate is ")?;
            let (tolerate, waits) = tolerate.strip_suffix(WAITS).map_or((tolerate, false), |t| (t, true));
            let (failed, of) = (failed.parse().ok()?, of.parse().ok()?);
            Some(Gate { verdict, failed, of, tolerate: tolerate.into(), waits, opened: None })
        };
        read().ok_or_else(|| format!("no gate says `{text}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_gate_says_is_read_again() {
        let held = Gate::new(Verdict::Held, 1, 3, Tolerate::Items(0));
        let failed = Gate::new(Verdict::Failed, 1, 3, Tolerate::Percent(0.5));
        let waits = Gate { waits: true, ..Gate::new(Verdict::Held, 0, 3, Tolerate::Items(0)) };
        let opened = Gate::open(Some("by anna: looks well".into()));
        for gate in [held, failed, waits, opened] {
            let json = serde_json::to_string(&gate).expect("JSON");
            assert_eq!(serde_json::from_str::<Gate>(&json).expect("a gate"), gate, "{json}");
        }
        assert!(serde_json::from_str::<Gate>("\"open\"").is_ok_and(|gate| !gate.is_shut()));
        assert!(serde_json::from_str::<Gate>("\"ajar\"").is_err());
    }
}
