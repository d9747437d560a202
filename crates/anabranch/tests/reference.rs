//! The reference is made of what the check and the commands are made of. With `UPDATE=1` in the environment it is written
//! again: read it.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

use std::path::Path;

#[test]
fn the_reference_is_current() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/REFERENCE.md");
    let head = "# Reference\n\nThe language of flows, then the commands. Expressions have [a page of their own](EXPRESSIONS.md). \
                This page is generated: change the descriptions in the code and run  \
                `UPDATE=1 cargo test -p anabranch --test reference`.\n\n";
    let text = format!("{head}{}\n{}", anabranch::flow::reference::markdown(), anabranch::cli::commands::markdown());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&page, &text).expect("writes");
    }
    let found = std::fs::read_to_string(&page).expect("reads");
    assert!(
        found == text,
        "docs/REFERENCE.md is not what the code says: UPDATE=1 cargo test -p anabranch --test reference"
    );
}
