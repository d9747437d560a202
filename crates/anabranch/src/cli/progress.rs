//! What is shown on standard error while a run works.

use super::print;
use super::table::{number, seconds};
use anabranch_flow::run::RunView;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Shows progress as a redrawn picture, or as a line now and then.
pub enum Progress {
    /// Redrawn in place; how many lines stand there now.
    Bar(usize),
    /// A line every ten seconds; when the last one was.
    Plain(Instant),
    /// Nothing.
    None,
}

const EVERY: Duration = Duration::from_secs(10);
const CELLS: usize = 20;

impl Progress {
    /// As it was asked for; `auto` looks whether a person can see it.
    pub fn new(how: &str, quiet: bool) -> Progress {
        let person = std::io::stderr().is_terminal();
        match how {
            _ if quiet => Progress::None,
            "none" => Progress::None,
            "bar" => Progress::Bar(0),
            "auto" if person => Progress::Bar(0),
            _ => Progress::Plain(Instant::now()),
        }
    }

    /// Shows how the run is.
    pub fn show(&mut self, view: &RunView) {
        match self {
            Progress::None => {}
            Progress::Bar(_) if view.elapsed < Duration::from_millis(300) => {}
            Progress::Bar(lines) => {
                let text = print::plain(&draw(view)).into_owned();
                let up = if *lines > 0 { format!("\x1b[{lines}A\x1b[J") } else { String::new() };
                let _ = write!(std::io::stderr(), "{up}{text}");
                *lines = text.lines().count();
            }
            Progress::Plain(last) => {
                if last.elapsed() >= EVERY {
                    *last = Instant::now();
                    let steps: Vec<String> =
                        view.steps.iter().map(|s| format!("{} {}", s.step, number(s.taken))).collect();
                    tell!("{} · {} · {}", view.flow, seconds(view.elapsed.as_secs_f64()), steps.join(" · "));
                }
            }
        }
    }

    /// Takes the picture away.
    pub fn clear(&mut self) {
        if let Progress::Bar(lines @ 1..) = self {
            let _ = write!(std::io::stderr(), "\x1b[{lines}A\x1b[J");
            *lines = 0;
        }
    }
}

/// The picture of a run at work.
fn draw(view: &RunView) -> String {
    let mut out = format!("{} · run {}\n", view.flow, view.run);
    let width = view.steps.iter().map(|s| s.step.chars().count()).max().unwrap_or(0);
    let working = |s: &&anabranch_flow::run::view::StepView| !s.finished && !s.waits && s.share.is_some();
    let slowest = view
        .steps
        .iter()
        .filter(working)
        .min_by(|a, b| a.share.partial_cmp(&b.share).unwrap_or(std::cmp::Ordering::Equal));
    for s in &view.steps {
        let pad = " ".repeat(width - s.step.chars().count());
        let state = if s.waits && s.share.is_none() {
            format!("◇ waiting, {} so far", number(s.taken))
        } else {
            let rate = s.taken as f64 / view.elapsed.as_secs_f64().max(0.001);
            let mark = if slowest.is_some_and(|slow| slow.step == s.step) { "   ◀ slowest" } else { "" };
            format!("{} {:>12}  {:>9}/s{mark}", bar(s.share.unwrap_or(0.0)), number(s.taken), number(rate as u64))
        };
        out += &format!("  {}{pad}  {state}\n", s.step);
    }
    out + &format!(
        "  {} · {} · Ctrl-C stops safely\n",
        seconds(view.elapsed.as_secs_f64()),
        super::check::counted(view.dead as usize, "dead letter")
    )
}

fn bar(share: f64) -> String {
    const PARTS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = (share.clamp(0.0, 1.0) * (CELLS * 8) as f64) as usize;
    let mut out = "█".repeat(eighths / 8);
    if eighths / 8 < CELLS {
        out.push(PARTS[eighths % 8]);
    }
    let pad = CELLS.saturating_sub(out.chars().count());
    out + &" ".repeat(pad)
}
