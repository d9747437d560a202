//! What `anabranch check` asks a Kafka cluster: whether it fits the flow.

use crate::Kafka;
use anabranch_engine::{Result, StreamSpec};
use anabranch_engine_kafka::{Fit, Need, Needs, Role};
use anabranch_flow::model::{Flow, Writer};
use anabranch_flow::plan::{Node, Plan, ReadFrom, plan};
use anabranch_run::show::text::counted;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Asks the cluster.
pub fn fit(kafka: &Kafka, flow: &Flow) -> Result<Fit> {
    let plan = plan(flow, true);
    let logged = flow.streams.iter().enumerate().filter(|(s, _)| plan.logged[*s]);
    let mut streams: Vec<Need> = logged
        .map(|(_, stream)| {
            let role = match stream.writer {
                Writer::Outside => Role::Outside,
                _ if !stream.is_public() => Role::Cut,
                _ => Role::Written,
            };
            let spec = StreamSpec {
                name: stream.at.clone(),
                partitions: stream.partitions,
                replication_factor: stream.replication_factor,
                config: stream.config.clone(),
            };
            Need { spec, role }
        })
        .collect();
    for (name, role) in [("dead", Role::Written), ("manifest", Role::Written), ("held", Role::Cut)] {
        let spec = StreamSpec { partitions: None, ..StreamSpec::new(flow.name.own(name)?, 1) };
        streams.push(Need { spec, role });
    }
    kafka.fit(&Needs { flow: flow.name.clone(), streams, groups: groups(flow, &plan) })
}

/// The groups that a run keeps: those of steps that read what others can see.
fn groups(flow: &Flow, plan: &Plan) -> Vec<String> {
    let mut groups = BTreeSet::new();
    for root in plan.units.iter().flat_map(|u| &u.roots).filter(|r| r.how == ReadFrom::Log) {
        let (stream, Node::Step(step)) = (&flow.streams[root.from], root.node) else { continue };
        if stream.writer == Writer::Outside || stream.is_public() {
            groups.extend(flow.steps[step].groups.get(root.input).cloned());
        }
    }
    groups.into_iter().collect()
}

/// What was found, as `check --json` says it.
pub fn as_json(fit: &Fit) -> Vec<Value> {
    let one = |severity: &str, message: &str, help: Option<&String>| {
        json!({ "severity": severity, "code": "kafka", "file": null, "line": 0, "column": 1, "end": 1,
                "message": message, "label": "", "help": help })
    };
    let wrong = fit.wrong.iter().map(|e| one("error", &e.text, e.help.as_ref()));
    wrong.chain(fit.notes.iter().map(|n| one("note", n, None))).collect()
}

/// What was found, as people read it.
pub fn draw(fit: &Fit) -> String {
    let wrong: String = fit.wrong.iter().map(|e| format!("error: {e}\n")).collect();
    fit.notes.iter().fold(wrong, |all, note| all + &format!("note: {note}\n"))
}

/// That all is well.
pub fn summary(fit: &Fit) -> String {
    let (topics, brokers) = (counted(fit.topics, "topic"), counted(fit.brokers, "broker"));
    format!("; Kafka fits it: {brokers}, {topics}, User:{} has all rights", fit.user)
}
