//! A batch that is held while others pass, and is repaired: on both engines, beside the naive model.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // a test that cannot go on fails

use anabranch::flow::check::check_text;
use anabranch::flow::model::Flow;
use anabranch::run::{ByHand, Letters, Like, Options, Outcome, Repair, Report, Status, Way, run};
use anabranch::{Embedded, Kafka, Local};
use anabranch_engine::{Admin, At, Error, Item, StreamName, StreamSpec, chunks};
use anabranch_testkit::cluster::Cluster;
use std::path::Path;
use std::sync::Arc;

/// An item that begins with `bad` fails until there is a file `mended`.
const FLOW: &str = r#"
flow: mended
streams:
  in: { partitions: 3, format: text }
  done: { partitions: 2, format: text }
  n: { sink: { file: out/n.jsonl, mode: replace } }
  added: { sink: out/added.jsonl }
steps:
  checked:
    work: in
    exec: [sh, -c, 'read -r x; case $x in bad*) [ -e mended ] || exit 1;; esac; echo "$x"']
    retry: { attempts: 1 }
  all: { join: checked }
  done: { copy: all, to: done }
  n: { reduce: all, value: count() }
  added: { reduce: all, value: count() }
"#;

/// Gates over what is logged, fused, viewed from outside, and mixed with what no gate keeps back.
const WIDE: &str = r#"
flow: wide
streams:
  in: { partitions: 3, format: text }
  beside: { partitions: 3, format: text }
  free: { partitions: 3, format: text }
  done: { partitions: 2, format: text }
  n: { sink: out/n.jsonl }
  m: { sink: out/m.jsonl }
steps:
  checked:
    work: in
    exec: [sh, -c, 'read -r x; case $x in bad*) [ -e mended ] || exit 1;; esac; echo "$x"']
    retry: { attempts: 1 }
  looked: { filter: checked, where: 'item != ""' }
  n: { reduce: looked, value: count(), tolerate: 0 }
  all: { join: [beside, checked] }
  rest: { merge: [free, all] }
  done: { copy: rest, to: done }
  alone: { join: beside }
  m: { reduce: alone, value: count() }
"#;

/// A gate that lets nothing fail, and waits for somebody all the same.
const BY_HAND: &str = r#"
flow: byhand
streams:
  in: { partitions: 3, format: text }
  done: { partitions: 2, format: text }
  n: { sink: { file: out/n.jsonl, mode: replace } }
steps:
  checked:
    work: in
    exec: [sh, -c, 'read -r x; case $x in bad*) [ -e mended ] || exit 1;; esac; echo "$x"']
    retry: { attempts: 1 }
  all: { join: checked, open: by-hand }
  done: { copy: all, to: done }
  n: { reduce: all, value: count() }
"#;

struct Trial {
    folder: tempfile::TempDir,
    flow: Arc<Flow>,
    engine: Arc<dyn Admin>,
    /// What the model says is in `done`.
    done: Vec<String>,
}

impl Trial {
    fn new(text: &str, inputs: &[&str], engine: impl FnOnce(&Path) -> Arc<dyn Admin>) -> Trial {
        let folder = tempfile::tempdir().expect("a folder");
        let checked = check_text(text, &|_| None);
        let flow = Arc::new(checked.flow.unwrap_or_else(|| panic!("{:?}", checked.diagnostics)));
        let engine = engine(folder.path());
        let inputs: Vec<StreamSpec> = inputs.iter().map(|input| StreamSpec::new(name(input), 3)).collect();
        engine.ensure(None, &inputs).expect("makes them");
        Trial { folder, flow, engine, done: vec![] }
    }

    fn give(&self, items: &[String]) {
        self.give_to("in", items);
    }

    fn give_to(&self, stream: &str, items: &[String]) {
        let items: Vec<(u32, Item)> = (0..).zip(items).map(|(i, v)| (i % 3, Item::of(v.clone(), 1))).collect();
        self.engine.append(&name(stream), &items).expect("appends");
    }

    fn with(&self, options: Options) -> Result<Outcome, Error> {
        let world = Arc::new(Local::new(self.folder.path()));
        run(self.flow.clone(), self.engine.clone(), world, options)
    }

    fn run(&self, repair: Option<Repair>) -> Result<Report, Error> {
        match self.with(Options { repair, ..Options::default() })? {
            Outcome::Closed(report) => Ok(report),
            Outcome::Stopped(_) => panic!("nobody stopped it"),
        }
    }

    /// Opens the run, and is told to stop before it does anything.
    fn stops(&self, repair: Repair) {
        let outcome = self.with(Options { repair: Some(repair), stop: Arc::new(true.into()), ..Options::default() });
        assert!(matches!(outcome, Ok(Outcome::Stopped(_))), "it was not stopped");
    }

    /// It ends with this status, balanced, and `done` has what the model says.
    #[track_caller]
    fn ends(&self, repair: Option<Repair>, exit: u8, status: Status) -> Report {
        let report = self.run(repair).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((report.exit, report.status, &report.imbalance), (exit, status, &vec![]), "{report:?}");
        let mut model = self.done.clone();
        model.sort();
        assert_eq!(self.values("done"), model);
        report
    }

    fn items(&self, stream: &StreamName) -> Vec<Item> {
        let mut out = vec![];
        for (p, span) in self.engine.span(stream).expect("spans").into_iter().enumerate() {
            let at = At { stream: stream.clone(), partition: p as u32, offset: span.start };
            for chunk in chunks(&*self.engine, at, span.end) {
                for handle in &chunk.expect("reads").batches {
                    out.extend(handle.load().expect("loads").records().expect("reads").iter().map(|r| r.to_item()));
                }
            }
        }
        out
    }

    fn values(&self, stream: &str) -> Vec<String> {
        let text =
            |i: &Item| String::from_utf8_lossy(i.value.as_deref().unwrap_or_default()).trim_matches('"').to_string();
        let mut values: Vec<String> = self.items(&name(stream)).iter().map(text).collect();
        values.sort();
        values
    }

    /// Ids of the dead letters of a run.
    fn dead(&self, run: u64) -> Vec<String> {
        let letters = self.items(&self.flow.name.own("dead").expect("a name"));
        let ids =
            letters.iter().filter_map(|i| i.header("anabranch.id").map(|v| String::from_utf8_lossy(v).into_owned()));
        ids.filter(|id| id.starts_with(&format!("{run}-"))).collect()
    }

    fn counted(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(file)).expect(file).trim().to_string()
    }
}

fn name(text: &str) -> StreamName {
    StreamName::new(text).expect("a name")
}

fn items(prefix: &str, n: usize, bad: usize) -> Vec<String> {
    let fine = (bad..n).map(|i| format!("{prefix}-{i}"));
    (0..bad).map(|i| format!("bad-{prefix}-{i}")).chain(fine).collect()
}

fn retry(batch: u64, ids: &[String]) -> Repair {
    Repair::of(batch).with(Letters::These(ids.to_vec()), Way::Retry)
}

fn all(batch: u64) -> Repair {
    Repair::of(batch).with(Letters::All(Like::default()), Way::Retry)
}

fn refused_as_there_is_nothing(trial: &Trial, batch: u64) {
    let refused = trial.run(Some(all(batch))).expect_err("refused");
    assert!(refused.text.contains("dead letter"), "{refused}");
}

fn held_and_repaired(mut trial: Trial) {
    let first = items("first", 40, 4);
    trial.give(&first);
    trial.ends(None, 4, Status::Held);
    let second = items("second", 20, 0);
    trial.give(&second);
    trial.done.extend(second);
    trial.ends(None, 0, Status::Done); // the next batch passes
    assert_eq!(trial.counted("out/n.jsonl"), "20");

    // tried again too early they fail again, and the batch stays held
    let dead = trial.dead(1);
    assert_eq!(dead.len(), 4);
    let report = trial.ends(Some(retry(1, &dead[..3])), 4, Status::Held);
    assert_eq!(
        report.steps.iter().find(|s| s.step == "checked").map(|s| (s.taken, s.passed, s.dead)),
        Some((40, 36, 4))
    );
    let again = trial.dead(3);
    assert_eq!(again.len(), 3);

    // what cannot be is refused, with nothing changed
    for (retry, skip, why) in [
        (vec![dead[0].clone()], vec![], "is settled already"),
        (vec!["1-9999".to_string()], vec![], "has no dead letter 1-9999"),
        (vec![again[0].clone()], vec![again[0].clone()], "is named twice"),
    ] {
        let repair = Repair::of(1).with(Letters::These(retry), Way::Retry).with(Letters::These(skip), Way::Skip);
        let refused = trial.run(Some(repair)).expect_err("refused");
        assert!(refused.text.contains(why), "{refused}");
    }
    refused_as_there_is_nothing(&trial, 2);

    // mended: two pass, one is given up, and one was never tried; then the last one passes, and the gate opens
    std::fs::write(trial.folder.path().join("mended"), "").expect("writes");
    let repair = retry(1, &again[..2]).with(Letters::These(again[2..].to_vec()), Way::Skip);
    trial.ends(Some(repair), 4, Status::Held);
    trial.done.extend(first.iter().filter(|i| !i.starts_with("bad")).cloned());
    let values = trial.items(&trial.flow.name.own("dead").expect("a name"));
    let value_of = |id: &String| {
        let found = values.iter().find(|i| i.header("anabranch.id") == Some(id.as_bytes()));
        found.and_then(|i| i.value.clone()).map(|v| String::from_utf8_lossy(&v).into_owned()).expect("a dead letter")
    };
    trial.done.extend(again[..2].iter().chain([&dead[3]]).map(value_of));
    // (stopped as soon as it is open, a repair is what the next run goes on with, and nothing else comes between)
    let last = retry(1, &dead[3..]);
    trial.stops(last.clone());
    let refused = trial.run(Some(all(7))).expect_err("refused");
    assert!(refused.text.contains("run 5 is open"), "{refused}");
    // (given up, it leaves the batch as it was)
    let options = Options { fresh: true, ..Options::default() };
    trial.with(options).expect("a run of nothing");
    trial.stops(last);
    let report = trial.ends(None, 0, Status::Done);
    let checked = report.steps.iter().find(|s| s.step == "checked").expect("the step");
    assert_eq!((checked.taken, checked.passed, checked.skipped, checked.dead), (40, 39, 1, 0));
    assert_eq!((trial.counted("out/n.jsonl"), trial.counted("out/n.jsonl.batch-1")), ("0".into(), "39".into()));

    // and the flow goes on where it was
    let third = items("third", 10, 0);
    trial.give(&third);
    trial.done.extend(third);
    trial.ends(None, 0, Status::Done);
    assert_eq!(trial.counted("out/n.jsonl"), "10");
    assert_eq!(trial.counted("out/added.jsonl"), "20\n0\n39\n10");
    refused_as_there_is_nothing(&trial, 1);
}

/// What gates keep back of a batch comes with its repair, and never with another batch.
fn wide_and_repaired(mut trial: Trial) {
    let (first, beside, free) = (items("first", 10, 1), items("beside", 5, 0), items("free", 3, 0));
    trial.give(&first);
    trial.give_to("beside", &beside);
    trial.give_to("free", &free);
    trial.done.extend(free);
    trial.ends(None, 4, Status::Held);
    assert_eq!(trial.counted("out/m.jsonl"), "5");

    for (stream, n) in [("in", 4), ("beside", 2), ("free", 1)] {
        let more = items(stream, n, 0);
        trial.give_to(stream, &more);
        trial.done.extend(more);
    }
    trial.ends(None, 0, Status::Done);
    assert_eq!((trial.counted("out/n.jsonl"), trial.counted("out/m.jsonl")), ("4".into(), "5\n2".into()));

    std::fs::write(trial.folder.path().join("mended"), "").expect("writes");
    trial.done.extend(first.into_iter().chain(beside));
    trial.ends(Some(retry(1, &trial.dead(1))), 0, Status::Done);
    assert_eq!((trial.counted("out/n.jsonl"), trial.counted("out/m.jsonl")), ("4\n10".into(), "5\n2".into()));
    trial.ends(None, 0, Status::Done);
}

/// A batch waits until somebody opens its gate, which nobody can before what failed is settled; later batches wait on their own.
fn opened_by_hand(mut trial: Trial) {
    let open = |batch| {
        let hand = ByHand { step: "all".into(), by: "anna".into(), reason: Some("looks well".into()) };
        Repair { open: Some(hand), ..Repair::of(batch) }
    };
    let says = |report: &Report| report.steps.iter().find(|s| s.step == "all").map(|s| format!("{:?}", s.gate));
    let (first, second) = (items("first", 12, 1), items("second", 5, 0));
    trial.give(&first);
    trial.ends(None, 4, Status::Held);
    trial.give(&second);
    let report = trial.ends(None, 4, Status::Held);
    assert!(says(&report).is_some_and(|gate| gate.contains("waits: true")), "{report:?}");
    let refused = trial.run(Some(open(1))).expect_err("refused");
    assert!(refused.text.contains("cannot be opened for batch 1: it is held: 1 of 12 failed"), "{refused}");
    std::fs::write(trial.folder.path().join("mended"), "").expect("writes");
    trial.ends(Some(all(1)), 4, Status::Held); // now it waits for somebody
    trial.done.extend(second);
    trial.ends(Some(open(2)), 0, Status::Done);
    trial.done.extend(first);
    trial.stops(open(1));
    let report = trial.ends(None, 0, Status::Done);
    assert!(report.notes.iter().any(|n| n.starts_with("all was opened by anna at ")), "{:?}", report.notes);
    let files = [trial.counted("out/n.jsonl.batch-2"), trial.counted("out/n.jsonl.batch-1")];
    assert_eq!(files, ["5", "12"]); // a run came between
    let refused = trial.run(Some(open(1))).expect_err("refused");
    assert!(refused.text.contains("all is open for batch 1: anna opened it, for run 5"), "{refused}");
}

fn embedded(folder: &Path) -> Arc<dyn Admin> {
    Arc::new(Embedded::open(&folder.join("data")).expect("opens"))
}

#[test]
fn on_the_embedded_engine() {
    held_and_repaired(Trial::new(FLOW, &["in"], embedded));
    wide_and_repaired(Trial::new(WIDE, &["in", "beside", "free"], embedded));
    opened_by_hand(Trial::new(BY_HAND, &["in"], embedded));
}

#[test]
fn on_kafka() {
    let cluster = Cluster::start(1);
    let kafka = |_: &Path| Arc::new(Kafka::open(cluster.bootstrap()).expect("opens")) as Arc<dyn Admin>;
    held_and_repaired(Trial::new(FLOW, &["in"], kafka));
    for topic in ["in", "done"] {
        kafka(Path::new("")).delete(&name(topic)).expect("deletes");
    }
    wide_and_repaired(Trial::new(WIDE, &["in", "beside", "free"], kafka));
    for topic in ["in", "done"] {
        kafka(Path::new("")).delete(&name(topic)).expect("deletes");
    }
    opened_by_hand(Trial::new(BY_HAND, &["in"], kafka));
}
