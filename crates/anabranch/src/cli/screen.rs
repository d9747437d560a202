//! How large the terminal is.

use std::os::fd::AsFd;
use terminal_size::terminal_size_of;

/// Columns and rows of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// The size of the terminal that this is, if it is one. A terminal that does not tell has 80 columns and 24 rows.
pub fn size(of: impl AsFd + std::io::IsTerminal) -> Option<Size> {
    let told = terminal_size_of(&of).map(|(w, h)| Size { width: w.0.into(), height: h.0.into() });
    let told = told.filter(|s| s.width > 0 && s.height > 0);
    told.or_else(|| of.is_terminal().then_some(Size { width: 80, height: 24 }))
}

/// The width of the terminal that this is, if it is one.
pub fn width(of: impl AsFd + std::io::IsTerminal) -> Option<usize> {
    size(of).map(|s| s.width)
}
