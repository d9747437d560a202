//! Paths as they are written, compared without a look at any disk.

use glob::{MatchOptions, Pattern};
use std::path::{Component, Path, PathBuf};

/// How names are matched: as in a shell, where `*` and `?` do not reach over `/`, nor to names that begin with a dot.
pub const MATCH: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// The path without `.`, and without `..` where a folder before it can be taken off.
pub fn plain(path: impl AsRef<Path>) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.as_ref().components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// The file of this name with something behind it: `out.txt.partial`.
pub fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(what);
    path.with_file_name(name)
}

/// Whether a path is, or can be, a pattern.
pub fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// Whether a pattern, as it is written, matches a path.
pub fn matches(pattern: &str, path: &str) -> bool {
    let pattern = plain(pattern);
    Pattern::new(&pattern.to_string_lossy()).is_ok_and(|p| p.matches_path_with(&plain(path), MATCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_has_many_spellings() {
        for path in ["a/b", "./a/b", "a//b", "a/./b", "x/../a/b", "a/x/../b", "./x/y/../../a/b"] {
            assert_eq!(plain(path), Path::new("a/b"), "{path}");
        }
        assert_eq!(plain("../a"), Path::new("../a"));
        assert_eq!(plain("/a/../b"), Path::new("/b"));
    }

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, path, is) in [
            ("*.txt", "./out.txt", true),
            ("*.txt", "a/out.txt", false),
            ("**/*.txt", "a/b/out.txt", true),
            ("**/*.txt", "out.txt", true),
            ("*", ".hidden", false),
            ("in/*", "in/x/../y", true),
        ] {
            assert_eq!(matches(pattern, path), is, "{pattern} {path}");
        }
    }
}
