//! Drawing a flow: every verb, several readers of one stream, views of views, gates in a row.

use super::shape::{Home, Rest, Shape, Source, Step, Stream, Test, Tolerate, Verb};
use anabranch_trial::rng::Rng;

/// A flow of this seed, with at most so many steps drawn; a few more may be needed to end what nobody reads.
pub fn draw(dice: &mut Rng, steps: u64) -> Shape {
    let mut shape = Shape::default();
    for i in 0..1 + dice.below(3) {
        let source = if dice.eighths(4) { Source::File } else { Source::Topic(1 + dice.below(3) as u32) };
        shape.streams.push(Stream {
            name: format!("in{i}"),
            source,
            home: Home::Internal,
            ordered: !matches!(source, Source::Topic(2..)),
            sharded: false,
            moves: source != Source::File,
            gated: false,
            plain: true,
            readers: 0,
            own_name: false,
        });
    }
    for i in 0..1 + dice.below(steps) {
        step(&mut shape, dice, i);
    }
    ends(&mut shape, dice);
    shape.written = (0..shape.steps.len()).collect();
    if dice.eighths(4) {
        dice.shuffle(&mut shape.written); // a step may stand before what it reads from
    }
    shape
}

fn test(dice: &mut Rng) -> Test {
    match dice.below(5) {
        0 => Test::Fails(dice.below(4) as i64),
        1 | 2 => Test::Group(dice.below(4) as i64),
        _ => Test::Above(dice.below(8) as i64),
    }
}

/// What a new stream of a step is like, by what the step reads.
struct Like {
    ordered: bool,
    moves: bool,
    gated: bool,
    plain: bool,
}

impl Shape {
    fn make(&mut self, name: String, like: &Like, own_name: bool, sharded: bool) -> usize {
        let Like { ordered, moves, gated, plain } = *like;
        let source = Source::Step;
        let home = Home::Internal;
        self.streams.push(Stream { name, source, home, ordered, sharded, moves, gated, plain, readers: 0, own_name });
        self.streams.len() - 1
    }
}

fn pick(shape: &Shape, dice: &mut Rng, fits: impl Fn(&Stream) -> bool) -> Option<usize> {
    let mut all: Vec<usize> = (0..shape.streams.len()).filter(|s| fits(&shape.streams[*s])).collect();
    // what nobody reads yet comes first, every second time: flows are rather deep than wide
    if dice.eighths(4) && all.iter().any(|s| shape.streams[*s].readers == 0) {
        all.retain(|s| shape.streams[*s].readers == 0);
    }
    if all.is_empty() { None } else { Some(all[dice.below(all.len() as u64) as usize]) }
}

/// Draws a step that fits what is there; none if nothing does.
fn step(shape: &mut Shape, dice: &mut Rng, i: u64) {
    let kind = dice.below(13);
    let inputs = inputs(shape, dice, kind);
    let Some(first) = inputs.first().copied() else { return };
    let of = |f: fn(&Stream) -> bool| inputs.iter().any(|s| f(&shape.streams[*s]));
    let like = Like {
        ordered: inputs.len() == 1 && shape.streams[first].ordered && !shape.streams[first].sharded,
        moves: of(|s| s.moves),
        gated: of(|s| s.gated),
        plain: true,
    };
    let name = format!("s{i}");
    let (several, sharded) = (inputs.len() > 1, shape.streams[first].sharded);
    let verb = match kind {
        0..=4 => gather(shape, dice, &name, if several || sharded || kind > 1 { kind } else { REDUCE }, like),
        5 if several => Verb::Pair { to: shape.make(name.clone(), &Like { plain: false, ..like }, true, false) },
        6 | 7 if sharded => {
            let to = shape.make(format!("{name}-{{shard}}"), &like, false, true);
            if kind == 6 { Verb::Set { to, fails: dice.eighths(3) } } else { Verb::Pipe { to } }
        }
        6 => Verb::Set { fails: dice.eighths(4), to: shape.make(name.clone(), &like, true, false) },
        7 => Verb::Pipe { to: shape.make(name.clone(), &like, true, false) },
        _ => route(shape, dice, &name, kind, like),
    };
    inputs.iter().for_each(|s| shape.streams[*s].readers += 1);
    let skips = dice.eighths(1) && !matches!(verb, Verb::Join { .. } | Verb::Merge { .. } | Verb::Copy { .. });
    shape.steps.push(Step { name, inputs, verb, skips });
}

/// Streams for a step of this kind.
fn inputs(shape: &Shape, dice: &mut Rng, kind: u64) -> Vec<usize> {
    match kind {
        // a step that takes several streams as one
        0..=4 => {
            let mut inputs: Vec<usize> = vec![];
            for _ in 0..1 + dice.below(3) {
                inputs.extend(pick(shape, dice, |s| s.plain).filter(|s| !inputs.contains(s)));
            }
            inputs
        }
        5 => {
            let fits = |s: &Stream| s.ordered && s.plain && !s.sharded;
            let a = pick(shape, dice, fits);
            let b = pick(shape, dice, fits);
            a.into_iter().chain(b.filter(|b| Some(*b) != a)).collect()
        }
        6 | 7 => pick(shape, dice, |s| s.plain).into_iter().collect(),
        _ => pick(shape, dice, |s| s.plain && !s.sharded).into_iter().collect(),
    }
}

/// A kind of step that is a reduce.
const REDUCE: u64 = 4;

/// A step that takes several streams as one: a merge where there are several, a join, a reduce.
fn gather(shape: &mut Shape, dice: &mut Rng, name: &str, kind: u64, like: Like) -> Verb {
    let is_view = like.ordered; // a join changes no order
    let mut like = Like { ordered: false, ..like };
    match kind {
        0 | 1 => Verb::Merge { to: shape.make(name.to_string(), &like, true, false) },
        2 | 3 => {
            let done = dice.eighths(2).then(|| {
                let told = Like { ordered: false, moves: like.moves, gated: true, plain: false };
                shape.make(format!("{name}told"), &told, false, false)
            });
            (like.gated, like.ordered) = (true, is_view);
            let tolerate =
                if dice.eighths(4) { Tolerate::Items(dice.below(4)) } else { Tolerate::Percent(dice.below(60)) };
            Verb::Join { to: shape.make(name.to_string(), &like, true, false), tolerate, done, fails: dice.eighths(1) }
        }
        _ => {
            let strict = dice.eighths(2);
            like.plain = false;
            like.gated |= strict;
            let to = shape.make(name.to_string(), &like, true, false);
            Verb::Reduce { by: dice.eighths(4), fails: dice.eighths(2), strict, to }
        }
    }
}

/// A step that decides where items go, or makes several of one.
fn route(shape: &mut Shape, dice: &mut Rng, name: &str, kind: u64, like: Like) -> Verb {
    match kind {
        9 => Verb::Filter {
            test: test(dice),
            to: shape.make(name.to_string(), &like, true, false),
            rest: dice.eighths(4).then(|| shape.make(format!("{name}r"), &like, false, false)),
        },
        10 => {
            let n = 1 + dice.below(3);
            let cases = (0..n).map(|k| (test(dice), shape.make(format!("{name}k{k}"), &like, false, false))).collect();
            Verb::Split { cases, all: dice.eighths(4), rest: rest(shape, dice, name, &like) }
        }
        11 if dice.eighths(4) => {
            let shards = 2 + dice.below(3) as usize;
            let like = Like { ordered: false, ..like };
            Verb::ShardHash { shards, to: shape.make(format!("{name}h-{{shard}}"), &like, false, true) }
        }
        11 => {
            let n = 1 + dice.below(4) as i64;
            let values = (0..n).map(|v| (v, shape.make(format!("{name}v{v}"), &like, false, false))).collect();
            Verb::ShardTo { values, rest: rest(shape, dice, name, &like) }
        }
        12 => Verb::Each { twice: dice.eighths(4), to: shape.make(name.to_string(), &like, true, false) },
        _ => {
            let n = 1 + dice.below(3);
            Verb::Copy { to: (0..n).map(|k| shape.make(format!("{name}c{k}"), &like, false, false)).collect() }
        }
    }
}

fn rest(shape: &mut Shape, dice: &mut Rng, name: &str, like: &Like) -> Rest {
    match dice.below(3) {
        0 => Rest::Drop,
        1 => Rest::Error,
        _ => Rest::To(shape.make(format!("{name}r"), like, false, false)),
    }
}

/// What is named and not read gets a home; of the rest some do.
fn ends(shape: &mut Shape, dice: &mut Rng) {
    for s in 0..shape.streams.len() {
        let of = &shape.streams[s];
        if of.sharded && of.readers == 0 {
            let like = Like { ordered: false, moves: of.moves, gated: of.gated, plain: of.plain };
            let name = format!("m{s}");
            let to = shape.make(name.clone(), &like, true, false);
            shape.streams[to].home = Home::Sink;
            shape.streams[s].readers += 1;
            shape.steps.push(Step { name, inputs: vec![s], verb: Verb::Merge { to }, skips: false });
        }
    }
    for of in shape.streams.iter_mut().filter(|s| s.source == Source::Step && !s.sharded) {
        let must = of.readers == 0 && !(of.own_name && dice.eighths(1));
        if must || dice.eighths(1) {
            of.home = if dice.eighths(5) { Home::Sink } else { Home::Public };
        }
    }
}
