//! Whether a program that is given by its path can be started, and which one it is.

use crate::children::look_up;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// So much of a script is read to find its interpreter.
const FIRST_LINE: u64 = 256;

/// Why it cannot be started; `None` if nothing is wrong as far as can be seen.
pub fn missing(folder: &Path, path: &str, starts: bool) -> Option<String> {
    let at = folder.join(path);
    let data = match fs::metadata(&at) {
        Ok(data) => data,
        Err(e) if e.kind() == ErrorKind::NotFound => return Some(format!("the program {path} is not there")),
        Err(e) => return Some(format!("the program {path} cannot be inspected: {e}")),
    };
    if !data.is_file() {
        return Some(format!("the program {path} is not a file"));
    }
    if starts && data.permissions().mode() & 0o111 == 0 {
        return Some(format!("the program {path} may not be executed: chmod +x {path}"));
    }
    let interpreter = interpreter(&at).filter(|_| starts)?;
    let there = folder.join(&interpreter).exists();
    (!there).then(|| format!("the interpreter {interpreter:?} in the first line of {path} is not there"))
}

/// A program that is larger is not read to be told from another one.
const LARGEST: u64 = 64 << 20;

/// A hash of the file of a program that is given by its path, or by a name that is looked for where programs are.
pub fn hash(folder: &Path, program: &str) -> Option<u64> {
    let is_file = |path: &PathBuf| fs::metadata(path).is_ok_and(|data| data.is_file() && data.len() <= LARGEST);
    let here = folder.join(program);
    let found = match program.contains('/') || is_file(&here) && program.contains('.') {
        true => Some(here),
        false => look_up(program, folder, &[]),
    };
    fs::read(found.filter(is_file)?).ok().map(|bytes| xxh3_64(&bytes))
}

/// The interpreter that the first line of a script names.
fn interpreter(script: &Path) -> Option<String> {
    let mut head = vec![];
    File::open(script).ok()?.take(FIRST_LINE).read_to_end(&mut head).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|b| *b == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    line.trim_matches([' ', '\t']).split([' ', '\t']).next().filter(|i| !i.is_empty()).map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_a_program_from_starting_is_told() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str, mode: u32| {
            fs::write(dir.path().join(name), text).expect("writes");
            fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).expect("sets");
        };
        write("good", "#!/bin/sh\n", 0o755);
        write("env", "#! /usr/bin/env python3\n", 0o755);
        write("plain", "#!/bin/sh\n", 0o644);
        write("dos", "#!/bin/sh\r\necho\r\n", 0o755);
        write("wrong", "#!/no/such -x\n", 0o755);
        let why = |path: &str, starts| missing(dir.path(), path, starts);
        for (path, starts, says) in [
            ("./none", true, Some("is not there")),
            (".", true, Some("is not a file")),
            ("./good", true, None),
            ("/bin/sh", true, None),
            ("./env", true, None),
            ("./plain", true, Some("chmod +x")),
            ("./plain", false, None),
            ("./dos", true, Some("/bin/sh\\r")),
            ("./wrong", true, Some("/no/such")),
        ] {
            match (why(path, starts), says) {
                (None, None) => {}
                (Some(why), Some(says)) => assert!(why.contains(says), "{path}: {why}"),
                (why, says) => panic!("{path}: {why:?}, not {says:?}"),
            }
        }
    }
}
