//! What our evaluator says, in the form that both sides write.

use anabranch_flow::expr::{Content, Env, Names, Reads, RunVars, Scope, Value, compile, json};
use std::fmt::Write;

/// The value of an expression for an item, or `error` and why.
pub fn says(expression: &str, item: &str) -> String {
    let names = Names { item: true, ..Names::default() };
    let mut reads = Reads::default();
    let compiled = match compile(expression, &names, &mut reads) {
        Ok(compiled) => compiled,
        Err(fault) => return format!("error {}", fault.text.replace('\n', " ")),
    };
    let (run, env, mut slots) = (RunVars::default(), Env::default(), vec![]);
    let raw = json::fields(item.as_bytes(), &reads.fields, &mut slots).expect("an item");
    let mut scope = Scope::of_run(&run, &env);
    scope.content = Content::Json(raw);
    scope.slots = &slots;
    match compiled.eval(&scope) {
        Ok(value) => {
            let mut out = String::new();
            write(&mut out, &value);
            out.replace('\n', "\\n")
        }
        Err(fault) => format!("error {}", fault.to_string().replace('\n', " ")),
    }
}

fn write(out: &mut String, value: &Value<'_>) {
    let done = match value.clone().into_opened().expect("opens") {
        Value::Null => write!(out, "null"),
        Value::Bool(b) => write!(out, "{b}"),
        Value::Int(i) => write!(out, "int:{i}"),
        Value::Double(d) => write!(out, "double:{:016x}", d.to_bits()),
        Value::Text(t) => write!(out, "'{}'", t.replace('\\', "\\\\")),
        Value::Bytes(b) => write!(out, "bytes:{}", b.iter().map(|b| format!("{b:02x}")).collect::<String>()),
        Value::Timestamp(t) => {
            let nanos = (t.since(anabranch_flow::expr::time::range().0).as_nanos()).rem_euclid(1_000_000_000);
            write!(out, "time:{}.{nanos:09}", t.second())
        }
        Value::Duration(d) => write!(out, "span:{}", d.as_nanos()),
        Value::Type(name) => write!(out, "type:{name}"),
        Value::Optional(None) => write!(out, "none"),
        Value::Optional(Some(v)) => {
            out.push_str("some(");
            write(out, &v);
            write!(out, ")")
        }
        Value::List(list) => {
            let all: Vec<String> = list.iter().map(text).collect();
            write!(out, "[{}]", all.join(", "))
        }
        Value::Map(map) => {
            let mut fields: Vec<String> = map.iter().map(|(k, v)| format!("{}: {}", text(k), text(v))).collect();
            fields.sort();
            write!(out, "{{{}}}", fields.join(", "))
        }
        Value::Json(raw) => write!(out, "json:{raw}"),
    };
    done.expect("a text takes it");
}

fn text(value: &Value<'_>) -> String {
    let mut out = String::new();
    write(&mut out, value);
    out
}
