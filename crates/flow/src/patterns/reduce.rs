//! Reduce: the final value of each key equals the plain fold over its items.
//!
//! It starts while its input is still being made; finals come out once, in key
//! order, when the input has ended. Its state is never stored: after a crash the
//! input of the run is read again, with everything but the folding left out.

use super::aggregate::{Aggregate, Kind as Which, Partial, Rank};
use super::barrier::{Gate, IF_FAILED, TOLERATE, Tolerate};
use super::fold::{Fold, Shape, by, by_aggregates, folded};
use super::table::{self, Groups, Met};
use super::{Effects, Finals, Kind, Pattern, Scratch, Stripe, Vars, Verb, View, bounded};
use crate::diagnostic::Diagnostic;
use crate::expr::{Compiled, Fault, Names, Reads, Scope, Size, Value, write};
use crate::format::Format;
use crate::read::Reading;
use crate::read::keys::{Faults, Keys};
use crate::read::ports::Ports;
use crate::spec::{Is, Key, Spec};
use anabranch_engine::Item;
use bytes::Bytes;
use std::cmp::Ordering;
use std::ops::Range;

/// The verb.
pub const VERB: Verb = Verb {
    spec: Spec {
        name: "reduce",
        doc: "Folds many items into one, or into one for each key; or pairs the items of two streams.",
        many: true,
        keys: &[
            Key::new(
                "by",
                Is::Shape,
                "The key: a field of the item, or a map of names and expressions. Its fields stand in the result.",
                "by: item.user",
            )
            .depends("one result"),
            Key::new(
                "value",
                Is::Shape,
                "The result: expressions over the aggregates; of a pair over `a` and `b`.",
                "value: { count: count() }",
            ),
            Key::new("fold", Is::Shape, "Makes one value of two, `a` and `b`, until one is left.", "fold: 'a + b'"),
            TOLERATE.usual("100%"),
            IF_FAILED,
            Key::new(
                "pair",
                Is::Word(&["lockstep"]),
                "Pairs the i-th items of each partition of two inputs.",
                "pair: lockstep",
            ),
            Key::new("emit", Is::Word(&["final"]), "When results are written.", "emit: final").usual("final"),
            Key::new("to", Is::Stream, "The output.", "to: counts").depends("the name of the step"),
        ],
        example: "counts: { reduce: words, by: { word: item }, value: { count: count() } }",
    },
    routes: false,
    fans_out: false,
    ports: Ports::only,
    read,
};

fn read(keys: &mut Keys<'_>, reading: &Reading<'_>, faults: &mut Faults) -> Option<Kind> {
    if keys.key_span("pair").is_some() {
        return pair_of_two(keys, reading, faults);
    }
    let names = reading.names();
    let mut reads = Reads::default();
    if keys.word("emit", faults).is_none()
        && let Some(span) = keys.key_span("emit")
    {
        let what = "`emit: changes` and `emit: 10s` are not in this version";
        faults.push(Diagnostic::error("not-in-this-version", span, what));
    }
    let gate = Gate::read(keys, Tolerate::Percent(100.0), faults);
    let by = by(keys, &names, &mut reads, faults);
    let (fold, aggregates) = match (keys.node("value"), keys.node("fold")) {
        (Some(value), None) => by_aggregates(value, &names, &mut reads, faults)?,
        (None, Some(fold)) => {
            reads.item = true;
            let names = Names { item: false, extra: vec!["a", "b"], ..names };
            (Fold::Pairs(folded(fold, "fold", &names, faults)?), vec![])
        }
        (both, _) => {
            let what = if both.is_some() { "`value` or `fold`, not both" } else { "`reduce` needs `value` or `fold`" };
            faults.push(
                Diagnostic::error("missing-key", keys.span, what)
                    .label("as in  value: { count: count() }  or  fold: 'a + b'"),
            );
            return None;
        }
    };
    Some(Kind::Reduce(Box::new(Reduce { by: by?, fold, reads, aggregates, format: reading.out }), gate))
}

/// A reduce with `pair`.
fn pair_of_two(keys: &mut Keys<'_>, reading: &Reading<'_>, faults: &mut Faults) -> Option<Kind> {
    keys.word("pair", faults)?;
    if reading.inputs != 2 {
        let what = format!("`pair` needs two inputs, {} are given", reading.inputs);
        faults.push(Diagnostic::error("pair-inputs", reading.verb_span, what).label("as in  reduce: [left, right]"));
    }
    let names = Names { item: false, extra: vec!["a", "b"], ..reading.names() };
    let Some(value) = keys.node("value") else {
        let fault = Diagnostic::error("missing-key", keys.span, format!("{} needs `value`", keys.of));
        faults.push(fault.label("as in  value: { left: a, right: b }"));
        return None;
    };
    Some(Kind::Pair(folded(value, "value", &names, faults)?))
}

/// Folds many items into one for each key.
#[derive(Debug, Clone)]
pub struct Reduce {
    /// The key: fields of the result, in order. Empty = one result.
    pub by: Vec<(String, Compiled)>,
    /// How items become a value.
    pub fold: Fold,
    /// What `by` and the aggregates read.
    pub reads: Reads,
    /// The aggregates of `fold`, in the order in which it calls them.
    pub aggregates: Vec<Aggregate>,
    /// How finals are written.
    pub format: Format,
}

/// A folded value of `fold`; the rank is that of its last item.
const PAIRS: Which = Which::Last;

impl Reduce {
    /// The key of what `scope` shows, as compact JSON.
    fn key(&self, scope: &Scope<'_>, key: &mut Vec<u8>) -> Result<(), Fault> {
        key.clear();
        key.push(b'[');
        for (i, (_, by)) in self.by.iter().enumerate() {
            if i > 0 {
                key.push(b',');
            }
            if let Some(raw) = by.raw(scope).filter(|raw| write::is_canonical(raw)) {
                key.extend_from_slice(raw.as_bytes());
                continue;
            }
            let value = by.eval(scope)?;
            if matches!(value, Value::Null | Value::Optional(None)) {
                return Err(Fault::new(format!("`by: {}` is null", by.text)));
            }
            write::canonical(key, &value)?;
        }
        key.push(b']');
        Ok(())
    }

    fn take(&self, vars: &Vars, row: &Row<'_>, ones: &mut Vec<Partial>, scratch: &mut Scratch) -> Result<(), Fault> {
        let place = &row.scope.place;
        let rank: Rank = (row.timestamp, place.partition, place.offset, row.source, row.row);
        ones.clear();
        match &self.fold {
            Fold::Pairs(_) => ones.push(Partial::edge(PAIRS, rank, row.scope.item()?.into_owned())),
            _ => {
                for aggregate in &self.aggregates {
                    ones.push(aggregate.one(&row.scope, rank)?);
                }
            }
        }
        let hash = table::hash(row.key);
        let groups = &mut scratch.chunk_stripe(hash).groups;
        let at = groups.find(hash, row.key);
        let newest = row.timestamp;
        self.put(vars, groups, Met { at, hash, newest, key: row.key, partials: &mut ones.drain(..) });
        Ok(())
    }

    /// Puts partial results into the group of their key.
    fn put(&self, vars: &Vars, groups: &mut Groups, met: Met<'_>) {
        let Met { at, hash, newest, key, partials } = met;
        let Some(i) = at else { return groups.add(hash, key, newest, partials) };
        let mut grown = 0;
        for (mine, other) in groups.partials_mut(i).iter_mut().zip(partials) {
            grown += match &self.fold {
                Fold::Pairs(shape) => pair(vars, shape, mine, other),
                _ => mine.merge(other),
            };
        }
        groups.grew(i, newest, grown);
    }

    /// The final of one group.
    fn last_word(&self, vars: &Vars, groups: &Groups, i: usize) -> Result<Item, Fault> {
        let values = groups.partials(i).iter().map(Partial::value).collect::<Result<Vec<_>, _>>()?;
        let (key, newest) = (groups.key(i), groups.group(i).map_or(0, |g| g.newest));
        let mut scope = Scope::of_run(&vars.run, &vars.env);
        let value = match &self.fold {
            Fold::Pairs(_) => values.into_iter().next().unwrap_or(Value::Null),
            Fold::Value(e) => {
                scope.extra = &values;
                e.eval(&scope)?.into_owned()
            }
            Fold::Object(fields) => {
                let mut size = Size::written();
                let mut object = Vec::with_capacity(fields.len());
                for (name, e, before) in fields {
                    scope.extra = values.get(*before..).unwrap_or_default();
                    let value = e.eval(&scope)?;
                    size.add(&value)?;
                    object.push((Value::text(name), value.into_owned()));
                }
                Value::Map(object)
            }
        };
        let by = key_values(key)?;
        let key = item_key(key, &by)?;
        let value = bounded(self.format.write(&self.extended(value, by)?)?)?;
        let headers = vec![("final".to_string(), Some(Bytes::from_static(b"true")))];
        Ok(Item { key, value: Some(value.into()), headers, timestamp: newest })
    }

    /// What is kept where a final cannot be said: the fields of its key.
    fn lost(&self, key: &[u8], newest: i64) -> Result<Item, Fault> {
        let by = key_values(key)?;
        let key = item_key(key, &by)?;
        let value = self.format.write(&self.extended(Value::Map(vec![]), by)?)?;
        Ok(Item { key, value: Some(value.into()), headers: vec![], timestamp: newest })
    }

    /// The result with the fields of its key; a field of the key wins over one of the value.
    fn extended<'v>(&'v self, value: Value<'v>, by: Vec<Value<'v>>) -> Result<Value<'v>, Fault> {
        if by.is_empty() {
            return Ok(value);
        }
        let names = self.by.iter().map(|(n, _)| Value::text(n));
        let keys = by.len();
        let mut object: Vec<_> = names.zip(by).collect();
        match value.into_opened()? {
            Value::Map(fields) => {
                for (name, value) in fields {
                    if crate::expr::find(&object[..keys], &name)?.is_none() {
                        object.push((name, value));
                    }
                }
            }
            other => object.push((Value::text("value"), other)),
        }
        Ok(Value::Map(object))
    }
}

/// The values of a key.
fn key_values(key: &[u8]) -> Result<Vec<Value<'_>>, Fault> {
    let text = std::str::from_utf8(key).map_err(|_| Fault::new("a key is not UTF-8"))?;
    match Value::from_json(text)?.into_opened()? {
        Value::List(list) => Ok(list),
        _ => Ok(vec![]),
    }
}

/// The key of a final.
fn item_key(key: &[u8], by: &[Value<'_>]) -> Result<Option<Bytes>, Fault> {
    Ok(match by {
        [] => None,
        [one] => Some(Bytes::from(write::item(one)?)),
        _ => Some(Bytes::copy_from_slice(key)),
    })
}

/// Keys in the order people expect: numbers by value, text by letter, others by their JSON.
fn key_order(a: (&[Value<'_>], &[u8]), b: (&[Value<'_>], &[u8])) -> Ordering {
    for (x, y) in a.0.iter().zip(b.0) {
        let order = x.order(y).unwrap_or_else(|| x.kind().cmp(y.kind()));
        if order.is_ne() {
            return order;
        }
    }
    a.1.cmp(b.1)
}

/// What a reduce needs of one item.
struct Row<'a> {
    scope: Scope<'a>,
    timestamp: i64,
    source: u64,
    row: u32,
    key: &'a [u8],
}

/// Tells items of two inputs, or of two streams behind one, apart that have one place: the first input goes first, and of
/// streams always the same one.
fn source(input: usize, stream: &str) -> u64 {
    (input as u64) << 32 | table::hash(stream.as_bytes()) >> 32
}

/// `fold` applied to what is folded and what comes; by how many bytes it grew.
fn pair(vars: &Vars, shape: &Shape, mine: &mut Partial, other: Partial) -> isize {
    let (Partial::Edge(_, Some(a)), Partial::Edge(_, Some(b))) = (&*mine, &other) else { return mine.merge(other) };
    let extra = [a.1.clone(), b.1.clone()];
    let mut scope = Scope::of_run(&vars.run, &vars.env);
    scope.extra = &extra;
    let before = mine.bytes();
    *mine = match shape.eval(&scope) {
        Ok(value) => Partial::edge(PAIRS, a.0.max(b.0), value),
        Err(fault) => Partial::Misfit(fault.to_string().into()),
    };
    mine.bytes() as isize - before as isize
}

impl Pattern for Reduce {
    fn apply(&self, input: usize, view: &View<'_>, scratch: &mut Scratch, out: &mut Effects) {
        let (mut key, mut slots, mut ones) = (vec![], vec![], vec![]);
        let source = source(input, view.part.above(0, 0).0);
        for record in view.items() {
            out.taken += 1;
            let taken = view.scope(&record, &self.reads, &mut slots).and_then(|scope| {
                self.key(&scope, &mut key)?;
                let (timestamp, row) = (record.timestamp(), record.row() as u32);
                let row = Row { scope, timestamp, source, row, key: &key };
                self.take(view.vars, &row, &mut ones, scratch)
            });
            match taken {
                Ok(()) => out.folded += 1,
                Err(fault) => out.failed.push((record.row(), fault)),
            }
        }
    }

    fn absorb(&self, vars: &Vars, into: &mut Stripe, chunk: Stripe) {
        into.groups.meet(chunk.groups, |groups, met| self.put(vars, groups, met));
    }

    fn order(&self, vars: &Vars, scratch: &mut Scratch) -> Result<usize, Fault> {
        if self.by.is_empty() && scratch.keys() == 0 && !matches!(self.fold, Fold::Pairs(_)) {
            let newest = vars.run.started.as_millisecond();
            let nothing = self.aggregates.iter().map(|a| Partial::new(a.kind));
            let hash = table::hash(b"[]");
            scratch.stripe(hash).groups.add(hash, b"[]", newest, nothing);
        }
        if scratch.sorted.len() < scratch.keys() {
            scratch.sorted = in_order(&scratch.stripes)?;
        }
        Ok(scratch.sorted.len())
    }

    fn finals(&self, vars: &Vars, scratch: &Scratch, which: Range<usize>, out: &mut Finals) -> Result<(), Fault> {
        for (stripe, i) in scratch.sorted.get(which).unwrap_or_default() {
            let groups = &scratch.stripes[*stripe].groups;
            match self.last_word(vars, groups, *i) {
                Ok(item) => out.items.push(item),
                Err(fault) => {
                    let newest = groups.group(*i).map_or(0, |g| g.newest);
                    let key = String::from_utf8_lossy(groups.key(*i)).into_owned();
                    out.failed.push((key, fault, self.lost(groups.key(*i), newest)?));
                }
            }
        }
        Ok(())
    }
}

/// The groups in the order of their keys.
fn in_order(stripes: &[Stripe]) -> Result<Vec<(usize, usize)>, Fault> {
    let all = stripes.iter().enumerate().flat_map(|(s, stripe)| (0..stripe.groups.len()).map(move |i| (s, i)));
    let keys = all.map(|(s, i)| {
        let key = stripes[s].groups.key(i);
        Ok((key_values(key)?, key, (s, i)))
    });
    let mut keys = keys.collect::<Result<Vec<_>, Fault>>()?;
    keys.sort_unstable_by(|a, b| key_order((&a.0, a.1), (&b.0, b.1)));
    Ok(keys.into_iter().map(|(_, _, at)| at).collect())
}

#[cfg(test)]
mod tests {
    use crate::patterns::trial;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Cuts lines into pieces.
    fn cut(lines: &[String], cuts: &[prop::sample::Index]) -> Vec<Vec<String>> {
        let mut at: Vec<usize> = cuts.iter().map(|c| c.index(lines.len() + 1)).collect();
        at.extend([0, lines.len()]);
        at.sort();
        at.windows(2).map(|w| lines[w[0]..w[1]].to_vec()).collect()
    }

    /// `n` and the key of lines that have both.
    fn read(lines: &[String]) -> Vec<(i64, String)> {
        let one = |l: &String| {
            let v = trial::read(l)?;
            Some((v["n"].as_i64()?, v.get("k").filter(|k| !k.is_null())?.to_string()))
        };
        lines.iter().filter_map(one).collect()
    }

    proptest! {
        #[test]
        fn finals_equal_the_plain_fold_however_it_is_cut(lines in trial::lines(), cuts: Vec<prop::sample::Index>, at_once in 1..4usize) {
            let step = trial::step("{ reduce: all, by: item.k, value: { c: count(), s: sum(item.n), lo: min(item.n), hi: max(item.n), f: first(item.n), all: collect(item.n), big: count(item.n > 0) }, to: a }");
            let mut groups: BTreeMap<String, Vec<i64>> = BTreeMap::new();
            read(&lines).into_iter().for_each(|(n, k)| groups.entry(k).or_default().push(n));
            let mut want: Vec<String> = groups.iter().map(|(k, n)| {
                let list: Vec<String> = n.iter().map(i64::to_string).collect();
                format!("{{\"k\":{k},\"c\":{},\"s\":{},\"lo\":{},\"hi\":{},\"f\":{},\"all\":[{}],\"big\":{}}}", n.len(), n.iter().sum::<i64>(),
                    n.iter().min().expect("some"), n.iter().max().expect("some"), n[0], list.join(","), n.iter().filter(|n| **n > 0).count())
            }).collect();
            // the pieces of a trial count their timestamps from 0 each, so only the whole has one order
            let pieces = if cuts.len() > 3 { cut(&lines, &cuts) } else { vec![lines.clone()] };
            let mut got = trial::finals(&step, &pieces, at_once);
            if pieces.len() > 1 {
                let bare = |l: &String| serde_json::from_str::<serde_json::Value>(l).map(|mut v| { v["f"] = 0.into(); v["all"] = 0.into(); v.to_string() }).expect("json");
                got = got.iter().map(bare).collect();
                want = want.iter().map(bare).collect();
            }
            got.sort();
            want.sort();
            prop_assert_eq!(got, want);
        }

        #[test]
        fn a_fold_equals_the_plain_fold(lines in trial::lines(), cuts: Vec<prop::sample::Index>) {
            let lines: Vec<String> = read(&lines).into_iter().map(|(n, _)| n.to_string()).collect();
            prop_assume!(!lines.is_empty());
            let step = trial::step("{ reduce: all, fold: 'a > b ? a : b', to: a }");
            let want = lines.iter().filter_map(|l| l.parse::<i64>().ok()).max().expect("some").to_string();
            prop_assert_eq!(trial::finals(&step, &cut(&lines, &cuts), 1), [want]);
        }
    }

    #[test]
    fn a_final_that_is_text_is_json_where_its_stream_is() {
        let item = |at: &str, s: &str| format!(r#"{{"at":"{at}","s":"{s}"}}"#);
        let lines = [item("2026-01-01T00:00:00Z", "abc"), item("2025-01-01T00:00:00Z", "1.10")];
        for (value, want) in [
            ("first(item.s)", r#""abc""#),
            ("last(item.s)", r#""1.10""#),
            ("max(timestamp(item.at))", r#""2026-01-01T00:00:00Z""#),
        ] {
            let step = trial::step(&format!("{{ reduce: all, value: {value}, to: a }}"));
            assert_eq!(trial::finals(&step, &[lines.to_vec()], 1), [want], "{value}");
        }
    }

    #[test]
    fn items_of_one_place_go_by_their_input_whoever_comes_first() {
        let step =
            trial::step("{ reduce: all, value: { f: first(item.n), l: last(item.n), all: collect(item.n) }, to: a }");
        let [a, b] = [1, 2].map(|n| vec![format!("{{\"n\":{n}}}")]);
        let want = [r#"{"f":1,"l":2,"all":[1,2]}"#];
        assert_eq!(trial::finals_from(&step, &[(0, &a), (1, &b)], 1), want);
        assert_eq!(trial::finals_from(&step, &[(1, &b), (0, &a)], 1), want);
    }

    #[test]
    fn an_empty_batch_without_a_key_has_one_final() {
        let step = trial::step(
            "{ reduce: all, value: { n: count(), s: sum(item.n), a: avg(item.n), f: first(item.n) }, to: a }",
        );
        assert_eq!(trial::finals(&step, &[], 10), [r#"{"n":0,"s":0,"a":null,"f":null}"#]);
        let step = trial::step("{ reduce: all, by: item.k, value: { n: count() }, to: a }");
        assert_eq!(trial::finals(&step, &[], 10), Vec::<String>::new());
    }

    #[test]
    fn maps_are_added_up_field_by_field() {
        let step = trial::step("{ reduce: all, value: { v: sum(item.v), h: 'avg(item.v, item.w)' }, to: a }");
        let lines = [r#"{"v":{"car":1,"bus":2},"w":1}"#, r#"{"v":{"car":3},"w":3}"#].map(String::from).to_vec();
        assert_eq!(trial::finals(&step, &[lines], 10), [r#"{"v":{"car":4,"bus":2},"h":{"car":2.5,"bus":0.5}}"#]);
    }

    #[test]
    fn thousands_of_keys_come_together_in_chunks_that_only_list_them() {
        let step = trial::step("{ reduce: all, by: item.k, value: { c: count() }, to: a }");
        // most keys once, some twice in a row and some again in the next chunk
        let keys = |from: usize, to: usize| (from..to).flat_map(|k| vec![k; 1 + usize::from(k % 5 == 0)]);
        let pieces = [(0, 5_000), (4_000, 9_000)]
            .map(|(from, to)| keys(from, to).map(|k| format!("{{\"k\":{k}}}")).collect::<Vec<_>>());
        let mut want = BTreeMap::<usize, usize>::new();
        keys(0, 5_000).chain(keys(4_000, 9_000)).for_each(|k| *want.entry(k).or_default() += 1);
        let want: Vec<String> = want.iter().map(|(k, c)| format!("{{\"k\":{k},\"c\":{c}}}")).collect();
        assert_eq!(trial::finals(&step, &pieces, 10_000), want);
    }

    #[test]
    fn whole_sums_are_exact_beyond_64_bits_on_their_way() {
        let step = trial::step("{ reduce: all, value: sum(item.n), to: a }");
        let lines = |ns: &[i64]| ns.iter().map(|n| format!("{{\"n\":{n}}}")).collect::<Vec<_>>();
        let there_and_back = [lines(&[i64::MAX, i64::MAX, 7]), lines(&[i64::MIN, i64::MIN, 2])];
        assert_eq!(trial::finals(&step, &there_and_back, 10), ["7"]);
        assert_eq!(trial::finals(&step, &[lines(&[i64::MAX, i64::MAX])], 10), ["1.8446744073709552e+19"]);
    }
}
