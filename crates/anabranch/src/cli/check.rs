//! `anabranch check`

use super::args::{Args, FlowArg};
use super::{Exit, fit, place, print};
use crate::Local;
use anabranch_engine::Result;
use anabranch_flow::diagnostic::Severity;
use anabranch_flow::suite;
use anabranch_run::look;
use anabranch_run::show::text::counted;
use serde_json::json;
use std::sync::Arc;

/// Says everything that is wrong with a flow, and whether the Kafka cluster that was named fits it.
pub fn check(args: &Args, arg: &FlowArg) -> Result<Exit> {
    let mut file = place::read(arg)?;
    if let Some(flow) = &file.checked.flow {
        let world = Local::new(&place::folder(&arg.flow)).with_data(&place::of_flow(args, &arg.flow));
        file.checked.diagnostics.extend(suite::of_text(&file.text, flow).1);
        file.checked.diagnostics.extend(look(flow, &Arc::new(world).into()));
        file.checked.diagnostics.sort_by_key(|d| (d.span, d.severity));
    }
    let diagnostics = &file.checked.diagnostics;
    let count = |severity| diagnostics.iter().filter(|d| d.severity == severity).count();
    let (mut errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if !args.json {
        print::tell(&file.checked.draw(&file.name, &file.text)); // also where the cluster cannot be asked
    }
    let fit = match &file.checked.flow {
        Some(flow) if errors == 0 => place::kafka(args)?.map(|kafka| fit::fit(&kafka, flow)).transpose()?,
        _ => None,
    };
    errors += fit.as_ref().map_or(0, |f| f.wrong.len());
    if args.json {
        let all = print::documents(diagnostics, &file.name).chain(fit.iter().flat_map(fit::as_json));
        print::document(&json!(all.collect::<Vec<_>>()));
    } else {
        print::tell(&fit.as_ref().map(fit::draw).unwrap_or_default());
        if std::env::var_os("GITHUB_ACTIONS").is_some() {
            for d in diagnostics.iter().filter(|d| d.severity != Severity::Note) {
                let word = if d.severity == Severity::Error { "error" } else { "warning" };
                say!("::{word} file={},line={},col={}::{}", file.name, d.span.line, d.span.column + 1, d.message);
            }
            fit.iter().flat_map(|f| &f.wrong).for_each(|e| say!("::error file={}::{}", file.name, e.text));
        }
        if !args.quiet {
            match (errors, warnings, &file.checked.flow) {
                (0, 0, Some(flow)) => {
                    let (streams, steps) = (counted(flow.streams.len(), "stream"), counted(flow.steps.len(), "step"));
                    let cluster = fit.map(|f| fit::summary(&f)).unwrap_or_default();
                    tell!("{} is fine: {streams}, {steps}{cluster}", flow.name);
                }
                (0, w, _) => tell!("{}", counted(w, "warning")),
                (e, 0, _) => tell!("{}; nothing was run", counted(e, "error")),
                (e, w, _) => tell!("{}, {}; nothing was run", counted(e, "error"), counted(w, "warning")),
            }
        }
    }
    Ok(if errors > 0 { 2 } else { 0 })
}
