//! A new value for an item that failed, made by an expression.

use crate::piece::letter::DeadLetter;
use crate::piece::wanted::Edit;
use anabranch_engine::{Error, Result};
use anabranch_flow::expr::{Fault, Names, Reads, Value, compile, write};
use anabranch_flow::format::Format;
use anabranch_flow::model::Flow;
use anabranch_flow::patterns::{Part, Vars, View};
use bytes::Bytes;
use std::sync::Arc;

/// What the value of an expression is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Makes {
    /// The new value.
    Value,
    /// A map: these fields of the item are replaced or added.
    Fields,
}

/// An expression as an [`Edit`]: it sees the item that failed as its step did.
///
/// # Errors
///
/// The text is no expression.
pub fn edit(flow: &Arc<Flow>, text: &str, makes: Makes) -> Result<Arc<Edit>> {
    compile(text, &names(flow, Format::Json), &mut Reads::default())
        .map_err(|f| Error::usage(format!("`{text}`, character {}: {}", f.at + 1, f.text)))?;
    let (flow, text) = (flow.clone(), text.to_string());
    Ok(Arc::new(move |letter| made(&flow, letter, &text, makes).map_err(|f| f.to_string())))
}

/// The format in which a step took the item that failed.
fn format(flow: &Flow, letter: &DeadLetter) -> Format {
    let taken = letter.failed.reason.taken.as_ref();
    taken.and_then(|taken| flow.stream(&taken.of)).map_or(Format::Json, |stream| stream.format)
}

fn names(flow: &Flow, format: Format) -> Names {
    let env = flow.env.keys().cloned().collect();
    Names { item: true, plain_item: format != Format::Json, env, ..Names::default() }
}

fn made(flow: &Flow, letter: &DeadLetter, text: &str, makes: Makes) -> std::result::Result<Bytes, Fault> {
    let format = format(flow, letter);
    let mut reads = Reads::default();
    let expression = compile(text, &names(flow, format), &mut reads).map_err(|f| Fault::new(f.text))?;
    reads.item |= makes == Makes::Fields;
    let part = Part::of_nowhere(&letter.failed.item).map_err(|e| Fault::new(e.text))?;
    let vars = Vars { env: flow.env.clone(), ..Vars::default() };
    let records = part.body.records().map_err(|e| Fault::new(e.text))?;
    let view = View { part: &part, records, vars: &vars, format, shard: None };
    let record = view.items().next().ok_or_else(|| Fault::new("there is no item"))?;
    let mut slots = vec![];
    let scope = view.scope(&record, &reads, &mut slots)?;
    let value = expression.eval(&scope)?;
    let bytes = match (makes, value.into_opened()?) {
        (Makes::Value, value) => format.write(&value)?,
        (Makes::Fields, Value::Map(fields)) if format == Format::Json => {
            let raw = std::str::from_utf8(record.value().unwrap_or_default())
                .map_err(|_| Fault::new("the item is not UTF-8"))?;
            if !raw.trim_start().starts_with('{') {
                return Err(Fault::new("its item has no fields: give its whole new value"));
            }
            write::replaced(raw.trim(), &fields)?
        }
        (Makes::Fields, _) if format != Format::Json => {
            return Err(Fault::new("its item has no fields: give its whole new value"));
        }
        (Makes::Fields, other) => {
            return Err(Fault::new(format!("the expression gave {}, not a map of fields", other.kind())));
        }
    };
    Ok(bytes.into())
}
