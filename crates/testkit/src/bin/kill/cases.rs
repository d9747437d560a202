//! Flows with every pattern, and what they must give: computed the plain way.

use anabranch_testkit::rng::Rng;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a flow must give: lines by file, stream or `dead`.
pub type Model = BTreeMap<String, Vec<String>>;

/// A flow, its items and its model.
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// The flow.
    pub flow: &'static str,
    /// The items of a batch.
    pub items: fn(&mut Rng, u64) -> Vec<String>,
    /// What must come of them.
    pub model: fn(&[String]) -> Model,
    /// The topic that feeds it, and its partitions.
    pub topic: Option<(&'static str, &'static str)>,
    /// Outputs of batches add up.
    pub adds: bool,
}

/// All cases.
pub fn all() -> Vec<Case> {
    vec![
        Case { name: "routes", flow: ROUTES, items: signups, model: routes, topic: None, adds: false },
        Case { name: "folds", flow: FOLDS, items: signups, model: folds, topic: None, adds: false },
        Case { name: "finals", flow: FINALS, items: many, model: finals, topic: None, adds: false },
        Case { name: "barrier", flow: BARRIER, items: whole, model: barrier, topic: None, adds: false },
        Case { name: "topics", flow: TOPICS, items: keyed, model: topics, topic: Some(("orders", "4")), adds: true },
        Case { name: "actions", flow: ACTIONS, items: few, model: actions, topic: None, adds: false },
    ]
}

fn item(dice: &mut Rng, i: u64) -> Value {
    let country = ["SE", "US", "DE", "IN"][dice.below(4) as usize];
    let words = &["a", "b", "c"][..dice.below(4) as usize];
    json!({"id": i, "user": dice.below(300), "amount": dice.below(500), "country": country, "words": words})
}

/// Most items are whole, one in a hundred lacks its amount, one in a hundred is no JSON.
fn signups(dice: &mut Rng, batch: u64) -> Vec<String> {
    let one = |i: u64| match dice.below(100) {
        0 => json!({"id": i, "user": 1, "country": "SE", "words": []}).to_string(),
        1 => format!("{{\"id\": {i}, broken"),
        _ => item(dice, i).to_string(),
    };
    (0..20_000 + batch).map(one).collect()
}

fn whole(dice: &mut Rng, batch: u64) -> Vec<String> {
    (0..15_000 + batch).map(|i| item(dice, i).to_string()).collect()
}

fn few(dice: &mut Rng, _: u64) -> Vec<String> {
    (0..120).map(|i| item(dice, i).to_string()).collect()
}

fn keyed(dice: &mut Rng, batch: u64) -> Vec<String> {
    (0..8_000).map(|i| format!("{}={}", dice.below(100), item(dice, batch * 100_000 + i))).collect()
}

fn read(items: &[String]) -> impl Iterator<Item = (&String, Result<Value, ()>)> {
    items.iter().map(|line| (line, serde_json::from_str(line).map_err(|_| ())))
}

fn put(model: &mut Model, file: &str, line: impl ToString) {
    model.entry(file.to_string()).or_default().push(line.to_string());
}

const ROUTES: &str = "
flow: routes
streams:
  all: { source: in.jsonl }
  large: { sink: out/large.jsonl }
  small: { sink: out/small.jsonl }
  nordic: { sink: out/nordic.jsonl }
  western: { sink: out/western.jsonl }
  back: { sink: out/back.jsonl }
steps:
  twice: { copy: all, to: [one, two] }
  large: { filter: one, where: item.amount >= 250, otherwise: small }
  zones: { split: two, match: all, cases: [{ where: 'item.country == \"SE\"', to: nordic }, { where: 'item.country in [\"SE\", \"US\"]', to: western }], otherwise: drop }
  spread: { shard: all, by: item.user, shards: 3, to: 'part-{shard}' }
  named: { work: 'part-{shard}', set: { double: item.amount * 2 } }
  back: { merge: 'named-*' }
";

fn routes(items: &[String]) -> Model {
    let mut m = Model::new();
    for (line, value) in read(items) {
        let Ok(v) = value else {
            for step in ["large", "zones", "spread"] {
                put(&mut m, "dead", format!("{step} {line}"));
            }
            continue;
        };
        match v["amount"].as_u64() {
            None => {
                put(&mut m, "dead", format!("large {line}"));
                put(&mut m, "dead", format!("named {line}"));
            }
            Some(n) => {
                put(&mut m, if n >= 250 { "out/large.jsonl" } else { "out/small.jsonl" }, line);
                put(&mut m, "out/back.jsonl", format!("{},\"double\":{}}}", line.trim_end_matches('}'), n * 2));
            }
        }
        if v["country"] == "SE" {
            put(&mut m, "out/nordic.jsonl", line);
        }
        if v["country"] == "SE" || v["country"] == "US" {
            put(&mut m, "out/western.jsonl", line);
        }
    }
    m
}

const FOLDS: &str = "
flow: folds
streams:
  all: { source: in.jsonl }
  by-user: { sink: out/by-user.jsonl }
  total: { sink: out/total.jsonl }
  words: { sink: out/words.jsonl }
  most: { sink: out/most.jsonl }
  countries: { sink: out/countries.jsonl }
steps:
  by-user: { reduce: all, by: item.user, value: { n: count(), sum: sum(item.amount), least: min(item.amount), first: first(item.id), last: last(item.id) } }
  spread: { shard: all, by: item.country, shards: [SE, US, DE, IN], to: 'in-{shard}', otherwise: error }
  each: { work: 'in-{shard}', each: item.words }
  words: { reduce: 'each-*', by: { word: item }, value: { count: count() } }
  total: { reduce: all, value: sum(item.amount) }
  amounts: { work: all, value: item.amount }
  most: { reduce: amounts, fold: 'a > b ? a : b' }
  per-country: { reduce: all, by: item.country, value: { users: count() } }
  countries: { reduce: per-country, value: { countries: count(), users: sum(item.users) } }
";

fn folds(items: &[String]) -> Model {
    let mut m = Model::new();
    let mut users: BTreeMap<u64, (u64, u64, u64, u64, u64)> = BTreeMap::new();
    let mut words: BTreeMap<String, u64> = BTreeMap::new();
    let (mut total, mut most, mut countries) = (0, 0, BTreeMap::<String, u64>::new());
    for (line, value) in read(items) {
        let v = value.unwrap_or(Value::Null);
        let Some(country) = v["country"].as_str() else {
            for step in ["by-user", "spread", "total", "amounts", "per-country"] {
                put(&mut m, "dead", format!("{step} {line}"));
            }
            continue;
        };
        *countries.entry(country.into()).or_default() += 1;
        v["words"]
            .as_array()
            .into_iter()
            .flatten()
            .for_each(|w| *words.entry(w.as_str().unwrap_or("").into()).or_default() += 1);
        let Some(amount) = v["amount"].as_u64() else {
            for step in ["by-user", "total", "amounts"] {
                put(&mut m, "dead", format!("{step} {line}"));
            }
            continue;
        };
        total += amount;
        most = most.max(amount);
        let id = v["id"].as_u64().unwrap_or(0);
        let u = users.entry(v["user"].as_u64().unwrap_or(0)).or_insert((0, 0, u64::MAX, id, id));
        *u = (u.0 + 1, u.1 + amount, u.2.min(amount), u.3, id);
    }
    for (user, (n, sum, least, first, last)) in users {
        put(
            &mut m,
            "out/by-user.jsonl",
            format!("{{\"user\":{user},\"n\":{n},\"sum\":{sum},\"least\":{least},\"first\":{first},\"last\":{last}}}"),
        );
    }
    for (word, count) in words {
        put(&mut m, "out/words.jsonl", format!("{{\"word\":\"{word}\",\"count\":{count}}}"));
    }
    put(&mut m, "out/total.jsonl", total);
    put(&mut m, "out/most.jsonl", most);
    let all: u64 = countries.values().sum();
    put(&mut m, "out/countries.jsonl", format!("{{\"countries\":{},\"users\":{all}}}", countries.len()));
    m
}

fn many(dice: &mut Rng, batch: u64) -> Vec<String> {
    (0..50_000 + batch).map(|i| format!("{{\"id\":{},\"n\":{}}}", i * 7919 % 45_000, dice.below(9))).collect()
}

/// More keys than go out in one commit, to a file and to a stream that is folded again.
const FINALS: &str = "
flow: finals
streams:
  all: { source: in.jsonl }
  by-id: { sink: out/by-id.jsonl }
  again: { sink: out/again.jsonl }
steps:
  by-id: { reduce: all, by: item.id, value: { n: sum(item.n) } }
  logged: { reduce: all, by: item.id, value: { c: count() } }
  again: { reduce: logged, by: item.c, value: { ids: count() } }
";

fn finals(items: &[String]) -> Model {
    let mut m = Model::new();
    let mut ids: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for (_, value) in read(items) {
        let v = value.unwrap_or(Value::Null);
        let id = ids.entry(v["id"].as_u64().unwrap_or(0)).or_default();
        *id = (id.0 + v["n"].as_u64().unwrap_or(0), id.1 + 1);
    }
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    for (id, (n, c)) in ids {
        put(&mut m, "out/by-id.jsonl", format!("{{\"id\":{id},\"n\":{n}}}"));
        *counts.entry(c).or_default() += 1;
    }
    for (c, ids) in counts {
        put(&mut m, "out/again.jsonl", format!("{{\"c\":{c},\"ids\":{ids}}}"));
    }
    m
}

const BARRIER: &str = "
flow: barrier
streams:
  all: { source: in.jsonl }
  out: { sink: out/all.jsonl }
  sums: { sink: out/sums.jsonl }
  public: { partitions: 3 }
steps:
  spread: { shard: all, by: item.user, shards: 4, to: spread }
  marked: { work: spread, set: { marked: 'true' } }
  gate: { join: marked, to: gated, done: told }
  both: { copy: gated, to: [left, right] }
  out: { filter: left, where: item.marked }
  sums: { reduce: right, by: item.country, value: { n: count(), sum: sum(item.amount) } }
  public: { merge: [gated, told] }
";

fn barrier(items: &[String]) -> Model {
    let mut m = Model::new();
    let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (line, value) in read(items) {
        let v = value.unwrap_or(Value::Null);
        put(&mut m, "out/all.jsonl", format!("{},\"marked\":true}}", line.trim_end_matches('}')));
        let sum = sums.entry(v["country"].as_str().unwrap_or("").into()).or_default();
        *sum = (sum.0 + 1, sum.1 + v["amount"].as_u64().unwrap_or(0));
    }
    for (country, (n, sum)) in sums {
        put(&mut m, "out/sums.jsonl", format!("{{\"country\":\"{country}\",\"n\":{n},\"sum\":{sum}}}"));
    }
    m
}

const TOPICS: &str = "
flow: topics
streams:
  orders: { partitions: 4 }
  copied: { partitions: 4 }
  cheap: {}
  pairs: { sink: out/pairs.jsonl }
steps:
  copier: { copy: orders, to: copied, group: group1 }
  cheap: { filter: orders, where: item.amount < 50 }
  pairs: { reduce: [orders, copied], pair: lockstep, value: { left: a.id, right: b.id } }
";

fn topics(items: &[String]) -> Model {
    let mut m = Model::new();
    for line in items {
        let value = line.split_once('=').map_or("", |(_, v)| v);
        let v: Value = serde_json::from_str(value).unwrap_or(Value::Null);
        put(&mut m, "stream:copied", value);
        if v["amount"].as_u64() < Some(50) {
            put(&mut m, "stream:cheap", value);
        }
        put(&mut m, "out/pairs.jsonl", format!("{{\"left\":{0},\"right\":{0}}}", v["id"]));
    }
    m
}

const ACTIONS: &str = "
flow: actions
streams:
  all: { source: in.jsonl }
  said: { sink: out/said.jsonl }
  piped: { sink: out/piped.jsonl }
  logged: { sink: out/logged.jsonl }
steps:
  said: { work: all, exec: [sh, -c, 'test $1 -lt 490 && cat \"$WORK_ITEM_FILE\"', '-', '{item.amount}'], retry: { attempts: 1 } }
  shout: { work: all, pipe: [cat], set: { back: result.id } }
  piped: { filter: shout, where: item.back == item.id }
  logged: { reduce: shout, value: { n: count(), sum: sum(item.amount) } }
";

fn actions(items: &[String]) -> Model {
    let mut m = Model::new();
    let mut sum = 0;
    m.insert("dead".into(), vec![]);
    for (line, value) in read(items) {
        let v = value.unwrap_or(Value::Null);
        if v["amount"].as_u64() < Some(490) {
            put(&mut m, "out/said.jsonl", line);
        } else {
            put(&mut m, "dead", format!("said {line}"));
        }
        put(&mut m, "out/piped.jsonl", format!("{},\"back\":{}}}", line.trim_end_matches('}'), v["id"]));
        sum += v["amount"].as_u64().unwrap_or(0);
    }
    put(&mut m, "out/logged.jsonl", format!("{{\"n\":{},\"sum\":{sum}}}", items.len()));
    m
}
