//! The arguments of a trial.

use std::ffi::OsString;

/// What a trial was asked for.
pub struct Asked(pub Vec<OsString>);

impl Asked {
    /// What follows an option.
    pub fn text(&self, option: &str) -> Option<&str> {
        let at = self.0.iter().position(|a| a == option)?;
        self.0.get(at + 1)?.to_str()
    }

    /// Whether an option is there.
    pub fn has(&self, option: &str) -> bool {
        self.0.iter().any(|a| a == option)
    }

    /// The number that follows an option, or the usual one.
    pub fn number(&self, option: &str, usual: u64) -> u64 {
        self.text(option).and_then(|v| v.parse().ok()).unwrap_or(usual)
    }
}
