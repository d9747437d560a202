//! Whether the programs of a flow that are given by path can be started.

use anabranch_flow::diagnostic::Diagnostic;
use anabranch_flow::expr::{RunVars, Scope};
use anabranch_flow::model::{ActionSpec, Flow, Kind};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What is wrong with them. They may be made later, so it is a warning.
pub fn look(flow: &Flow, folder: &Path) -> Vec<Diagnostic> {
    let run = RunVars::default();
    let scope = Scope::of_run(&run, &flow.env);
    let mut out = vec![];
    for step in &flow.steps {
        let Kind::Act(act) = &step.kind else { continue };
        let (ActionSpec::Exec(command) | ActionSpec::Pipe(command)) = &act.action else { continue };
        let plain = command.args.first().filter(|p| p.is_plain()).and_then(|p| p.render(&scope).ok());
        let Some(program) = plain.filter(|p| p.contains('/')) else { continue };
        if let Some((what, label)) = fault(&folder.join(&program)) {
            let what = format!("the program `{program}` of the step {} {what}", step.name);
            out.push(Diagnostic::warning("no-program", step.span, what).label(label));
        }
    }
    out
}

fn fault(path: &Path) -> Option<(String, String)> {
    let Ok(found) = path.metadata() else {
        return Some((
            "is not there".into(),
            "a path is meant from the flow's folder; a run stops at the first call".into(),
        ));
    };
    if !found.is_file() || found.permissions().mode() & 0o111 == 0 {
        return Some(("may not be executed".into(), format!("chmod +x {}", path.display())));
    }
    let begin = std::fs::File::open(path).and_then(|file| {
        let mut begin = vec![];
        std::io::Read::read_to_end(&mut std::io::Read::take(file, 256), &mut begin).map(|_| begin)
    });
    let begin = begin.unwrap_or_default();
    let line = begin.strip_prefix(b"#!")?.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line).into_owned();
    let interpreter = line.split_whitespace().next().unwrap_or_default();
    let missing = !Path::new(interpreter).exists();
    missing
        .then(|| (format!("begins with #!{interpreter}, which is not there"), "a run stops at the first call".into()))
}
