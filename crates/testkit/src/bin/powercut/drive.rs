//! Runs the workload, tries the power cuts, and counts.

use crate::check::check;
use crate::disk::{Broken, Disk};
use crate::image::lay_out;
use crate::ops::History;
use crate::record::record;
use crate::schedule::{Cut, Schedule, schedule};
use crate::story::{COMMITS, Story};
use crate::{Fallible, trace};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tempfile::TempDir;

/// Violations of one kind that are told in full.
const TOLD: usize = 3;
/// The data directory. None of its folders is there before: the engine has to make them durable too.
const DATA: &str = "new/data";
/// Images between two words on how it goes.
const WORD_EVERY: usize = 1_000;

/// What was asked for.
pub struct Asked {
    /// Images to try.
    pub images: usize,
    /// Seed of all that is chosen.
    pub seed: u64,
    /// A rule to break.
    pub broken: Option<Broken>,
    /// Where the images of violations are kept.
    pub keep: Option<PathBuf>,
}

#[derive(Default)]
struct Count {
    images: usize,
    violations: usize,
    marks: HashSet<u64>,
    kinds: BTreeMap<String, usize>,
}

/// Does it all. True = as many images as asked for, and no violation.
pub fn drive(asked: &Asked) -> Fallible<bool> {
    let home = home()?;
    let (root, notes) = (home.path().join("root"), home.path().join("notes"));
    fs::create_dir(&root)?;
    let text = record(&root.join(DATA), &notes, &home.path().join("trace"))?;
    let history = trace::read(&text, &root.to_string_lossy(), &notes.to_string_lossy())?;
    drop(text);
    fs::remove_dir_all(&root)?;
    let overlaps = history.overlaps();
    if overlaps.is_empty() {
        return Err("no two commits were written at once, so nothing could be tried of that: run again".into());
    }
    let schedule = schedule(&history, &overlaps, asked.images, asked.seed);
    let Schedule { points, half, all, whole, .. } = schedule;
    println!(
        "{} operations traced, {whole} commits cut at each of theirs, {points} of {all} places",
        history.ops.len()
    );
    println!("{half} of these places, of {} that there are, lie where two commits are half written", overlaps.len());
    let (story, history) = (Story::tell()?, &history);
    let count = Mutex::default();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let work = |w| {
            let cuts = schedule.cuts.iter().skip(w).step_by(workers);
            let worker = Worker { asked, story: &story, count: &count, root: home.path().join(format!("image-{w}")) };
            scope.spawn(move || worker.run(history, cuts))
        };
        let threads: Vec<_> = (0..workers).map(work).collect();
        threads.into_iter().try_for_each(|t| t.join().map_err(|_| "a worker died")?)
    })?;
    let Count { images, violations, marks, kinds } = count.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (kind, times) in kinds {
        println!("{} times: {kind}", grouped(times));
    }
    println!("{} different images among them", grouped(marks.len()));
    println!(
        "{} power-cut images over {} cut points of {COMMITS} commits, five ways of losing: {} violations",
        grouped(images),
        grouped(points),
        grouped(violations)
    );
    Ok(violations == 0 && images >= asked.images)
}

/// Memory where there is some: tens of thousands of files come and go.
fn home() -> Fallible<TempDir> {
    let shared = Path::new("/dev/shm");
    let home = if shared.is_dir() { shared.to_path_buf() } else { std::env::temp_dir() };
    Ok(tempfile::Builder::new().prefix("powercut-").tempdir_in(home.canonicalize()?)?)
}

struct Worker<'a> {
    asked: &'a Asked,
    story: &'a Story,
    count: &'a Mutex<Count>,
    root: PathBuf,
}

impl Worker<'_> {
    fn run<'c>(&self, history: &History, cuts: impl Iterator<Item = &'c Cut>) -> Fallible<()> {
        let mut disk = Disk::new(history, self.asked.broken);
        for cut in cuts {
            disk.go_to(cut.at);
            fs::create_dir(&self.root)?;
            let mark = lay_out(&disk, cut.way, cut.seed, &self.root)?;
            let outcome = check(&self.root.join(DATA), self.story, &disk.known);
            fs::remove_dir_all(&self.root)?;
            self.tell(&disk, cut, mark, outcome)?;
        }
        Ok(())
    }

    fn tell(&self, disk: &Disk<'_>, cut: &Cut, mark: u64, outcome: Result<(), String>) -> Fallible<()> {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        count.images += 1;
        count.marks.insert(mark);
        if let Err(why) = outcome {
            count.violations += 1;
            let why = why.replace(&*self.root.to_string_lossy(), "").replace('\n', " ");
            let told = count.kinds.entry(why.clone()).or_default();
            *told += 1;
            if *told <= TOLD {
                let (at, way, seed) = (cut.at, cut.way.name(), cut.seed);
                println!("violation: cut {at}, way {way}, seed {seed}: {why}");
                self.keep(disk, cut)?;
            }
        }
        if count.images.is_multiple_of(WORD_EVERY) {
            println!("{} images, {} violations", grouped(count.images), grouped(count.violations));
        }
        Ok(())
    }

    /// Lays the image out where it stays: the check changed the first one.
    fn keep(&self, disk: &Disk<'_>, cut: &Cut) -> Fallible<()> {
        if let Some(keep) = &self.asked.keep {
            let keep = keep.join(format!("{}-{}-{}", cut.at, cut.way.name(), cut.seed));
            fs::create_dir_all(&keep)?;
            lay_out(disk, cut.way, cut.seed, &keep)?;
        }
        Ok(())
    }
}

/// `12,345`.
fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let comma = |(i, c): (usize, char)| [Some(',').filter(|_| i > 0 && (digits.len() - i).is_multiple_of(3)), Some(c)];
    digits.chars().enumerate().flat_map(comma).flatten().collect()
}
