//! What a call of an action is given.

use crate::context::RunContext;
use crate::world::Seat;
use anabranch_engine::{Error, Record, Result, limits};
use anabranch_flow::call::{Call, Request, Ticket};
use anabranch_flow::expr::{Fault, Scope, write};
use anabranch_flow::format::Format;
use anabranch_flow::model::{Act, ActionSpec, Answers, Step};
use anabranch_flow::patterns::View;
use anabranch_flow::template::Template;
use bytes::Bytes;

/// Who calls. A program that stays knows the run and its variables, but no item.
pub fn seat(context: &RunContext, step: &Step, act: &Act) -> Result<Seat> {
    let scope = Scope::of_run(&context.vars.run, &context.vars.env);
    let filled = |t: &Template| t.render(&scope).map_err(|f| Error::usage(format!("{}: {f}", step.name)));
    let (args, env) = match &act.action {
        ActionSpec::Pipe(command) => (
            command.args.iter().map(filled).collect::<Result<_>>()?,
            command.env.iter().map(|(n, v)| Ok((n.clone(), filled(v)?))).collect::<Result<_>>()?,
        ),
        _ => (vec![], vec![]),
    };
    Ok(Seat { step: step.name.clone(), args, env })
}

/// What a call needs of an item.
pub fn job<'a>(
    view: &View<'a>,
    record: &Record<'a>,
    act: &Act,
    place: String,
    slots: &mut Vec<Option<&'a str>>,
) -> Result<Call, Fault> {
    let scope = view.scope(record, &act.work.reads, slots)?;
    let id = match &act.idempotency_key {
        Some(key) => String::from_utf8(write::key(&key.eval(&scope)?)?)
            .map_err(|_| Fault::new("an idempotency key that is not UTF-8"))?,
        None => place,
    };
    let request;
    let mut value = Bytes::copy_from_slice(record.value().unwrap_or_default());
    match &act.action {
        ActionSpec::Exec(command) => {
            let mut room = limits::VALUE_BYTES; // for all of them
            let mut rendered = |t: &Template| -> Result<String, Fault> {
                let text = t.render(&scope)?;
                room = room.checked_sub(text.len()).ok_or_else(|| Fault::new("the arguments have more than 16 MiB"))?;
                Ok(text)
            };
            let args = command.args.iter().map(&mut rendered).collect::<Result<_, _>>()?;
            let env = command.env.iter().map(|(n, v)| Ok((n.clone(), rendered(v)?))).collect::<Result<_, Fault>>()?;
            request = Request::Exec { args, env };
        }
        ActionSpec::Pipe(_) => {
            if act.answers == Answers::ById {
                value = question(&id, view.format, &value)?.into();
            }
            request = Request::Pipe;
        }
        ActionSpec::Code(_) => request = Request::Code { headers: record.to_item().headers },
    }
    let key = record.key().map(Bytes::copy_from_slice);
    Ok(Call { slot: 0, id, attempt: 1, key, value, request, ticket: Ticket::default() })
}

/// The line that asks for an answer with an id.
fn question(id: &str, format: Format, value: &[u8]) -> Result<String, Fault> {
    let text = std::str::from_utf8(value).map_err(|_| Fault::new("bytes that are no UTF-8 cannot be sent as JSON"))?;
    let item = match format {
        Format::Json if text.is_empty() => "null".to_string(),
        Format::Json => text.to_string(),
        _ => serde_json::Value::from(text).to_string(),
    };
    Ok(format!("{{\"id\":{},\"item\":{item}}}", serde_json::Value::from(id)))
}
