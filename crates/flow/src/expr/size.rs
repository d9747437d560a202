//! How large a value may be that an expression makes: told before it is there.

use super::Fault;
use super::growing::too_large;
use super::value::Value;
use anabranch_engine::limits;

/// What a value is made of so far.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    bytes: usize,
    values: usize,
    most: usize,
}

impl Default for Size {
    fn default() -> Size {
        Size { bytes: 0, values: 0, most: limits::VALUE_PARTS }
    }
}

impl Size {
    /// Of a value that only puts together what is there: its parts count by what they take when they are written.
    pub fn written() -> Size {
        Size { most: usize::MAX, ..Size::default() }
    }

    /// A value becomes part of it.
    ///
    /// # Errors
    ///
    /// It would be larger than a value may be.
    pub fn add(&mut self, value: &Value<'_>) -> Result<(), Fault> {
        self.values += 1;
        self.bytes += PART;
        match value {
            Value::List(list) => list.iter().try_for_each(|v| self.add(v))?,
            Value::Map(map) => map.iter().try_for_each(|(k, v)| self.add(k).and_then(|()| self.add(v)))?,
            Value::Optional(Some(v)) => self.add(v)?,
            Value::Text(t) | Value::Json(t) => self.bytes += t.len(),
            Value::Bytes(b) => self.bytes += b.len(),
            _ => {}
        }
        if self.bytes > limits::VALUE_BYTES || self.values > self.most {
            return Err(too_large());
        }
        Ok(())
    }
}

/// What a part takes at least: a digit and a comma.
const PART: usize = 2;

/// Values of a list that is being made.
#[derive(Debug, Default)]
pub struct Listing<'a> {
    list: Vec<Value<'a>>,
    size: Size,
}

impl<'a> Listing<'a> {
    /// A list of what is there.
    pub fn written() -> Listing<'a> {
        Listing { list: vec![], size: Size::written() }
    }

    /// One more.
    pub fn push(&mut self, value: Value<'a>) -> Result<(), Fault> {
        self.size.add(&value)?;
        self.list.push(value);
        Ok(())
    }

    /// The list.
    pub fn finish(self) -> Value<'a> {
        Value::List(self.list)
    }
}
