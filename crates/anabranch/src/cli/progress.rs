//! What is shown on standard error while a run works.

use super::frame::{Pace, draw, percent};
use super::screen::{Size, size};
use anabranch_engine::{Error, Result};
use anabranch_run::show::table::{number, seconds};
use anabranch_run::show::text::{columns, flat};
use anabranch_run::{RunView, Watch};
use std::io::{IsTerminal, Write, stderr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Shows progress as a redrawn picture, or as a line now and then.
pub struct Progress {
    how: How,
    pace: Pace,
}

enum How {
    /// Redrawn in place; the columns of the lines that stand there now.
    Bar(Vec<usize>),
    /// A line every ten seconds; when the last one was.
    Plain(Instant),
    /// Nothing.
    None,
}

/// The thread that shows a run: a terminal that is slow, or is held, holds nobody else.
pub struct Shown {
    picture: Arc<Mutex<Progress>>,
    watch: Arc<Watch>,
    thread: JoinHandle<()>,
}

impl Shown {
    /// Begins to show what will be published.
    pub fn begin(progress: Progress) -> Result<Shown> {
        let (picture, watch) = (Arc::new(Mutex::new(progress)), Arc::new(Watch::default()));
        let (mine, seen) = (picture.clone(), watch.clone());
        let show = move || {
            let mut last = None;
            while let Some(view) = seen.next(last.as_ref()) {
                mine.lock().unwrap_or_else(PoisonError::into_inner).show(&view);
                last = Some(view);
            }
        };
        let thread = std::thread::Builder::new().name("progress".into()).spawn(show);
        let thread = thread.map_err(|e| Error::machine(format!("cannot start a thread: {e}")))?;
        Ok(Shown { picture, watch, thread })
    }

    /// Where the run publishes.
    pub fn watch(&self) -> Arc<Watch> {
        self.watch.clone()
    }

    /// What is shown, to take it away before something else is said.
    pub fn picture(&self) -> Arc<Mutex<Progress>> {
        self.picture.clone()
    }

    /// Takes the picture away for good.
    pub fn end(self) {
        self.watch.end();
        let _ = self.thread.join();
        self.picture.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

const EVERY: Duration = Duration::from_secs(10);

impl Progress {
    /// As it was asked for; `auto` looks whether a person can see it. A picture cannot stand where the flow's own items are
    /// printed: standard output to a terminal.
    pub fn new(how: &str, quiet: bool, prints: bool) -> Progress {
        let person = stderr().is_terminal() && !(prints && std::io::stdout().is_terminal());
        let how = match how {
            _ if quiet => How::None,
            "none" => How::None,
            "auto" | "bar" if person => How::Bar(vec![]),
            _ => How::Plain(Instant::now()),
        };
        Progress { how, pace: Pace::default() }
    }

    /// Shows how the run is.
    pub fn show(&mut self, view: &RunView) {
        self.pace.see(view);
        match &mut self.how {
            How::None => {}
            How::Bar(_) if view.elapsed < Duration::from_millis(300) => {}
            How::Bar(there) => {
                let Some(now) = size(stderr()) else { return };
                let lines = draw(view, &self.pace, now);
                let _ = stderr().write_all((away(there, now) + &lines.join("\n") + "\n").as_bytes());
                *there = lines.iter().map(|l| columns(l)).collect();
            }
            How::Plain(last) => {
                if last.elapsed() >= EVERY {
                    *last = Instant::now();
                    tell!("{}", line(view, &self.pace));
                }
            }
        }
    }

    /// Takes the picture away, so that something else can be said; it is drawn again below that.
    pub fn clear(&mut self) {
        if let (How::Bar(there), Some(now)) = (&mut self.how, size(stderr())) {
            let _ = stderr().write_all(away(there, now).as_bytes());
            there.clear();
        }
    }
}

/// What takes lines of so many columns away. The cursor is below them, not always at the left: what is typed is shown
/// there. Terminals break lines again when they become narrower. Line by line: a screen that is cleared whole is kept
/// by some terminals.
fn away(lines: &[usize], now: Size) -> String {
    let rows: usize = lines.iter().map(|columns| columns.div_ceil(now.width).max(1)).sum();
    if rows > 0 { format!("\r\x1b[K{}", "\x1b[A\x1b[K".repeat(rows)) } else { String::new() }
}

/// How the run is, in one line.
fn line(view: &RunView, pace: &Pace) -> String {
    let steps = view.steps.iter().map(|s| {
        let percent = s.done.map_or(String::new(), |done| format!(" ({})", percent(done)));
        format!("{} {}{percent}", flat(&s.step), number(s.taken))
    });
    let left = pace.left(view).map_or(String::new(), |left| format!(" · {left}"));
    let steps: Vec<String> = steps.collect();
    format!("{} · {}{left} · {}", view.report.flow, seconds(view.elapsed.as_secs_f64()), steps.join(" · "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_taken_away_whole_in_every_width() {
        let rows = |width| away(&[30, 62, 0], Size { width, height: 24 }).matches("\x1b[A\x1b[K").count();
        assert_eq!([80, 62, 61, 20].map(rows), [3, 3, 4, 7]);
        let one = away(&[5], Size { width: 80, height: 24 });
        assert_eq!(one, "\r\x1b[K\x1b[A\x1b[K", "what was typed goes, too");
        assert_eq!(away(&[], Size { width: 80, height: 24 }), "");
    }
}
