//! Runs a flow file to its end, and looks at how it ended: `cargo run --example run_a_file [FLOW]`.

use anabranch::Failure;
use anabranch::run::Status;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let word_count = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/04-word-count/flow.yaml");
    let file = std::env::args_os().nth(1).map_or(word_count, PathBuf::from);
    match anabranch::run(&file) {
        Ok(report) if report.status == Status::Done => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Ok(report) => {
            println!("{report}");
            let failed = report.dead.iter().map(|line| format!("{} ×{} at {}", line.error, line.count, line.step));
            println!("done, but for: {}", failed.collect::<Vec<_>>().join("; "));
            ExitCode::from(3)
        }
        // nothing behind the gate was done, so this is no success: somebody must decide about the items that failed
        Err(Failure::Held(report)) => {
            println!("{report}");
            ExitCode::from(4)
        }
        Err(failure) => {
            eprintln!("{}: {failure}", failure.code());
            ExitCode::FAILURE
        }
    }
}
