//! A file of settings, as Kafka's own tools take it.

use crate::net::properties::{self, Property};
use anabranch_engine::{Error, Result};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// Bytes of a file of settings.
const FILE_BYTES: u64 = 1 << 20;

/// A whole file, if it is not too large.
pub fn read_at_most(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let mut bytes = vec![];
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > most { Err(format!("it has more than {most} bytes")) } else { Ok(bytes) }
}

/// The settings of a file.
pub struct Settings {
    /// The file.
    pub file: String,
    all: BTreeMap<String, Property>,
}

impl Settings {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Settings> {
        let file = path.display().to_string();
        let unreadable = |why: String| {
            Error::usage(format!("the settings {file} cannot be read: {why}"))
                .help("--command-config  names a file as Kafka's tools take it: client.properties")
        };
        let bytes = read_at_most(path, FILE_BYTES).map_err(unreadable)?;
        Settings::parse(&file, &bytes)
    }

    fn parse(file: &str, bytes: &[u8]) -> Result<Settings> {
        let all = properties::parse(bytes)
            .map_err(|(line, why)| Error::usage(format!("{file}:{line}: it cannot be read: {why}")))?;
        let all = all.into_iter().map(|p| (p.key.clone(), p)).collect();
        Ok(Settings { file: file.to_string(), all })
    }

    /// What is set; nothing is the same as not set.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.all.get(key).map(|p| p.value.as_str()).filter(|v| !v.is_empty())
    }

    /// Whether it is set to nothing.
    pub fn is_empty(&self, key: &str) -> bool {
        self.all.get(key).is_some_and(|p| p.value.trim().is_empty())
    }

    /// A setting that cannot be honoured.
    pub fn wrong(&self, key: &str, why: &str, help: &str) -> Error {
        let at = match self.all.get(key) {
            Some(p) => format!("{}:{}", self.file, p.line),
            None => self.file.clone(),
        };
        Error::usage(format!("{at}: {key} {why}")).help(help)
    }

    /// Fails if it is set.
    pub fn refuse(&self, key: &str, why: &str, help: &str) -> Result<()> {
        if self.get(key).is_some() { Err(self.wrong(key, why, help)) } else { Ok(()) }
    }

    /// Whether there is TLS, and whether there is SASL.
    pub fn protocol(&self) -> Result<(bool, bool)> {
        match self.get("security.protocol").unwrap_or("PLAINTEXT").trim().to_ascii_uppercase().as_str() {
            "PLAINTEXT" => Ok((false, false)),
            "SSL" => Ok((true, false)),
            "SASL_PLAINTEXT" => Ok((false, true)),
            "SASL_SSL" => Ok((true, true)),
            _ => {
                Err(self.wrong("security.protocol", "is unknown", "write  PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"))
            }
        }
    }
}
