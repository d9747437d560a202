//! `anabranch logs`: what the calls for items wrote.

use super::args::{Args, FlowArg, Logs};
use super::letters::Out;
use super::{Exit, place};
use anabranch_engine::{Admin, At, Error, Result, StreamName, items};
use anabranch_flow::model::{Flow, Step};
use anabranch_flow::names::nearest;
use anabranch_run::show::table::seconds;
use anabranch_run::{DeadLetter, ItemLog, keep_slowest, logs_of, saved_report};
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufWriter, stdout};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// How often is looked for more.
const LOOK: Duration = Duration::from_millis(200);
/// Logs that are shown if nothing else is said.
const SHOWN: usize = 100;

/// Prints what the calls for items wrote.
pub fn logs(args: &Args, a: &Logs) -> Result<Exit> {
    let (arg, rest) = parts(a);
    let Some(flow) = place::flow(args, &arg)? else { return Ok(2) };
    let (step, id) = which(&flow, &rest)?;
    let engine = place::engine_of(args, &arg.flow)?;
    let stream = logs_of(&flow.name)?;
    let is_wanted = |log: &ItemLog| {
        let named = |id: &str| log.letter.as_deref() == Some(id) || log.id == id || log.place.ends_with(id);
        step.is_none_or(|step| log.step == step)
            && id.is_none_or(named)
            && (!a.failed || log.error.is_some())
            && a.run.is_none_or(|run| log.run == run)
    };
    if engine.partitions(&stream)?.is_none() {
        tell!("{}", nothing(&flow));
        return Ok(0);
    }
    let reading = Reading { engine: &*engine, stream: &stream, is_wanted: &is_wanted, json: args.json };
    let mut seen = BTreeMap::new();
    match (a.slowest, a.max) {
        (Some(most), _) => reading.slowest(most),
        (None, most) if !args.json && !a.follow => reading.newest(most.unwrap_or(SHOWN)),
        _ => reading.all(&mut seen),
    }?;
    if a.follow {
        loop {
            engine.wait(LOOK);
            reading.all(&mut seen)?;
        }
    }
    Ok(0)
}

/// What is read, and how it is printed.
struct Reading<'r> {
    engine: &'r dyn Admin,
    stream: &'r StreamName,
    is_wanted: &'r dyn Fn(&ItemLog) -> bool,
    json: bool,
}

impl Reading<'_> {
    /// All that were not seen yet.
    fn all(&self, seen: &mut BTreeMap<u32, i64>) -> Result<()> {
        let mut out = Out::new(BufWriter::new(stdout()));
        each(self.engine, self.stream, seen, |log| match (self.is_wanted)(&log) {
            true => print(&mut out, &log, self.json),
            false => Ok(()),
        })?;
        out.finish()
    }

    /// Those whose calls took longest.
    fn slowest(&self, most: usize) -> Result<()> {
        let mut slowest: Vec<ItemLog> = vec![];
        each(self.engine, self.stream, &mut BTreeMap::new(), |log| {
            if (self.is_wanted)(&log) {
                keep_slowest(&mut slowest, log, most);
            }
            Ok(())
        })?;
        self.print(slowest.iter())
    }

    /// The last ones.
    fn newest(&self, most: usize) -> Result<()> {
        let (mut newest, mut left_out) = (VecDeque::new(), 0);
        each(self.engine, self.stream, &mut BTreeMap::new(), |log| {
            if (self.is_wanted)(&log) {
                newest.push_back(log);
            }
            if newest.len() > most {
                newest.pop_front();
                left_out += 1;
            }
            Ok(())
        })?;
        if newest.is_empty() {
            tell!("nothing of that is logged");
        }
        self.print(newest.iter())?;
        if left_out > 0 {
            tell!("{left_out} older ones are not shown:  --max N");
        }
        Ok(())
    }

    fn print<'l>(&self, mut logs: impl Iterator<Item = &'l ItemLog>) -> Result<()> {
        let mut out = Out::new(BufWriter::new(stdout()));
        logs.try_for_each(|log| print(&mut out, log, self.json))?;
        out.finish()
    }
}

/// Flow, then step, then id: what is a file or looks like one is the flow.
fn parts(a: &Logs) -> (FlowArg, Vec<String>) {
    let is_flow = |text: &String| Path::new(text).is_file() || text.ends_with(".yaml") || text.ends_with(".yml");
    a.variables.flow(&a.what, is_flow)
}

/// The step and the id that are meant.
fn which<'w>(flow: &'w Flow, rest: &'w [String]) -> Result<(Option<&'w str>, Option<&'w str>)> {
    let is_step = |text: &str| flow.step_no(text).is_some();
    match rest {
        [] => Ok((None, None)),
        [one] if is_step(one) => Ok((Some(one), None)),
        [step, id] if is_step(step) => Ok((Some(step), Some(id))),
        [one] if one.contains(['-', '/', '@', ':']) => Ok((None, Some(one))),
        [one, ..] => {
            let near = nearest(one, flow.steps.iter().map(|s| s.name.as_str()));
            let near = near.map_or("anabranch logs [FLOW] [STEP] [ID]".into(), |near| format!("did you mean {near}?"));
            Err(Error::usage(format!("{} has no step {one}", flow.name)).help(near))
        }
    }
}

fn nothing(flow: &Flow) -> String {
    match flow.steps.iter().any(Step::logs) {
        true => format!("{} has logged nothing yet", flow.name),
        false => format!("no step of {} logs what its calls write", flow.name),
    }
}

/// Every log behind what was seen.
fn each(
    engine: &dyn Admin,
    stream: &StreamName,
    seen: &mut BTreeMap<u32, i64>,
    mut f: impl FnMut(ItemLog) -> Result<()>,
) -> Result<()> {
    for (p, span) in engine.span(stream)?.into_iter().enumerate() {
        let from = seen.get(&(p as u32)).copied().unwrap_or(span.start).max(span.start);
        let at = At { stream: stream.clone(), partition: p as u32, offset: from };
        let mut behind = span.end.max(from);
        let _ = items(engine, at, span.end, |offset, item| {
            behind = behind.max(offset + 1);
            ItemLog::read(&item).map_or(Ok(()), &mut f).map(ControlFlow::Continue)
        })?;
        seen.insert(p as u32, behind);
    }
    Ok(())
}

fn print(out: &mut Out<BufWriter<std::io::Stdout>>, log: &ItemLog, json: bool) -> Result<()> {
    if json {
        let line = serde_json::to_string(log).unwrap_or_default();
        return out.raw(&(line + "\n")).map(drop);
    }
    let how =
        log.error.as_ref().map_or("passed".into(), |e| format!("failed: {}", e.lines().next().unwrap_or_default()));
    out.plain(&format!("{} · {} · run {} · {how}\n  {}\n", log.name(), log.step, log.run, log.place))?;
    calls(log).into_iter().try_for_each(|line| out.plain(&(line + "\n")).map(drop))
}

/// The calls of a log, as lines.
pub fn calls(log: &ItemLog) -> Vec<String> {
    let mut lines = vec![];
    for call in &log.calls {
        let began = jiff::Timestamp::from_millisecond(call.began).unwrap_or_default();
        let status = call.status.as_ref().map_or(String::new(), |status| format!(" · {status}"));
        let began = began.strftime("%Y-%m-%d %H:%M:%S");
        lines.push(format!("  attempt {} · {began} · {}{status}", call.attempt, seconds(call.seconds)));
        lines.extend(call.stderr.lines().map(|line| format!("    | {line}")));
        if !call.stdout.is_empty() {
            lines.push("    standard output:".into());
            lines.extend(call.stdout.lines().map(|line| format!("    | {line}")));
        }
    }
    lines
}

/// The logs of a run, and of those behind it.
pub fn each_from(engine: &dyn Admin, flow: &Flow, run: u64, f: impl FnMut(ItemLog) -> Result<()>) -> Result<()> {
    let stream = logs_of(&flow.name)?;
    if engine.partitions(&stream)?.is_none() {
        return Ok(());
    }
    let begins = saved_report(engine, &flow.name, run)?.map(|r| r.logs).unwrap_or_default();
    let mut seen = begins.into_iter().enumerate().map(|(p, offset)| (p as u32, offset)).collect();
    each(engine, &stream, &mut seen, f)
}

/// The log of a dead letter, if there is one.
pub fn of_letter(engine: &dyn Admin, flow: &Flow, letter: &DeadLetter) -> Result<Option<ItemLog>> {
    let mut found = None;
    each_from(engine, flow, letter.run, |log| {
        if log.letter.as_ref() == Some(&letter.id) {
            found = Some(log);
        }
        Ok(())
    })?;
    Ok(found)
}
