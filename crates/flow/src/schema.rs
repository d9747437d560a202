//! A JSON Schema of the language, for editors and validators: <https://json-schema.org/draft-07>.
//!
//! It accepts every flow that the check accepts. The other way round it cannot: what stands in an expression, and which
//! streams there are, only the check knows.

use crate::check::{FLOW_KEYS, STREAM_KEYS};
use crate::patterns::{STEP_KEYS, VERBS, Verb};
use crate::spec::{Is, Key, Part, Usual, is_known};
use crate::suite;
use anabranch_engine::limits;
use serde_json::{Map, Value, json};

/// The schema of a flow file.
pub fn schema() -> Value {
    let mut flow = map(FLOW_KEYS.iter());
    flow["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    flow["title"] = json!("A flow of Anabranch");
    flow["required"] = json!(["flow"]);
    flow["definitions"] = json!({
        "text": { "type": ["string", "number", "boolean"] },
        "expression": {
            "type": ["string", "number", "boolean"],
            "description": "An expression of the Common Expression Language (CEL) over `item`, `key`, `headers` and more.",
        },
        "fields": { "type": "object", "additionalProperties": { "$ref": "#/definitions/expression" } },
        "stream": map(STREAM_KEYS.iter()),
        "step": { "oneOf": VERBS.iter().map(|verb| step(verb)).collect::<Vec<_>>() },
        "defaults": map(STREAM_KEYS.iter().chain(STEP_KEYS).chain(VERBS.iter().flat_map(|v| v.spec.keys))),
    });
    flow
}

/// A step with this verb.
fn step(verb: &Verb) -> Value {
    let mut step = map(STEP_KEYS.iter().chain(verb.spec.keys));
    let mut input = one(if verb.spec.many { &Is::Streams } else { &Is::Stream });
    input["description"] = json!(verb.spec.doc);
    step["title"] = json!(verb.spec.name);
    step["required"] = json!([verb.spec.name]);
    if let Some(properties) = step["properties"].as_object_mut() {
        properties.insert(verb.spec.name.to_string(), input);
    }
    step
}

/// A map with these keys; those that begin with `x-` are anybody's own.
fn map<'k>(keys: impl Iterator<Item = &'k Key>) -> Value {
    let properties: Map<String, Value> =
        keys.filter(|k| is_known(k)).map(|key| (key.name.to_string(), property(key))).collect();
    json!({
        "type": "object",
        "properties": properties,
        "patternProperties": { "^x-": {} },
        "additionalProperties": false,
    })
}

fn property(key: &Key) -> Value {
    let mut property = one(&key.is);
    let usual = match key.usual {
        Usual::Needed => " Needed.".to_string(),
        Usual::Nothing => String::new(),
        Usual::Value(value) => format!(" Usual: `{value}`."),
        Usual::Depends(on) => format!(" Usual: {on}."),
    };
    property["description"] = json!(format!("{}{usual} As in `{}`.", key.doc, key.example));
    property
}

/// What a value must be.
fn one(is: &Is) -> Value {
    let text = json!({ "$ref": "#/definitions/text" });
    let expression = json!({ "$ref": "#/definitions/expression" });
    let fields = json!({ "$ref": "#/definitions/fields" });
    match is {
        // what stands beside a `$ref` is not read by all tools
        Is::Text | Is::Stream => json!({ "allOf": [text] }),
        Is::Expression | Is::Condition => json!({ "allOf": [expression] }),
        Is::Shape => json!({ "anyOf": [expression, fields] }),
        Is::Fields => json!({ "allOf": [fields] }),
        Is::StreamOr(words) => json!({ "anyOf": [{ "enum": words }, text] }),
        Is::Streams | Is::Texts => json!({ "anyOf": [text, { "type": "array", "items": text }] }),
        Is::Word(words) => json!({ "enum": words }),
        Is::Number(from, to) => json!({ "type": "integer", "minimum": from, "maximum": to }),
        Is::Flag => json!({ "type": "boolean" }),
        Is::Duration => json!({ "type": "string", "minLength": 2 }),
        Is::Tolerance => json!({ "anyOf": [
            { "type": "integer", "minimum": 0 },
            { "type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]*)?\s*%?$" },
        ] }),
        Is::Shards => json!({ "anyOf": [
            { "type": "integer", "minimum": 1, "maximum": limits::PARTITIONS },
            { "type": "array", "items": text, "minItems": 1 },
        ] }),
        Is::Program => json!({ "type": "array", "items": text, "minItems": 1 }),
        Is::Settings => json!({ "type": "object", "additionalProperties": text }),
        Is::Types => json!({ "type": "object", "additionalProperties": {
            "type": "string",
            "pattern": r"^(string|int|double|bool|timestamp|list|map)\s*(\|null)?$",
        } }),
        Is::Variables => json!({ "type": "object", "additionalProperties": { "anyOf": [text, { "type": "null" }] } }),
        Is::Values => json!({ "type": "array" }),
        Is::Value => json!({}),
        Is::Lists => json!({ "type": "object", "additionalProperties": { "type": ["array", "null"] } }),
        Is::Mocks => json!({ "type": "object" }),
        Is::Counts => json!({ "type": "object", "additionalProperties": {
            "type": "object",
            "additionalProperties": { "type": "integer", "minimum": 0 },
        } }),
        Is::Empty => json!({ "type": ["object", "null"] }),
        Is::TextOr(keys) => json!({ "anyOf": [{ "type": "string" }, map(keys.iter())] }),
        Is::Map(keys) => map(keys.iter()),
        Is::Maps(keys) => json!({ "type": "array", "items": map(keys.iter()), "minItems": 1 }),
        Is::Named(Part::Stream) => named(json!({ "anyOf": [{ "$ref": "#/definitions/stream" }, { "type": "null" }] })),
        Is::Named(Part::Step) => named(json!({ "$ref": "#/definitions/step" })),
        Is::Named(Part::Defaults) => json!({ "allOf": [{ "$ref": "#/definitions/defaults" }] }),
        Is::Named(Part::Test) => named(map(suite::KEYS.iter())),
        Is::Ignored | Is::Later | Is::Code => json!({}),
    }
}

fn named(of: Value) -> Value {
    json!({ "type": ["object", "null"], "patternProperties": { "^x-": {} }, "additionalProperties": of })
}
