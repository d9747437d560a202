//! What must not be seen.

/// What must not be seen: it has no way to be printed.
pub struct Secret(pub String);
