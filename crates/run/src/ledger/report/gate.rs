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
}

impl Gate {
    /// A gate that has judged its batch.
    pub fn new(verdict: Verdict, failed: u64, arrived: u64, tolerate: Tolerate) -> Gate {
        let tolerate = match tolerate {
            Tolerate::Items(n) => n.to_string(),
            Tolerate::Percent(p) => format!("{p}%"),
        };
        Gate { verdict, failed, of: failed + arrived, tolerate }
    }

    /// Whether it lets nothing through.
    pub fn is_shut(&self) -> bool {
        self.verdict != Verdict::Open
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.verdict {
            Verdict::Open => return f.write_str("open"),
            Verdict::Held => "held",
            Verdict::Failed => "failed",
        };
        write!(f, "{word}: {} of {} failed, tolerate is {}", self.failed, self.of, self.tolerate)
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
            return Ok(Gate { verdict: Verdict::Open, failed: 0, of: 0, tolerate: String::new() });
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
            Some(Gate { verdict, failed: failed.parse().ok()?, of: of.parse().ok()?, tolerate: tolerate.into() })
        };
        read().ok_or_else(|| format!("no gate says `{text}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_gate_says_is_read_again() {
        for (verdict, tolerate) in [(Verdict::Held, Tolerate::Items(0)), (Verdict::Failed, Tolerate::Percent(0.5))] {
            let gate = Gate::new(verdict, 1, 3, tolerate);
            let json = serde_json::to_string(&gate).expect("JSON");
            assert_eq!(serde_json::from_str::<Gate>(&json).expect("a gate"), gate, "{json}");
        }
        assert!(serde_json::from_str::<Gate>("\"open\"").is_ok_and(|gate| !gate.is_shut()));
        assert!(serde_json::from_str::<Gate>("\"ajar\"").is_err());
    }
}
