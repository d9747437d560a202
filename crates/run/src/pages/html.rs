//! A report as a page: one file that needs nothing from outside, for a phone, a desk and paper, light and dark.

use crate::ledger::report::{Report, Status, StepLine};
use crate::piece::letter::DeadLetter;
use crate::piece::log::{ItemLog, Logged, keep_slowest};
use crate::show::report::{books_line, for_batch, outcome};
use crate::show::table::{number, or_dash, seconds};
use anabranch_flow::draw::{escaped, svg};
use anabranch_flow::model::Flow;
use std::collections::BTreeMap;
use std::fmt::Write;

/// What a page has beside the report.
#[derive(Debug, Default)]
pub struct Beside {
    /// Dead letters, the first of them, each with its log.
    pub letters: Vec<(DeadLetter, Option<ItemLog>)>,
    /// How many there are.
    pub all_letters: usize,
    /// How long calls took, by step.
    pub calls: BTreeMap<String, CallTimes>,
}

/// Slowest items that are named of a step.
const SLOWEST: usize = 10;

/// How long the calls of a step took that are logged.
#[derive(Debug, Default)]
pub struct CallTimes {
    /// Calls by the power of two of their milliseconds.
    buckets: BTreeMap<u32, u64>,
    /// The items whose calls took longest.
    slowest: Vec<ItemLog>,
}

impl Beside {
    /// Counts a log.
    pub fn add(&mut self, log: ItemLog) {
        let of = self.calls.entry(log.step.clone()).or_default();
        for call in &log.calls {
            let ms = (call.seconds * 1000.0).max(1.0) as u64;
            *of.buckets.entry(ms.ilog2()).or_default() += 1;
        }
        keep_slowest(&mut of.slowest, log, SLOWEST);
    }
}

const STYLE: &str = ":root{color-scheme:light dark;--bg:#fff;--ink:#1b1f24;--dim:#57606a;--rule:#d0d7de;--good:#1a7f37;--bad:#b42318;--wait:#8a5a00;\
--bar:#3d6ea5;--soft:#f6f8fa}\
@media(prefers-color-scheme:dark){:root{--bg:#0f141a;--ink:#e8ecf1;--dim:#a9b4c0;--rule:#303a45;--good:#5fd38a;--bad:#ff9d94;--wait:#f0c060;--bar:#6ea8e6;--soft:#171e26}}\
*{box-sizing:border-box}body{margin:0 auto;max-width:70rem;padding:1.2rem;background:var(--bg);color:var(--ink);\
font:15px/1.5 ui-sans-serif,system-ui,sans-serif}h1{font-size:1.5rem;margin:.2rem 0}h2{font-size:1.1rem;margin:2rem 0 .5rem;\
border-bottom:1px solid var(--rule);padding-bottom:.2rem}.dim{color:var(--dim)}.good{color:var(--good)}.bad{color:var(--bad)}.wait{color:var(--wait)}\
.wide{overflow-x:auto}.wide svg{max-width:none}table{border-collapse:collapse;width:100%}th,td{padding:.25rem .7rem .25rem 0;text-align:left;\
white-space:nowrap;border-bottom:1px solid var(--rule)}th{color:var(--dim);font-weight:600}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\
.row{display:grid;grid-template-columns:minmax(6rem,14rem) 1fr minmax(4rem,7rem);gap:.6rem;align-items:center;margin:.2rem 0}\
.row>span{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}.track{position:relative;height:.9rem;background:var(--soft);border-radius:3px}\
.track i{position:absolute;top:0;bottom:0;min-width:2px;background:var(--bar);border-radius:3px}pre{background:var(--soft);padding:.6rem;\
margin:.3rem 0;overflow:auto;max-height:22rem;white-space:pre-wrap;overflow-wrap:anywhere;font-size:13px}article{margin:1rem 0}\
@media(max-width:600px){.row{grid-template-columns:7rem 1fr 4rem}}\
@media print{body{max-width:none;padding:0}pre{max-height:none}.wide{overflow:visible}.wide svg{max-width:100%;height:auto}}";

/// The page.
pub fn page(r: &Report, flow: Option<&Flow>, beside: &Beside) -> String {
    let mut out = String::new();
    let title = escaped(&format!("{} · run {}", r.flow, r.run));
    let _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>{title}</title><style>{STYLE}</style></head><body><main><h1>{title}</h1>"
    );
    head(r, &mut out);
    if let Some(flow) = flow {
        let notes = r.steps.iter().map(|s| (s.step.clone(), note(s))).collect();
        let _ = write!(out, "<h2>The flow</h2><div class=\"wide\">{}</div>", svg(flow, &notes));
    }
    steps(r, &mut out);
    times(r, &mut out);
    calls(beside, &mut out);
    letters(beside, &mut out);
    out + "</main></body></html>\n"
}

fn head(r: &Report, out: &mut String) {
    let class = match r.status {
        Status::Done => "good",
        Status::Failed | Status::Abandoned => "bad",
        Status::Open | Status::Held | Status::DoneWithDeadLetters => "wait",
    };
    let batch = if r.is_repair() { format!(" ·{}", for_batch(r)) } else { String::new() };
    let _ = write!(
        out,
        "<p><strong class=\"{class}\">{}</strong>{batch} <span class=\"dim\">· began {} · took {} · exit {}</span></p>",
        escaped(&outcome(r)),
        escaped(&r.started),
        seconds(r.seconds),
        r.exit
    );
    let balance = if r.balanced { "good\">balanced ✓" } else { "bad\">NOT BALANCED" };
    let _ = write!(out, "<p><span class=\"{balance}</span> {}</p>", escaped(&books_line(r)));
    for line in &r.imbalance {
        let _ = write!(out, "<p class=\"bad\">✗ {}</p>", escaped(line));
    }
    for line in &r.notes {
        let _ = write!(out, "<p>note: {}</p>", escaped(line));
    }
}

/// What the picture says of a step.
fn note(s: &StepLine) -> String {
    match &s.gate {
        Some(gate) if gate.is_shut() => format!("◆ {} of {} failed", gate.failed, gate.of),
        _ => {
            let dead = if s.dead > 0 { format!(", {} dead", number(s.dead)) } else { String::new() };
            format!("{} taken{dead}", number(s.taken))
        }
    }
}

fn steps(r: &Report, out: &mut String) {
    *out += "<h2>Steps</h2><div class=\"wide\"><table><tr><th>step</th>";
    for head in ["taken", "passed", "filtered", "folded", "skipped", "dead", "waiting"] {
        let _ = write!(out, "<th class=\"n\">{head}</th>");
    }
    *out += "<th>gate</th></tr>";
    for s in &r.steps {
        let _ = write!(out, "<tr><td>{}</td>", escaped(&s.step));
        for n in [s.taken, s.passed, s.filtered, s.folded, s.skipped, s.dead, s.waiting] {
            let _ = write!(out, "<td class=\"n\">{}</td>", or_dash(n));
        }
        let gate = s.gate.as_ref().map(ToString::to_string).unwrap_or_default();
        let _ = write!(out, "<td>{}</td></tr>", escaped(&gate));
    }
    *out += "</table></div>";
    if !r.sinks.is_empty() {
        *out += "<h2>Files</h2><div class=\"wide\"><table><tr><th>file</th><th class=\"n\">items</th><th class=\"n\">bytes</th></tr>";
        for s in &r.sinks {
            let (path, items, bytes) = (escaped(&s.path), number(s.items), number(s.bytes));
            let _ = write!(out, "<tr><td>{path}</td><td class=\"n\">{items}</td><td class=\"n\">{bytes}</td></tr>");
        }
        *out += "</table></div>";
    }
}

fn row(out: &mut String, name: &str, (left, width): (f64, f64), text: &str) {
    let bar = match width > 0.0 {
        true => format!("<i style=\"left:{left:.1}%;width:{width:.1}%\"></i>"),
        false => String::new(),
    };
    let (name, text) = (escaped(name), escaped(text));
    let _ = write!(
        out,
        "<div class=\"row\"><span>{name}</span><div class=\"track\">{bar}</div><span class=\"dim\">{text}</span></div>"
    );
}

/// When each step worked.
fn times(r: &Report, out: &mut String) {
    let of = |s: &StepLine| Some((s.step.clone(), s.began?, s.ended?));
    let all: Vec<(String, i64, i64)> = r.steps.iter().filter_map(of).collect();
    let (Some(first), Some(last)) = (all.iter().map(|(_, a, _)| *a).min(), all.iter().map(|(.., b)| *b).max()) else {
        return;
    };
    *out += "<h2>Time line</h2>";
    let share = |ms: i64| 100.0 * (ms - first) as f64 / (last - first).max(1) as f64;
    for (step, began, ended) in all {
        let took = seconds((ended - began) as f64 / 1000.0);
        row(out, &step, (share(began).min(99.5), (share(ended) - share(began)).max(0.5)), &took);
    }
    *out += "<p class=\"dim\">As the process saw it that ended the run: a step begins with the first items that are committed of it.</p>";
}

fn calls(beside: &Beside, out: &mut String) {
    for (step, of) in &beside.calls {
        let _ = write!(out, "<h2>Calls of {}</h2>", escaped(step));
        let most = of.buckets.values().max().copied().unwrap_or(1).max(1);
        for power in of.buckets.keys().min().copied().unwrap_or(0)..=of.buckets.keys().max().copied().unwrap_or(0) {
            let n = of.buckets.get(&power).copied().unwrap_or(0);
            let ms = |power: u32| seconds((1u64 << power) as f64 / 1000.0);
            row(out, &format!("{} to {}", ms(power), ms(power + 1)), (0.0, 100.0 * n as f64 / most as f64), &number(n));
        }
        *out +=
            "<div class=\"wide\"><table><tr><th>slowest</th><th class=\"n\">took</th><th class=\"n\">calls</th></tr>";
        for log in &of.slowest {
            let (id, took, calls) = (escaped(log.name()), seconds(log.seconds()), log.calls.len());
            let _ = write!(out, "<tr><td>{id}</td><td class=\"n\">{took}</td><td class=\"n\">{calls}</td></tr>");
        }
        *out += "</table></div><p class=\"dim\">Of the calls that are logged: those of failed items, or, with <code>logs: all</code>, of all.</p>";
    }
}

fn letters(beside: &Beside, out: &mut String) {
    if beside.letters.is_empty() {
        return;
    }
    *out += "<h2>Dead letters</h2>";
    for (letter, log) in &beside.letters {
        let failed = &letter.failed;
        let value = failed.item.value.as_deref().unwrap_or_default();
        let value = String::from_utf8_lossy(&value[..value.len().min(SHOWN_BYTES)]);
        let _ = write!(
            out,
            "<article><strong>{}</strong> <span class=\"dim\">at {} · attempt {} · {}</span><br><span class=\"bad\">{}</span><pre>{}</pre>",
            escaped(&letter.id),
            escaped(&failed.step),
            failed.reason.attempts,
            escaped(&failed.reason.place),
            escaped(&failed.reason.error),
            escaped(&value)
        );
        for Logged { attempt, seconds: took, status, stderr, stdout, .. } in log.iter().flat_map(|log| &log.calls) {
            let status = status.as_ref().map_or(String::new(), |s| format!(" · {s}"));
            let _ =
                write!(out, "<span class=\"dim\">attempt {attempt} · {}{}</span>", seconds(*took), escaped(&status));
            for text in [stderr, stdout].into_iter().filter(|t| !t.is_empty()) {
                let _ = write!(out, "<pre>{}</pre>", escaped(text));
            }
        }
        *out += "</article>";
    }
    let left = beside.all_letters.saturating_sub(beside.letters.len());
    if left > 0 {
        let _ = write!(out, "<p>… and {} more: <code>anabranch dead list</code></p>", number(left as u64));
    }
}

/// Bytes of an item that are shown.
const SHOWN_BYTES: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// How bright a colour is, by WCAG 2.2.
    fn luminance(hex: &str) -> f64 {
        let hex: String = if hex.len() == 3 { hex.chars().flat_map(|c| [c, c]).collect() } else { hex.into() };
        let part = |i: usize| {
            let c = f64::from(u8::from_str_radix(&hex[i..i + 2], 16).expect("a colour")) / 255.0;
            if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(0) + 0.7152 * part(2) + 0.0722 * part(4)
    }

    #[test]
    fn text_is_readable_in_the_light_and_in_the_dark() {
        for palette in
            STYLE.split("--bg:").skip(1).map(|rest| format!("--bg:{}", rest.split('}').next().unwrap_or_default()))
        {
            let colour = |name: &str| {
                let rest = palette.split(&format!("{name}:#")).nth(1).unwrap_or_else(|| panic!("{name} in {palette}"));
                luminance(rest.split(';').next().unwrap_or_default())
            };
            for (ink, ground) in ["--ink", "--dim", "--good", "--bad", "--wait"]
                .into_iter()
                .zip(["--bg"; 5])
                .chain([("--ink", "--soft")])
            {
                let (a, b) = (colour(ink), colour(ground));
                let ratio = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                assert!(ratio >= 4.5, "{ink} on {ground}: {ratio:.1}");
            }
        }
    }

    #[test]
    fn calls_are_counted_by_how_long_they_took() {
        let call = |seconds| Logged {
            attempt: 1,
            began: 0,
            seconds,
            status: None,
            stderr: String::new(),
            stdout: String::new(),
        };
        let mut beside = Beside::default();
        for n in 0..20 {
            let (step, id) = ("s".to_string(), format!("<{n}>"));
            let calls = vec![call(f64::from(n) / 1000.0), call(0.5)];
            beside.add(ItemLog { letter: None, step, run: 1, id, place: String::new(), error: None, calls });
        }
        let of = &beside.calls["s"];
        assert_eq!((of.buckets[&0], of.buckets[&4], of.buckets[&8]), (2, 4, 20));
        assert_eq!((of.slowest.len(), of.slowest[0].name()), (SLOWEST, "<19>"));
        let mut out = String::new();
        calls(&beside, &mut out);
        assert!(out.contains("&lt;19&gt;") && !out.contains("<19>"), "{out}");
    }
}
