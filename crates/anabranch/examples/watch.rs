//! A run that is watched while it works, told to stop, and continued: `cargo run --example watch`.

use anabranch::flow::build::{FlowBuilder, act, stream};
use anabranch::run::{Options, Outcome, Watch, run};
use anabranch::{Embedded, Local};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let numbers: String = (1..=400).map(|n| format!("{n}\n")).collect();
    std::fs::write(folder.path().join("numbers.jsonl"), numbers)?;
    let flow = FlowBuilder::new("squares")
        .stream("numbers", stream().source("numbers.jsonl"))
        .stream("squares", stream().sink("squares.jsonl"))
        .step("squares", act("numbers", |n: u64, _| Ok(slowly(n))).concurrency(8))
        .build()?;
    let (flow, engine) = (Arc::new(flow), Arc::new(Embedded::open(&folder.path().join("streams"))?));
    let world = Arc::new(Local::new(folder.path()));

    let (stop, watch) = (Arc::new(AtomicBool::new(false)), Arc::new(Watch::default()));
    let options = Options { stop: stop.clone(), watch: Some(watch.clone()), ..Options::default() };
    let watching = std::thread::spawn(move || {
        let mut last = None;
        while let Some(view) = watch.next(last.as_ref()) {
            let taken = view.steps.iter().map(|step| step.taken).sum::<u64>();
            println!("{:?}: {taken} items, {} dead letters", view.elapsed, view.dead);
            if taken > 100 {
                stop.store(true, Ordering::Relaxed); // what is finished is committed, the rest waits for the next run
            }
            last = Some(view);
        }
    });
    let watch = options.watch.clone();
    let outcome = run(flow.clone(), engine.clone(), world.clone(), options)?;
    watch.iter().for_each(|watch| watch.end());
    watching.join().map_err(|_| "the thread that watches has panicked")?;
    println!("{}", if matches!(outcome, Outcome::Stopped(_)) { "stopped, and continued:" } else { "done at once:" });

    if let Outcome::Closed(report) = run(flow, engine, world, Options::default())? {
        println!("{report}");
    }
    println!("{} squares", std::fs::read_to_string(folder.path().join("squares.jsonl"))?.lines().count());
    Ok(())
}

/// Work that takes its time.
fn slowly(n: u64) -> u64 {
    let until = std::time::Instant::now() + std::time::Duration::from_millis(10);
    while std::time::Instant::now() < until {
        std::hint::spin_loop();
    }
    n * n
}
