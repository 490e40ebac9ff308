//! The form of every JSON document, by the schema that the command has with it.

use serde_json::{Deserializer, Value, json};
use std::collections::BTreeSet;
use std::process::Command;

const SCHEMA: &str = include_str!("../../schema.json");

/// Checks the output of a command that was asked for JSON. Returns the name of its documents' form, if there are any.
pub(crate) fn check(command: &Command, output: &[u8]) -> Option<String> {
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
    if !arguments.iter().any(|argument| matches!(&**argument, "--json" | "-j")) {
        return None;
    }
    let documents: Vec<Value> =
        Deserializer::from_slice(output).into_iter().collect::<Result<_, _>>().unwrap();
    let last = documents.last()?;
    let is_error = last.as_object().is_some_and(|last| last.keys().eq(["error"]));
    let has_parts = matches!(&*arguments[0], "journal" | "store" | "recording" | "canary");
    let parts = if has_parts { 2 } else { 1 };
    let name = arguments[..parts].join("-");
    if !is_error {
        let is_new = name == "journal-salvage" && arguments.iter().any(|option| option == "--into");
        let name = if is_new { name + "-into" } else { name };
        validate(&name, &documents);
        return Some(name);
    }
    let (before, error) = documents.split_at(documents.len() - 1);
    validate("error", error);
    if !before.is_empty() {
        validate(&name, before);
    }
    Some("error".to_owned())
}

fn validate(name: &str, documents: &[Value]) {
    let root: Value = serde_json::from_str(SCHEMA).unwrap();
    for document in documents {
        let judged = judge(&root, &root["$defs"][name], document);
        assert!(judged.is_ok(), "{name}: {judged:?}\n{document:#}");
    }
}

/// Returns the properties that a schema speaks of, or why a value is not of its form (JSON Schema 2020-12). Names that the
/// schema does not have are allowed to a reader, which may be older than the command, and are an error here.
fn judge(root: &Value, schema: &Value, value: &Value) -> Result<BTreeSet<String>, String> {
    let Value::Object(keywords) = schema else {
        return match schema {
            Value::Bool(true) => Ok(BTreeSet::new()),
            _ => Err("nothing is allowed".to_owned()),
        };
    };
    let mut known = BTreeSet::new();
    for (keyword, of) in keywords {
        known.extend(judge_by(root, schema, (keyword.as_str(), of), value)?);
    }
    let unknown =
        value.as_object().and_then(|object| object.keys().find(|name| !known.contains(*name)));
    match unknown.filter(|_| schema["type"] == "object") {
        Some(name) => Err(format!("{name} is not in the schema")),
        None => Ok(known),
    }
}

/// Judges by one keyword.
fn judge_by(
    root: &Value,
    schema: &Value,
    (keyword, of): (&str, &Value),
    value: &Value,
) -> Result<BTreeSet<String>, String> {
    let as_said = |is_so: bool| {
        let wrong = || format!("{value} does not have {keyword} {of}");
        is_so.then(BTreeSet::new).ok_or_else(wrong)
    };
    let each = || of.as_array().unwrap().iter().map(|part| judge(root, part, value));
    match keyword {
        "$ref" => judge(root, root.pointer(&of.as_str().unwrap()[1..]).unwrap(), value),
        "allOf" => each().try_fold(BTreeSet::new(), |known, part| Ok(&known | &part?)),
        "anyOf" | "oneOf" => {
            let (fit, wrong): (Vec<_>, Vec<_>) = each().partition(Result::is_ok);
            match fit.len() {
                0 => Err(format!("none of {keyword} fits: {wrong:?}")),
                2.. if keyword == "oneOf" => Err(format!("more than one of {of} fits")),
                _ => Ok(fit.into_iter().flatten().flatten().collect()),
            }
        }
        "properties" | "additionalProperties" => {
            let listed = &schema["properties"];
            let mut known = BTreeSet::new();
            for (name, value) in value.as_object().into_iter().flatten() {
                let schema = if keyword == "properties" { &listed[name] } else { of };
                if listed[name].is_null() == (keyword == "additionalProperties") {
                    judge(root, schema, value).map_err(|wrong| format!("{name}: {wrong}"))?;
                    known.insert(name.clone());
                }
            }
            Ok(known)
        }
        "required" => as_said(
            !value.is_object() || items(of).all(|name| value.get(name.as_str().unwrap()).is_some()),
        ),
        "items" => {
            items(value).try_for_each(|item| judge(root, of, item).map(drop))?;
            as_said(true)
        }
        "type" => as_said(is_of(value, of) || items(of).any(|kind| is_of(value, kind))),
        "const" => as_said(value == of),
        "enum" => as_said(items(of).any(|one| one == value)),
        "minimum" => as_said(value.as_f64().is_none_or(|number| Some(number) >= of.as_f64())),
        "maximum" => as_said(value.as_f64().is_none_or(|number| Some(number) <= of.as_f64())),
        "pattern" => as_said(value.as_str().is_none_or(|text| matches(text, of.as_str().unwrap()))),
        "$schema" | "$defs" | "title" | "description" => as_said(true),
        _ => unreachable!("the tests do not know {keyword}"),
    }
}

/// Returns the items of an array; nothing for another value.
fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn is_of(value: &Value, kind: &Value) -> bool {
    match kind.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        Some("number") => value.is_number(),
        Some("integer") => value.is_i64() || value.is_u64(),
        _ => false,
    }
}

fn matches(text: &str, pattern: &str) -> bool {
    match pattern {
        "^[0-9a-f]{32}$" => {
            text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        }
        "^-?[0-9]{16,20}$" => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            (16..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
        }
        _ => unreachable!("the tests do not know {pattern}"),
    }
}

/// What each keyword allows and refuses (JSON Schema, Core 10 and 11, Validation 6).
#[test]
fn each_keyword_refuses_what_it_excludes() {
    let closed =
        json!({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]});
    for (schema, fits, does_not) in [
        (json!({"type": ["string", "null"]}), json!(null), json!(1)),
        (json!({"type": "integer"}), json!(-1), json!(1.5)),
        (json!({"enum": ["a", "b"]}), json!("b"), json!("c")),
        (json!({"const": 1}), json!(1), json!(2)),
        (json!({"minimum": 0, "maximum": 2}), json!(2), json!(3)),
        (json!({"items": {"type": "string"}}), json!(["a"]), json!(["a", 1])),
        (json!({"anyOf": [{"const": 1}, {"const": 2}]}), json!(2), json!(3)),
        (json!({"oneOf": [{"minimum": 1}, {"maximum": 2}]}), json!(3), json!(1.5)),
        (json!({"allOf": [{"minimum": 1}, {"maximum": 2}]}), json!(1), json!(3)),
        (json!({"properties": {"a": false}}), json!({"b": 1}), json!({"a": 1})),
        (json!({"additionalProperties": {"const": 1}}), json!({"b": 1}), json!({"b": 2})),
        (json!({"pattern": "^[0-9a-f]{32}$"}), json!("0".repeat(32)), json!("g".repeat(32))),
        (json!({"pattern": "^-?[0-9]{16,20}$"}), json!("-1234567890123456"), json!("123")),
        (closed.clone(), json!({"a": 1}), json!({})),
        (closed.clone(), json!({"a": 1}), json!({"a": "1"})),
        (closed, json!({"a": 1}), json!({"a": 1, "b": 1})),
    ] {
        assert!(judge(&schema, &schema, &fits).is_ok(), "{schema}: {fits}");
        assert!(judge(&schema, &schema, &does_not).is_err(), "{schema}: {does_not}");
    }
}

#[test]
fn the_schema_has_each_document_in_it() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    assert!(judge(&schema, &schema, &json!({"error": {"message": "no such file"}})).is_ok());
    assert!(judge(&schema, &schema, &json!({"errors": []})).is_err());
}
