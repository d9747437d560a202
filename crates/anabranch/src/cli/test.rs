//! `anabranch test`

use super::args::{Args, FlowArg, Test as TestArgs};
use super::{Exit, place, print};
use crate::testing::{self, How, Test, Went, Wrong};
use anabranch_engine::{Error, Result};
use anabranch_flow::diagnostic::Severity;
use anabranch_flow::model::Flow;
use anabranch_flow::names::nearest;
use anabranch_flow::suite;
use anabranch_run::show::text::counted;
use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// How a test went, in all the ways that were asked for.
struct Tried {
    name: String,
    took: Duration,
    commits: u64,
    found: Vec<(String, Vec<String>)>,
    /// What was tried beside the plain run, in words.
    also: Vec<String>,
    wrong: Vec<(String, Wrong)>,
}

/// Runs the tests of a flow.
pub fn test(args: &Args, a: &TestArgs) -> Result<Exit> {
    let file = place::read(&a.flow)?;
    let Some(flow) = &file.checked.flow else {
        print::tell(&file.checked.draw(&file.name, &file.text));
        tell!("no test was run");
        return Ok(2);
    };
    let (tests, faults) = testing::of_text(&file.text, flow);
    faults.iter().for_each(|d| print::tell(&d.draw(&file.name, &file.text)));
    if faults.iter().any(|d| d.severity == Severity::Error) {
        tell!("{}; no test was run", counted(faults.len(), "error"));
        return Ok(2);
    }
    let chosen = chosen(&tests, a, &file.name)?;
    let mut all = vec![];
    for test in chosen {
        let Some(flow) = with_variables(&a.flow, test)? else { return Ok(2) };
        let tried = tried(&flow, test, a);
        if !args.json && (!args.quiet || !tried.wrong.is_empty()) {
            print::show_styled(&drawn(&tried), style);
        }
        all.push(tried);
    }
    let failed = all.iter().filter(|t| !t.wrong.is_empty()).count();
    if a.accept {
        return accept(args, a, &file.text, &all);
    }
    if let Some(path) = &a.junit {
        write(path, &junit(flow.name.as_str(), &all))?;
    }
    if args.json {
        let tests: Vec<Value> = all.iter().map(as_json).collect();
        print::document(&json!({ "schema": "anabranch.test/1", "flow": flow.name.as_str(), "tests": tests,
                                 "passed": all.len() - failed, "failed": failed }));
    } else if !args.quiet {
        say!("{}: {} passed, {failed} failed", counted(all.len(), "test"), all.len() - failed);
    }
    Ok(if failed > 0 { 1 } else { 0 })
}

/// Writes what came out into the flow file.
fn accept(args: &Args, a: &TestArgs, text: &str, all: &[Tried]) -> Result<Exit> {
    let found = all.iter().flat_map(|t| t.found.iter().map(|(s, items)| ((t.name.clone(), s.clone()), items.clone())));
    let accepted = suite::accepted(text, &found.collect());
    let path = &a.flow.flow;
    if accepted == text {
        if !args.quiet {
            tell!("{} expects that already", path.display());
        }
        return Ok(0);
    }
    write(path, &accepted)?;
    if !args.quiet {
        tell!("{} expects now what came out; look at the difference", path.display());
    }
    Ok(0)
}

/// The tests that are named, or all.
fn chosen<'t>(tests: &'t [Test], a: &TestArgs, file: &str) -> Result<Vec<&'t Test>> {
    let known = || tests.iter().map(|t| t.name.as_str());
    if tests.is_empty() {
        return Err(Error::usage(format!("{file} has no tests"))
            .help("write one:  tests: { NAME: { given: { STREAM: [ITEM] }, expect: { STREAM: [ITEM] } } }"));
    }
    if let Some(name) = a.names.iter().find(|name| known().all(|k| k != **name)) {
        let near = nearest(name, known()).map(|near| format!("did you mean {near}?"));
        let help = near.unwrap_or_else(|| format!("there are {}", known().collect::<Vec<_>>().join(", ")));
        return Err(Error::usage(format!("{file} has no test {name}")).help(help));
    }
    Ok(tests.iter().filter(|t| a.names.is_empty() || a.names.contains(&t.name)).collect())
}

/// The flow as it is with the variables of a test.
fn with_variables(arg: &FlowArg, test: &Test) -> Result<Option<Flow>> {
    let own = test.env.iter().map(|(name, value)| format!("{name}={value}"));
    let mut arg = arg.clone();
    arg.variables.env.extend(own);
    let file = place::read(&arg)?;
    if file.checked.flow.is_none() {
        print::tell(&file.checked.draw(&file.name, &file.text));
        tell!("with the variables of the test {} the flow cannot run", test.name);
    }
    Ok(file.checked.flow)
}

fn tried(flow: &Flow, test: &Test, a: &TestArgs) -> Tried {
    let began = Instant::now();
    let Went { wrong, commits, found } = testing::run(flow, test, How::default());
    let mut wrong: Vec<(String, Wrong)> = wrong.into_iter().map(|w| (String::new(), w)).collect();
    let mut also = vec![];
    if a.crash && wrong.is_empty() {
        let of = testing::crash(flow, test, commits);
        also.push(format!("killed behind each of {}", counted(commits as usize, "commit")));
        wrong.extend(of.into_iter().map(|(commit, w)| (format!("killed behind commit {commit}: "), w)));
    }
    if let Some(n) = a.shuffle.filter(|_| wrong.is_empty()) {
        also.push(format!("in {}", counted(n as usize, "order")));
        let of = testing::shuffle(flow, test, n);
        wrong.extend(of.into_iter().map(|(seed, w)| (format!("order {seed}: "), w)));
    }
    Tried { name: test.name.clone(), took: began.elapsed(), commits, found, also, wrong }
}

/// Faults of a test that are listed.
const LISTED: usize = 10;

fn drawn(tried: &Tried) -> String {
    let mark = if tried.wrong.is_empty() { "✓" } else { "✗" };
    let also: String = tried.also.iter().map(|also| format!(" · {also}")).collect();
    let mut out = format!("{mark} {}  {} ms{also}\n", tried.name, tried.took.as_millis());
    for (way, wrong) in tried.wrong.iter().take(LISTED) {
        let _ = writeln!(out, "    {way}{}", wrong.to_string().replace('\n', "\n    "));
    }
    let more = tried.wrong.len().saturating_sub(LISTED);
    if more > 0 {
        let _ = writeln!(out, "    and {more} more");
    }
    out
}

/// What is missing is red, what is there instead is green, as in a difference between two texts.
fn style(line: &str) -> Style {
    let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
    match line.trim_start().chars().next() {
        Some('✓' | '+') => colour(AnsiColor::Green),
        Some('✗' | '-') => colour(AnsiColor::Red),
        Some('~') => colour(AnsiColor::Yellow),
        _ => Style::new(),
    }
}

fn as_json(tried: &Tried) -> Value {
    let wrong = tried.wrong.iter().map(|(way, w)| {
        let lines = w.lines.iter().map(|line| json!({ "mark": line.mark.word(), "text": line.text }));
        json!({ "what": format!("{way}{}", w.what), "lines": lines.collect::<Vec<_>>() })
    });
    json!({ "name": tried.name, "passed": tried.wrong.is_empty(), "milliseconds": tried.took.as_millis() as u64,
            "commits": tried.commits, "also": tried.also, "wrong": wrong.collect::<Vec<_>>() })
}

/// The result as tools for continuous integration read it.
fn junit(flow: &str, all: &[Tried]) -> String {
    let seconds = |took: Duration| format!("{:.3}", took.as_secs_f64());
    let failed = all.iter().filter(|t| !t.wrong.is_empty()).count();
    let took = all.iter().map(|t| t.took).sum();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    let (name, n) = (escaped(flow), all.len());
    let _ =
        writeln!(out, "  <testsuite name=\"{name}\" tests=\"{n}\" failures=\"{failed}\" time=\"{}\">", seconds(took));
    for tried in all {
        let case = format!(
            "    <testcase classname=\"{name}\" name=\"{}\" time=\"{}\"",
            escaped(&tried.name),
            seconds(tried.took)
        );
        if tried.wrong.is_empty() {
            let _ = writeln!(out, "{case}/>");
            continue;
        }
        let _ = writeln!(out, "{case}>");
        for (way, wrong) in &tried.wrong {
            let (what, text) = (escaped(&format!("{way}{}", wrong.what)), escaped(&wrong.to_string()));
            let _ = writeln!(out, "      <failure message=\"{what}\">{text}</failure>");
        }
        out += "    </testcase>\n";
    }
    out + "  </testsuite>\n</testsuites>\n"
}

fn escaped(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !c.is_control() || *c == '\n').collect();
    plain.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|e| Error::machine(format!("cannot write {}: {e}", path.display())))
}
