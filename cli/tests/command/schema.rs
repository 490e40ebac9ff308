//! The form of every JSON document, by the schema that the command has with it.

use serde_json::{Deserializer, Value, json};
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

/// Names that the schema does not have are allowed to a reader, which may be older than the command, and are an error here.
fn validate(name: &str, documents: &[Value]) {
    let mut schema: Value = serde_json::from_str(SCHEMA).unwrap();
    close(&mut schema);
    schema.as_object_mut().unwrap().remove("anyOf");
    schema["$ref"] = json!(format!("#/$defs/{name}"));
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    for document in documents {
        let wrong: Vec<String> = validator
            .iter_errors(document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(wrong.is_empty(), "{name}: {wrong:#?}\n{document:#}");
    }
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.values_mut().for_each(close);
            if object.get("type") == Some(&json!("object")) {
                object.insert("unevaluatedProperties".to_owned(), json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

#[test]
fn the_schema_is_a_schema_and_has_each_document_in_it() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    assert!(jsonschema::meta::is_valid(&schema));
    assert!(jsonschema::is_valid(&schema, &json!({"error": {"message": "no such file"}})));
    assert!(!jsonschema::is_valid(&schema, &json!({"errors": []})));
}
