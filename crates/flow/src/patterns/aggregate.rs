//! The aggregates of a reduce: partial results that can be merged in any order.

use crate::expr::{Compiled, Fault, Scope, Size, Value};
use std::collections::HashMap;

/// Where an item stands among all: time, then partition, then offset, then input and stream, then child.
pub type Rank = (i64, u32, i64, u64, u32);

/// One aggregate of an expression.
#[derive(Debug, Clone)]
pub struct Aggregate {
    /// Which.
    pub kind: Kind,
    /// Its arguments.
    pub args: Vec<Compiled>,
}

/// Which aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `count()`, `count(condition)`
    Count,
    /// `sum(x)`
    Sum,
    /// `avg(x)`, `avg(x, weight)`
    Avg,
    /// `min(x)`
    Min,
    /// `max(x)`
    Max,
    /// `first(x)`
    First,
    /// `last(x)`
    Last,
    /// `collect(x)`
    Collect,
}

fn kind(name: &str) -> Option<Kind> {
    Some(match name {
        "count" => Kind::Count,
        "sum" => Kind::Sum,
        "avg" => Kind::Avg,
        "min" => Kind::Min,
        "max" => Kind::Max,
        "first" => Kind::First,
        "last" => Kind::Last,
        "collect" => Kind::Collect,
        _ => return None,
    })
}

/// The aggregates that a compiled expression calls.
pub fn of(compiled: &Compiled) -> Vec<Aggregate> {
    let one = |(name, args): &(String, Vec<Compiled>)| kind(name).map(|kind| Aggregate { kind, args: args.clone() });
    compiled.aggregates.iter().filter_map(one).collect()
}

/// A number that sums exactly while it is whole: `whole` and `carry` × 2⁶⁴, kept narrow because there is one for each key.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum {
    whole: i64,
    carry: i32,
    double: bool,
    rest: f64,
}

impl Sum {
    fn add(&mut self, v: &Value<'_>, weight: Option<f64>) -> Result<(), Fault> {
        if matches!(v, Value::Json(_)) {
            return match v.clone().plain()? {
                Value::Json(_) => Err(Fault::new(format!("{} cannot be added up", v.kind()))),
                plain => self.add(&plain, weight),
            };
        }
        match (v, weight) {
            (Value::Int(i), None) => self.whole(*i),
            (Value::Int(i), Some(w)) => self.real(*i as f64 * w),
            (Value::Double(d), w) => self.real(d * w.unwrap_or(1.0)),
            (other, _) => return Err(Fault::new(format!("{} cannot be added up", other.kind()))),
        }
        Ok(())
    }

    fn whole(&mut self, i: i64) {
        let (sum, over) = self.whole.overflowing_add(i);
        self.whole = sum;
        if over {
            self.carry = self.carry.wrapping_add(if i < 0 { -1 } else { 1 });
        }
    }

    fn real(&mut self, d: f64) {
        self.rest += d;
        self.double = true;
    }

    fn merge(&mut self, other: Sum) {
        self.whole(other.whole);
        self.carry = self.carry.wrapping_add(other.carry);
        self.rest += other.rest;
        self.double |= other.double;
    }

    fn as_f64(self) -> f64 {
        (i128::from(self.whole) + (i128::from(self.carry) << 64)) as f64 + self.rest
    }

    fn value(self) -> Value<'static> {
        match (self.double, self.carry) {
            (false, 0) => Value::Int(self.whole),
            _ => Value::Double(self.as_f64()),
        }
    }
}

/// A value and where its item stands.
pub type Ranked = Box<(Rank, Value<'static>)>;

/// A partial result.
#[derive(Debug)]
pub enum Partial {
    /// So many.
    Count(i64),
    /// A sum of numbers.
    Sum(Sum),
    /// Sums of numbers, field by field.
    Sums(Vec<(String, Sum)>),
    /// A sum and its weight.
    Avg(Sum, f64),
    /// Sums and their weight, field by field.
    Avgs(Vec<(String, Sum)>, f64),
    /// Smallest or largest so far.
    Best(Kind, Option<Value<'static>>),
    /// Earliest or latest so far.
    Edge(Kind, Option<Ranked>),
    /// All, to be ordered at the end.
    All(Vec<(Rank, Value<'static>)>),
    /// Nothing yet: number or map is not known.
    Empty(Kind),
    /// Values that cannot be put together, and why.
    Misfit(Box<str>),
}

impl Partial {
    /// The result of nothing.
    pub fn new(kind: Kind) -> Partial {
        match kind {
            Kind::Count => Partial::Count(0),
            Kind::Sum | Kind::Avg => Partial::Empty(kind),
            Kind::Min | Kind::Max => Partial::Best(kind, None),
            Kind::First | Kind::Last => Partial::Edge(kind, None),
            Kind::Collect => Partial::All(vec![]),
        }
    }

    /// A value that competes for the first or last place.
    pub fn edge(kind: Kind, rank: Rank, value: Value<'static>) -> Partial {
        Partial::Edge(kind, Some(Box::new((rank, value))))
    }

    /// Bytes that it holds beside itself, roughly.
    pub fn bytes(&self) -> usize {
        match self {
            Partial::Sums(s) | Partial::Avgs(s, _) => s.iter().map(|(n, _)| 80 + n.len()).sum(),
            Partial::Best(_, Some(v)) => v.bytes(),
            Partial::Edge(_, Some(ranked)) => size_of_val::<(Rank, Value<'static>)>(ranked) + ranked.1.bytes(),
            Partial::All(all) => all.iter().map(|(_, v)| 32 + v.bytes()).sum(),
            Partial::Misfit(why) => why.len(),
            _ => 0,
        }
    }

    /// Merges the partial result of later items; by how many bytes it grew.
    ///
    /// What does not fit spoils the result of its key, however the items were cut into chunks.
    pub fn merge(&mut self, other: Partial) -> isize {
        let before = match (&*self, &other) {
            (Partial::Count(_), Partial::Count(_)) | (Partial::Sum(_), Partial::Sum(_)) => {
                self.join(other);
                return 0; // nothing beside themselves
            }
            (Partial::All(_), Partial::All(_)) => {
                let added = other.bytes(); // all the others would be counted again with every item
                self.join(other);
                return added as isize;
            }
            (mine, _) => mine.bytes(),
        };
        self.join(other);
        self.bytes() as isize - before as isize
    }

    fn join(&mut self, other: Partial) {
        match (self, other) {
            (_, Partial::Empty(_)) | (Partial::Misfit(_), _) => {}
            (mine @ Partial::Empty(_), other) => *mine = other,
            (mine, misfit @ Partial::Misfit(_)) => *mine = misfit,
            (Partial::Count(a), Partial::Count(b)) => *a += b,
            (Partial::Sum(a), Partial::Sum(b)) => a.merge(b),
            (Partial::Sums(a), Partial::Sums(b)) => merge_fields(a, b),
            (Partial::Avg(a, w), Partial::Avg(b, v)) => {
                a.merge(b);
                *w += v;
            }
            (Partial::Avgs(a, w), Partial::Avgs(b, v)) => {
                merge_fields(a, b);
                *w += v;
            }
            (mine @ Partial::Best(..), Partial::Best(kind, Some(b))) => mine.better(kind, b),
            (Partial::Edge(kind, a), Partial::Edge(_, Some(b))) => edge(*kind, a, b),
            (Partial::All(a), Partial::All(b)) => a.extend(b),
            (Partial::Best(..), Partial::Best(_, None)) | (Partial::Edge(..), Partial::Edge(_, None)) => {}
            (mine, _) => *mine = Partial::Misfit("numbers and objects cannot be added up together".into()),
        }
    }

    fn better(&mut self, kind: Kind, b: Value<'static>) {
        let Partial::Best(_, mine) = self else { return };
        let Some(a) = mine else { return *mine = Some(b) };
        match b.order(a) {
            Some(order) if (kind == Kind::Min && order.is_lt()) || (kind == Kind::Max && order.is_gt()) => *a = b,
            Some(_) => {}
            None => {
                let mut kinds = [a.kind(), b.kind()];
                kinds.sort_unstable(); // the same text, whichever came first
                *self = Partial::Misfit(format!("{} and {} have no order", kinds[0], kinds[1]).into());
            }
        }
    }

    /// The result.
    ///
    /// # Errors
    ///
    /// What was met does not fit the aggregate, or is out of range.
    pub fn value(&self) -> Result<Value<'static>, Fault> {
        let text = |n: &String| Value::Text(n.clone().into());
        Ok(match self {
            Partial::Count(n) => Value::Int(*n),
            Partial::Sum(s) => s.value(),
            Partial::Sums(fields) => Value::Map(fields.iter().map(|(n, s)| (text(n), s.value())).collect()),
            Partial::Avg(s, w) => ratio(*s, *w)?,
            Partial::Avgs(fields, w) => {
                let field = |(n, s): &(String, Sum)| Ok((text(n), ratio(*s, *w)?));
                Value::Map(fields.iter().map(field).collect::<Result<_, Fault>>()?)
            }
            Partial::Best(_, v) => v.clone().unwrap_or(Value::Null),
            Partial::Edge(_, ranked) => ranked.as_ref().map_or(Value::Null, |r| r.1.clone()),
            Partial::All(all) => {
                let mut all: Vec<_> = all.iter().collect();
                all.sort_by_key(|(rank, _)| *rank);
                let mut size = Size::written();
                all.iter().try_for_each(|(_, v)| size.add(v))?; // before it is copied
                Value::List(all.into_iter().map(|(_, v)| v.clone()).collect())
            }
            Partial::Empty(Kind::Sum) => Value::Int(0),
            Partial::Empty(_) => Value::Null,
            Partial::Misfit(why) => return Err(Fault::new(&**why)),
        })
    }
}

/// Nothing that weighs anything has no average; one that leaves the range of doubles is an error of its key.
fn ratio(sum: Sum, weight: f64) -> Result<Value<'static>, Fault> {
    let d = sum.as_f64() / weight;
    match d.is_finite() && weight.is_finite() {
        true => Ok(Value::Double(d)),
        false if weight == 0.0 => Ok(Value::Null),
        false => Err(Fault::new("the sum of an average is out of range")),
    }
}

/// Fields that are looked for one by one.
const FEW_FIELDS: usize = 16;

fn merge_fields(a: &mut Vec<(String, Sum)>, b: Vec<(String, Sum)>) {
    if b.len() > FEW_FIELDS {
        // each name looked for through all the others would take minutes
        let places: HashMap<String, usize> = a.iter().enumerate().map(|(i, (n, _))| (n.clone(), i)).collect();
        for (name, sum) in b {
            match places.get(&name) {
                Some(i) => a[*i].1.merge(sum),
                None => a.push((name, sum)),
            }
        }
        return;
    }
    for (name, sum) in b {
        match a.iter_mut().find(|(n, _)| *n == name) {
            Some((_, had)) => had.merge(sum),
            None => a.push((name, sum)),
        }
    }
}

fn edge(kind: Kind, a: &mut Option<Ranked>, b: Ranked) {
    let takes = a.as_ref().is_none_or(|a| if kind == Kind::First { b.0 < a.0 } else { b.0 >= a.0 });
    if takes {
        *a = Some(b);
    }
}

impl Aggregate {
    /// The partial result of one item.
    ///
    /// # Errors
    ///
    /// An argument cannot be computed.
    pub fn one(&self, scope: &Scope<'_>, rank: Rank) -> Result<Partial, Fault> {
        let arg = |i: usize| self.args.get(i).map(|a| a.eval(scope)).transpose();
        let first = arg(0)?;
        let mut partial = Partial::new(self.kind);
        match (self.kind, first) {
            (Kind::Count, None | Some(Value::Bool(true))) => partial = Partial::Count(1),
            (Kind::Count, Some(Value::Bool(false))) => {}
            (Kind::Count, Some(v)) => return Err(Fault::new(format!("`count` of a condition that is {}", v.kind()))),
            (Kind::Sum, Some(v)) => match v.into_opened()? {
                Value::Map(map) => partial = Partial::Sums(sums(&map, None)?),
                v => {
                    let mut sum = Sum::default();
                    sum.add(&v, None)?;
                    partial = Partial::Sum(sum);
                }
            },
            (Kind::Avg, Some(v)) => {
                let weight = arg(1)?.map(|w| weight(&w)).transpose()?;
                let total = weight.unwrap_or(1.0);
                match v.into_opened()? {
                    Value::Map(map) => partial = Partial::Avgs(sums(&map, weight)?, total),
                    v => {
                        let mut sum = Sum::default();
                        sum.add(&v, weight)?;
                        partial = Partial::Avg(sum, total);
                    }
                }
            }
            (Kind::Min | Kind::Max, Some(v)) => {
                if v.order(&v).is_none() {
                    return Err(Fault::new(format!("{} has no order", v.kind())));
                }
                partial = Partial::Best(self.kind, Some(v.into_owned()));
            }
            (Kind::First | Kind::Last, Some(v)) => partial = Partial::edge(self.kind, rank, v.into_owned()),
            (Kind::Collect, Some(v)) => partial = Partial::All(vec![(rank, v.into_owned())]),
            (_, None) => return Err(Fault::new("an aggregate without a value")),
        }
        Ok(partial)
    }
}

fn weight(v: &Value<'_>) -> Result<f64, Fault> {
    match v.clone().plain()? {
        Value::Int(i) if i >= 0 => Ok(i as f64),
        Value::Double(d) if d >= 0.0 => Ok(d),
        other => Err(Fault::new(format!("a weight must be a number of at least 0, this one is {}", other.kind()))),
    }
}

fn sums(map: &[(Value<'_>, Value<'_>)], weight: Option<f64>) -> Result<Vec<(String, Sum)>, Fault> {
    map.iter()
        .map(|(name, v)| {
            let mut sum = Sum::default();
            sum.add(v, weight)?;
            Ok((crate::expr::write::text(name)?, sum))
        })
        .collect()
}
