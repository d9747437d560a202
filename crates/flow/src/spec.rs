//! What the language consists of, as data: the keys of a flow, of streams, sources and sinks, and of each verb.
//!
//! Each part is described beside the code that reads it; the check takes its keys from there, and the schema and the
//! reference are made of it.

/// A key of a map.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// How it is written.
    pub name: &'static str,
    /// What its value is.
    pub is: Is,
    /// What holds without it.
    pub usual: Usual,
    /// What it does, in a sentence.
    pub doc: &'static str,
    /// How it is used.
    pub example: &'static str,
}

/// What holds without a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usual {
    /// It must be written.
    Needed,
    /// Nothing.
    Nothing,
    /// This value.
    Value(&'static str),
    /// Something that depends on the rest, as these words say.
    Depends(&'static str),
}

/// What the value of a key is.
#[derive(Debug, Clone, Copy)]
pub enum Is {
    /// Text.
    Text,
    /// An expression.
    Expression,
    /// An expression that is true or false.
    Condition,
    /// An expression, or a map from fields to expressions.
    Shape,
    /// A map from fields to expressions.
    Fields,
    /// The name of a stream.
    Stream,
    /// The name of a stream, or one of these words.
    StreamOr(&'static [&'static str]),
    /// Names of streams: one, or a list.
    Streams,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number of this range.
    Number(u64, u64),
    /// True or false.
    Flag,
    /// A length of time, such as `500ms`, `30s` or `2m`.
    Duration,
    /// A number of items, or a share such as `1%`.
    Tolerance,
    /// One text, or a list of them.
    Texts,
    /// A number, or a list of values.
    Shards,
    /// A program and its arguments: texts with `{EXPRESSION}` and `${NAME}` in them.
    Program,
    /// A map from names to texts.
    Settings,
    /// A map from names to types.
    Types,
    /// A map from names to defaults; null is none.
    Variables,
    /// A list of values.
    Values,
    /// A value of any kind.
    Value,
    /// A map from names to lists of values.
    Lists,
    /// A map from names to answers: an expression, a map, or a list of them.
    Mocks,
    /// A map from names to maps of numbers.
    Counts,
    /// An empty map.
    Empty,
    /// A text as a shorter way to write it, or a map with these keys.
    TextOr(&'static [Key]),
    /// A map with these keys.
    Map(&'static [Key]),
    /// A list of maps with these keys.
    Maps(&'static [Key]),
    /// A map from names to maps with the keys of a stream, a step, either, or a test.
    Named(Part),
    /// A Rust function: only in a flow that is made in Rust.
    Code,
    /// Anything: it is accepted, and a later version reads it.
    Ignored,
    /// Anything: a later version reads it, this one refuses it.
    Later,
}

/// A part of a flow that has names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A stream.
    Stream,
    /// A step.
    Step,
    /// Keys of either.
    Defaults,
    /// A test.
    Test,
}

/// What a verb does and needs.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// The verb.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub doc: &'static str,
    /// Whether it reads several streams.
    pub many: bool,
    /// Its own keys.
    pub keys: &'static [Key],
    /// A step that uses it.
    pub example: &'static str,
}

impl Key {
    /// A key with nothing in its place.
    pub const fn new(name: &'static str, is: Is, doc: &'static str, example: &'static str) -> Key {
        Key { name, is, usual: Usual::Nothing, doc, example }
    }

    /// The same key, which must be written.
    pub const fn needed(self) -> Key {
        Key { usual: Usual::Needed, ..self }
    }

    /// The same key, for which this value holds where it is not written.
    pub const fn usual(self, value: &'static str) -> Key {
        Key { usual: Usual::Value(value), ..self }
    }

    /// The same key, whose usual value depends on the rest.
    pub const fn depends(self, on: &'static str) -> Key {
        Key { usual: Usual::Depends(on), ..self }
    }
}

/// Whether people can write a key in a file, and something is done with it or nothing at all.
pub fn is_known(key: &Key) -> bool {
    !matches!(key.is, Is::Code | Is::Later)
}
