//! The naive model: a batch computed step by step, over lists.

use super::shape::{Rest, Shape, Test, Tolerate, Verb};
use super::state::{Batch, Decision, State};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// How a run must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Its exit status.
    pub exit: u64,
}

/// Items of a stream in one run.
#[derive(Debug, Clone, Default)]
pub struct Flowing {
    /// The items.
    pub items: Vec<Value>,
    /// A gate above is shut: what is missing here may come later.
    pub blocked: bool,
}

/// A line as the model writes it: fields in order, and of a `done:` item what the model knows.
pub fn plain(line: &str) -> String {
    match serde_json::from_str::<Value>(line) {
        Ok(mut value) => {
            if let Some(told) = value.as_object_mut().filter(|o| o.contains_key("opened")) {
                ["flow", "run", "batch", "opened"].iter().for_each(|k| drop(told.remove(*k)));
            }
            value.to_string()
        }
        Err(_) => line.to_string(),
    }
}

/// What was said once: it stays, whatever comes later.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// Results, by the reduce.
    pub results: BTreeMap<usize, Vec<Value>>,
    /// The `done:` item, by the join.
    pub done: BTreeMap<usize, Value>,
}

struct Run<'s> {
    shape: &'s Shape,
    waits: &'s mut BTreeMap<(String, usize), Vec<Value>>,
    streams: Vec<Flowing>,
    /// What was decided on items that failed, by step and item.
    decided: BTreeMap<(usize, String), Vec<Decision>>,
    said: Said,
    /// Failed items by step, kept and skipped.
    dead: BTreeMap<usize, u64>,
    skipped: BTreeMap<usize, u64>,
    letters: Vec<(usize, Value)>,
    /// Gates that were opened by hand, and those that wait for that.
    opened: BTreeSet<usize>,
    waits_for_a_hand: BTreeSet<usize>,
    held: bool,
    failed: bool,
}

/// What a batch gave.
pub struct Gave {
    /// Its items, by stream.
    pub streams: Vec<Flowing>,
    /// Its dead letters that are not settled: the step, and the item.
    pub letters: Vec<(usize, Value)>,
    /// What it has said.
    pub said: Said,
    /// Gates that wait for somebody to open them.
    pub waits: BTreeSet<usize>,
    /// How its run must end.
    pub end: End,
}

/// Computes a run over what its sources give, and adds it to the state.
pub fn run(shape: &Shape, state: &mut State, given: &BTreeMap<usize, Vec<Value>>) -> End {
    state.runs += 1;
    let batch = Batch::new(state.runs, given.clone());
    let gave = compute(shape, &mut state.waits, &batch);
    let end = gave.end;
    state.keep(shape, batch, gave);
    end
}

/// Computes a batch with what was decided for it, and what it has said before.
pub fn compute(shape: &Shape, waits: &mut BTreeMap<(String, usize), Vec<Value>>, batch: &Batch) -> Gave {
    let mut streams = vec![Flowing::default(); shape.streams.len()];
    batch.given.iter().for_each(|(s, items)| streams[*s].items.clone_from(items));
    let (dead, skipped, letters) = (BTreeMap::new(), BTreeMap::new(), vec![]);
    let (decided, said) = (batch.decided.clone(), batch.said.clone());
    let (held, failed) = (false, false);
    let (opened, waits_for_a_hand) = (batch.opened.clone(), BTreeSet::new());
    let mut run =
        Run { shape, waits, streams, decided, said, dead, skipped, letters, opened, waits_for_a_hand, held, failed };
    for step in 0..shape.steps.len() {
        run.step(step);
    }
    let dead = run.dead.values().sum::<u64>() > 0;
    let exit = match (run.failed, run.held, dead) {
        (true, ..) => 1,
        (_, true, _) => 4,
        (.., true) => 3,
        _ => 0,
    };
    let waits = run.waits_for_a_hand;
    Gave { streams: run.streams, letters: run.letters, said: run.said, waits, end: End { exit } }
}

fn number(item: &Value, field: &str) -> i64 {
    item[field].as_i64().unwrap_or(0)
}

/// `None` = the item fails.
fn holds(test: Test, item: &Value) -> Option<bool> {
    match test {
        Test::Above(n) => Some(number(item, "v") > n),
        Test::Group(n) => Some(number(item, "g") == n),
        Test::Fails(n) => Some(twelve_by(item)? > n),
    }
}

/// Whether an item fails at a step of this verb.
fn fails(verb: &Verb, item: &Value) -> bool {
    match verb {
        Verb::Filter { test, .. } => holds(*test, item).is_none(),
        Verb::Split { cases, all, rest } => {
            let mut wanted = 0;
            for (test, _) in cases {
                match holds(*test, item) {
                    None => return true,
                    Some(is) => wanted += usize::from(is),
                }
                if !all && wanted > 0 {
                    return false;
                }
            }
            wanted == 0 && matches!(rest, Rest::Error)
        }
        Verb::ShardTo { values, rest } => {
            matches!(rest, Rest::Error) && values.iter().all(|(v, _)| *v != number(item, "g"))
        }
        Verb::Set { fails: true, .. } | Verb::Reduce { fails: true, .. } => number(item, "v") == 0,
        _ => false,
    }
}

fn twelve_by(item: &Value) -> Option<i64> {
    12i64.checked_div(number(item, "v"))
}

impl Run<'_> {
    fn step(&mut self, s: usize) {
        let shape = self.shape;
        let step = &shape.steps[s];
        let blocked = step.inputs.iter().any(|i| self.streams[*i].blocked);
        let taken = step.inputs.iter().flat_map(|i| self.streams[*i].items.clone());
        let taken: Vec<Value> =
            taken.collect::<Vec<_>>().into_iter().filter_map(|item| self.settled(s, item)).collect();
        let outs: &[usize] = match &step.verb {
            Verb::Copy { to } => to,
            _ => &[],
        };
        outs.iter().for_each(|o| self.streams[*o].items.clone_from(&taken));
        match &step.verb {
            Verb::Copy { .. } => {}
            Verb::Filter { test, to, rest } => taken.iter().for_each(|item| match holds(*test, item) {
                None => self.fail(s, item),
                Some(true) => self.give(*to, item.clone()),
                Some(false) => rest.iter().for_each(|r| self.give(*r, item.clone())),
            }),
            Verb::Split { cases, all, rest } => taken.iter().for_each(|item| self.split(s, cases, *all, *rest, item)),
            Verb::ShardTo { values, rest } => {
                for item in &taken {
                    match values.iter().find(|(v, _)| *v == number(item, "g")) {
                        Some((_, to)) => self.give(*to, item.clone()),
                        None => self.rest(s, *rest, item),
                    }
                }
            }
            Verb::ShardHash { to, .. } | Verb::Merge { to } | Verb::Pipe { to } => {
                taken.into_iter().for_each(|item| self.give(*to, item));
            }
            Verb::Join { to, tolerate, done, fails } => {
                return self.join(s, blocked, taken, (*tolerate, *fails), (*to, *done));
            }
            Verb::Reduce { to, by, fails, strict } => {
                return self.reduce(s, blocked, &taken, *to, (*by, *fails, *strict));
            }
            Verb::Pair { to } => self.pair(s, *to),
            Verb::Set { to, fails } => {
                for mut item in taken {
                    let value = if *fails { twelve_by(&item) } else { Some(number(&item, "v") + 1) };
                    match value {
                        Some(value) => {
                            item[step.name.replace('-', "_")] = json!(value);
                            self.give(*to, item);
                        }
                        None => self.fail(s, &item),
                    }
                }
            }
            Verb::Each { to, twice } => {
                for item in taken {
                    let n = if *twice { 2 } else { usize::from(number(&item, "v") > 4) };
                    (0..n).for_each(|_| self.give(*to, item.clone()));
                }
            }
        }
        self.shape.outputs(s).into_iter().for_each(|o| self.streams[o].blocked = blocked);
    }

    fn give(&mut self, to: usize, item: Value) {
        self.streams[to].items.push(item);
    }

    fn fail(&mut self, s: usize, item: &Value) {
        let step = &self.shape.steps[s];
        if step.skips {
            *self.skipped.entry(s).or_default() += 1;
            return;
        }
        *self.dead.entry(s).or_default() += 1;
        self.letters.push((s, item.clone()));
    }

    /// An item that fails at a step, as it was decided to be; none if it was given up.
    fn settled(&mut self, s: usize, mut item: Value) -> Option<Value> {
        while fails(&self.shape.steps[s].verb, &item) {
            let key = (s, item.to_string());
            let Some(decisions) = self.decided.get_mut(&key).filter(|d| !d.is_empty()) else { break };
            match decisions.remove(0) {
                Decision::Skip => {
                    *self.skipped.entry(s).or_default() += 1;
                    return None;
                }
                Decision::Edit(value) => item = value,
            }
        }
        Some(item)
    }

    fn rest(&mut self, s: usize, rest: Rest, item: &Value) {
        match rest {
            Rest::Drop => {}
            Rest::Error => self.fail(s, item),
            Rest::To(to) => self.give(to, item.clone()),
        }
    }

    fn split(&mut self, s: usize, cases: &[(Test, usize)], all: bool, rest: Rest, item: &Value) {
        let mut wanted = vec![];
        for (test, to) in cases {
            match holds(*test, item) {
                None => return self.fail(s, item),
                Some(true) => wanted.push(*to),
                Some(false) => {}
            }
            if !all && !wanted.is_empty() {
                break;
            }
        }
        if wanted.is_empty() {
            return self.rest(s, rest, item);
        }
        wanted.into_iter().for_each(|to| self.give(to, item.clone()));
    }

    /// The steps whose failures a gate judges: those above it, down from the gates before it.
    fn judged(&self, s: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut todo: Vec<usize> = self.shape.steps[s].inputs.clone();
        while let Some(stream) = todo.pop() {
            let Some(w) = (0..self.shape.steps.len()).find(|w| self.shape.outputs(*w).contains(&stream)) else {
                continue;
            };
            let gate = matches!(self.shape.steps[w].verb, Verb::Join { .. } | Verb::Reduce { .. });
            if !gate && found.insert(w) {
                todo.extend(&self.shape.steps[w].inputs);
            }
        }
        found
    }

    fn join(
        &mut self,
        s: usize,
        blocked: bool,
        taken: Vec<Value>,
        gate: (Tolerate, bool),
        (to, done): (usize, Option<usize>),
    ) {
        let (tolerate, fails) = (gate.0, gate.1 || self.shape.is_before_a_pair(s));
        let judged = self.judged(s);
        let of = |counts: &BTreeMap<usize, u64>| judged.iter().filter_map(|w| counts.get(w)).sum::<u64>();
        let (failed, skipped, arrived) = (of(&self.dead), of(&self.skipped), taken.len() as u64);
        let too_many = match tolerate {
            Tolerate::Items(n) => failed > n,
            Tolerate::Percent(n) => 100 * failed > n * (failed + arrived),
        };
        let waits = !blocked && !too_many && self.shape.by_hand.contains(&s) && !self.opened.contains(&s);
        self.waits_for_a_hand.extend(waits.then_some(s));
        self.held |= waits || too_many && !blocked && !fails;
        self.failed |= too_many && !blocked && fails;
        if blocked || too_many || waits {
            self.shape.outputs(s).into_iter().for_each(|o| self.streams[o].blocked = true);
            return;
        }
        self.streams[to].items = taken;
        if let Some(done) = done {
            let join = &self.shape.steps[s].name;
            let item = json!({ "join": join, "count": arrived, "failed": failed, "skipped": skipped });
            let item = self.said.done.entry(s).or_insert(item).clone();
            self.give(done, item);
        }
    }

    fn reduce(&mut self, s: usize, blocked: bool, taken: &[Value], to: usize, (by, fails, strict): (bool, bool, bool)) {
        if let Some(said) = self.said.results.get(&s) {
            self.streams[to].items.clone_from(said);
            self.late(s, taken);
            return;
        }
        let mut sums: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
        for item in taken {
            let Some(v) = (if fails { twelve_by(item) } else { Some(number(item, "v")) }) else {
                self.fail(s, item);
                continue;
            };
            let sum = sums.entry(if by { number(item, "g") } else { 0 }).or_default();
            *sum = (sum.0 + 1, sum.1 + v);
        }
        let judged = self.judged(s).into_iter().chain([s]);
        let failed: u64 = judged.filter_map(|w| self.dead.get(&w)).sum();
        let shut = strict && failed > 0;
        let fails = self.shape.is_before_a_pair(s);
        self.held |= shut && !blocked && !fails;
        self.failed |= shut && !blocked && fails;
        if blocked || shut {
            self.streams[to].blocked = true;
            return;
        }
        if !by && sums.is_empty() {
            sums.insert(0, (0, 0));
        }
        for (g, (c, sum)) in sums {
            self.give(to, if by { json!({ "c": c, "s": sum, "g": g }) } else { json!({ "c": c, "s": sum }) });
        }
        self.said.results.insert(s, self.streams[to].items.clone());
    }

    /// What failed at a reduce that has said its results is as dead as it was.
    fn late(&mut self, s: usize, taken: &[Value]) {
        taken.iter().filter(|item| fails(&self.shape.steps[s].verb, item)).for_each(|item| self.fail(s, item));
    }

    fn pair(&mut self, s: usize, to: usize) {
        let step = &self.shape.steps[s];
        let mut sides = vec![];
        let shut = step.inputs.iter().any(|i| self.streams[*i].blocked);
        for (i, input) in step.inputs.iter().enumerate() {
            let mut side = self.waits.remove(&(step.name.clone(), i)).unwrap_or_default();
            if !self.streams[*input].blocked {
                side.extend(self.streams[*input].items.clone());
            }
            sides.push(side);
        }
        let n = if shut { 0 } else { sides[0].len().min(sides[1].len()) };
        for (l, r) in sides[0].iter().zip(&sides[1]).take(n) {
            self.give(to, json!({ "l": l, "r": r }));
        }
        for (i, (side, input)) in sides.into_iter().zip(&step.inputs).enumerate() {
            if self.shape.streams[*input].moves {
                self.waits.insert((step.name.clone(), i), side[n..].to_vec());
            }
        }
    }
}
