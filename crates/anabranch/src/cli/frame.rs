//! The picture of a run at work: lines that fit the terminal.

use super::screen::Size;
use anabranch_run::show::table::{number, seconds};
use anabranch_run::show::text::counted;
use anabranch_run::show::text::{columns, cut, flat};
use anabranch_run::{RunView, StepView};
use std::cmp::Ordering;
use std::time::Duration;

const CELLS: usize = 20;
const FEW_CELLS: usize = 5;
const MARKS: [&str; 3] = ["   ◀ slowest", "  ◀", ""];

/// How a run was when this process took it up: an open run is far already then.
#[derive(Debug, Default)]
pub struct Pace {
    begun: Option<(Duration, Vec<Begun>)>,
}

/// What a step had taken, and how far it was.
type Begun = (u64, Option<f64>);

impl Pace {
    /// Looks at a run; the first look counts.
    pub fn see(&mut self, view: &RunView) {
        let steps = || view.steps.iter().map(|s| (s.taken, s.done)).collect();
        self.begun.get_or_insert_with(|| (view.elapsed, steps()));
    }

    /// Items in a second.
    fn rate(&self, view: &RunView, step: usize) -> u64 {
        let begun = self.begun.as_ref().and_then(|(at, steps)| Some((*at, steps.get(step)?.0)));
        let (at, taken) = begun.unwrap_or_default();
        let passed = view.elapsed.saturating_sub(at).as_secs_f64();
        (view.steps[step].taken.saturating_sub(taken) as f64 / passed.max(0.1)) as u64
    }

    /// `about 10 s left`; `at least`, where some steps do not know yet what will come.
    pub fn left(&self, view: &RunView) -> Option<String> {
        let (at, steps) = self.begun.as_ref()?;
        let passed = view.elapsed.saturating_sub(*at);
        let working = || view.steps.iter().zip(steps).filter(|(s, _)| !s.finished);
        let left = working().filter_map(|(s, (_, begun))| {
            let (done, begun) = (s.done?, begun.unwrap_or(0.0));
            (done > begun).then(|| passed.as_secs_f64() * (1.0 - done) / (done - begun))
        });
        let left = left.max_by(f64::total_cmp).filter(|_| passed >= Duration::from_secs(1))?;
        let all = working().all(|(s, _)| s.done.is_some() || is_gate(s));
        Some(format!("{} {} left", if all { "about" } else { "at least" }, roughly(left)))
    }
}

/// Whether a step is a gate that waits, and has nothing to do itself.
fn is_gate(step: &StepView) -> bool {
    step.waits && step.share.is_none()
}

/// A time as nobody needs it more exactly.
fn roughly(s: f64) -> String {
    match s.round().max(1.0) as u64 {
        s if s < 60 => format!("{s} s"),
        s if s < 600 => format!("{} min {} s", s / 60, s % 60 / 10 * 10),
        s if s < 7200 => format!("{} min", s / 60),
        s => format!("{} h", s / 3600),
    }
}

/// `71%`; all is not done before it is.
pub fn percent(share: f64) -> String {
    format!("{}%", (share.clamp(0.0, 1.0) * 100.0).floor())
}

/// The picture. Its lines are shorter than the terminal is wide, and fewer than it has rows: the cursor stands below.
pub fn draw(view: &RunView, pace: &Pace, size: Size) -> Vec<String> {
    let (width, rows) = (size.width.saturating_sub(1), size.height.saturating_sub(1));
    let room = rows.saturating_sub(2);
    let shown = kept(view, room);
    let mut lines = vec![format!("{} · run {}", flat(&view.report.flow), view.report.run)];
    lines.extend(steps(view, pace, &shown, width));
    if shown.len() < view.steps.len() && room > shown.len() {
        lines.push(format!("  … and {} more", view.steps.len() - shown.len()));
    }
    let mut end = vec![seconds(view.elapsed.as_secs_f64()), counted(view.dead as usize, "dead letter")];
    end.extend(pace.left(view));
    end.push("Ctrl-C stops safely".into());
    lines.push(format!("  {}", end.join(" · ")));
    lines.truncate(rows);
    lines.iter().map(|l| cut(l, width)).collect()
}

/// The steps for which there is room, in the order of the flow: those that work before those that wait or have finished,
/// the slowest first.
fn kept(view: &RunView, room: usize) -> Vec<usize> {
    let mut steps: Vec<usize> = (0..view.steps.len()).collect();
    if steps.len() > room {
        let by = |a: &StepView, b: &StepView| {
            let order = (a.finished, a.waits).cmp(&(b.finished, b.waits));
            order.then_with(|| by_share(a, b))
        };
        steps.sort_by(|a, b| by(&view.steps[*a], &view.steps[*b]));
        steps.truncate(if room > 1 { room - 1 } else { room });
        steps.sort_unstable();
    }
    steps
}

fn by_share(a: &StepView, b: &StepView) -> Ordering {
    a.share.unwrap_or(1.0).total_cmp(&b.share.unwrap_or(1.0))
}

/// A line for each step: columns as wide as they must be, the bar as wide as it can be.
fn steps(view: &RunView, pace: &Pace, shown: &[usize], width: usize) -> Vec<String> {
    let names: Vec<String> = shown.iter().map(|s| cut(&flat(&view.steps[*s].step), (width / 3).max(8))).collect();
    let counts: Vec<String> = shown.iter().map(|s| count(&view.steps[*s])).collect();
    let rates: Vec<String> = shown.iter().map(|s| format!("{}/s", number(pace.rate(view, *s)))).collect();
    let widest = |of: &[String], least| of.iter().map(|t| columns(t)).max().unwrap_or(0).max(least);
    let (name_width, count_width, rate_width) = (widest(&names, 0), widest(&counts, 9), widest(&rates, 8));
    let free = width.saturating_sub(2 + name_width + 2 + 4 + 2 + count_width + 2 + rate_width);
    let fits = |mark: &&&str| free >= columns(mark) + if **mark == MARKS[0] { FEW_CELLS + 2 } else { 0 };
    let mark = MARKS.iter().find(fits).unwrap_or(&MARKS[2]);
    let cells = free.saturating_sub(columns(mark) + 2).min(CELLS);
    let works = |s: &&usize| !view.steps[**s].finished && !view.steps[**s].waits && view.steps[**s].share.is_some();
    let slowest = shown.iter().filter(works).min_by(|a, b| by_share(&view.steps[**a], &view.steps[**b]));
    let line = |(at, s): (usize, &usize)| {
        let step = &view.steps[*s];
        let name = left(&names[at], name_width);
        if is_gate(step) {
            return format!("  {name}  ◇ waiting, {} so far", number(step.taken));
        }
        let how_far = if step.finished { Some(1.0) } else { step.done.or(step.share) };
        let bar = if cells < FEW_CELLS { String::new() } else { bar(how_far.unwrap_or(0.0), cells) + "  " };
        let percent = step.done.map_or(String::new(), percent);
        let (count, rate) = (right(&counts[at], count_width), right(&rates[at], rate_width));
        let mark = if slowest == Some(s) { mark } else { "" };
        format!("  {name}  {bar}{percent:>4}  {count}  {rate}{mark}")
    };
    shown.iter().enumerate().map(line).collect()
}

/// `712 / 960`: taken, and there by now.
fn count(step: &StepView) -> String {
    let there = step.there.filter(|there| *there > step.taken);
    number(step.taken) + &there.map_or(String::new(), |n| format!(" / {}", number(n)))
}

fn left(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

fn right(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width.saturating_sub(columns(text))))
}

fn bar(share: f64, cells: usize) -> String {
    const PARTS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = (share.clamp(0.0, 1.0) * (cells * 8) as f64) as usize;
    let mut out = "█".repeat(eighths / 8);
    if eighths / 8 < cells {
        out.push(PARTS[eighths % 8]);
    }
    left(&out, cells)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn view(steps: Vec<StepView>) -> RunView {
        let report = json!({
            "schema": "", "flow": "photos", "run": 7, "status": "open", "exit": 1, "balanced": true, "seconds": 24.0, "steps": [],
            "sinks": [], "dead": [], "imbalance": [], "notes": [],
            "books": { "read": 0, "added": 0, "stored": 0, "ended": 0, "filtered": 0, "folded": 0, "skipped": 0, "dead": 0, "waiting": 0 },
        });
        let report = serde_json::from_value(report).expect("a report");
        RunView { elapsed: Duration::from_secs(24), report, steps, edges: vec![], dead: 0 }
    }

    fn step(name: &str, taken: u64, share: f64, done: f64) -> StepView {
        StepView { step: name.into(), taken, share: Some(share), done: Some(done), ..StepView::default() }
    }

    fn photos() -> RunView {
        let blurred = StepView { there: Some(960), ..step("blurred", 712, 0.74, 0.712) };
        let gate = StepView { step: "all-blurred".into(), taken: 712, waits: true, ..StepView::default() };
        view(vec![step("plates", 960, 0.96, 0.96), blurred, gate])
    }

    fn since_the_start(view: &RunView) -> Pace {
        let steps = view.steps.iter().map(|_| (0, Some(0.0))).collect();
        Pace { begun: Some((Duration::ZERO, steps)) }
    }

    fn drawn(view: &RunView, width: usize, height: usize) -> Vec<String> {
        draw(view, &since_the_start(view), Size { width, height })
    }

    #[test]
    fn a_run_is_drawn_in_the_width_there_is() {
        let wide = [
            "photos · run 7",
            "  plates       ███████████████████▏   96%        960      40/s",
            "  blurred      ██████████████▏        71%  712 / 960      29/s   ◀ slowest",
            "  all-blurred  ◇ waiting, 712 so far",
            "  24.0 s · 0 dead letters · about 10 s left · Ctrl-C stops safely",
        ];
        assert_eq!(drawn(&photos(), 200, 24), wide);
        assert_eq!(drawn(&photos(), 80, 24), wide);
        let narrow = [
            "photos · run 7",
            "  plates       ████████▋   96%        960      40/s",
            "  blurred      ██████▍     71%  712 / 960      29/s   ◀ slowest",
            "  all-blurred  ◇ waiting, 712 so far",
            "  24.0 s · 0 dead letters · about 10 s left · Ctrl-C stops saf…",
        ];
        assert_eq!(drawn(&photos(), 64, 24), narrow);
        let slim = [
            "photos · run 7",
            "  plates        96%        960      40/s",
            "  blurred       71%  712 / 960      29/s  ◀",
            "  all-blurred  ◇ waiting, 712 so far",
            "  24.0 s · 0 dead letters · about 10 s left …",
        ];
        assert_eq!(drawn(&photos(), 46, 24), slim);
    }

    #[test]
    fn no_line_reaches_the_edge_and_no_picture_fills_the_screen() {
        let long = |n: usize| format!("a-very-long-name-of-a-step-{n}-日本語のとても長い名前-🙂🙂🙂");
        let steps = |n| (0..n).map(|i| step(&long(i), 1_234_567_890_123, 0.5, 0.25)).collect();
        for n in [1, 2, 5, 40] {
            let view = view(steps(n));
            for width in 1..130 {
                for height in [1, 2, 3, 4, 5, 6, 10, 41, 43, 50] {
                    let lines = drawn(&view, width, height);
                    assert!(lines.len() < height, "{} lines at {width} × {height}", lines.len());
                    assert!(lines.iter().all(|l| columns(l) < width), "{lines:#?} at {width} × {height}");
                }
            }
        }
    }

    #[test]
    fn where_rows_lack_the_slowest_that_work_are_kept_and_the_others_counted() {
        let mut steps: Vec<StepView> = (0..9).map(|i| step(&format!("s{i}"), 10, 0.9 - i as f64 / 10.0, 0.1)).collect();
        steps[8].finished = true;
        steps[7].waits = true;
        let names = |height| {
            let lines = drawn(&view(steps.clone()), 80, height);
            let inner = lines[1..lines.len() - 1].iter();
            inner
                .map(|l| l.trim().chars().take_while(|c| *c != ' ' || l.contains('…')).collect())
                .collect::<Vec<String>>()
        };
        assert_eq!(names(12).len(), 9);
        assert_eq!(names(11), ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "… and 2 more"]);
        assert_eq!(names(6), ["s5", "s6", "… and 7 more"]);
        assert_eq!(names(5), ["s6", "… and 8 more"]);
        assert_eq!(names(4), ["s6"]);
    }

    #[test]
    fn what_is_behind_a_gate_is_not_left_out_of_what_is_left() {
        let mut photos = photos();
        photos.steps.push(StepView { step: "deleted".into(), share: None, ..StepView::default() });
        let last = drawn(&photos, 80, 24).pop().unwrap();
        assert_eq!(last, "  24.0 s · 0 dead letters · at least 10 s left · Ctrl-C stops safely");
    }

    #[test]
    fn what_is_left_counts_from_where_this_process_began() {
        let mut pace = Pace::default();
        pace.see(&view(vec![step("a", 1000, 0.5, 0.5)]));
        let mut later = view(vec![step("a", 1200, 0.6, 0.6)]);
        later.elapsed += Duration::from_secs(10);
        assert_eq!(pace.left(&later).as_deref(), Some("about 40 s left"));
        assert_eq!(pace.rate(&later, 0), 20);
        later.steps[0].finished = true;
        assert_eq!(pace.left(&later), None);
        assert_eq!(
            [0.2, 59.2, 61.0, 125.0, 3600.0, 9000.0].map(roughly),
            ["1 s", "59 s", "1 min 0 s", "2 min 0 s", "60 min", "2 h"]
        );
    }
}
