//! The table of fields as a JSON Schema and as the reference page `docs/answers.md`.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::fields::{self, Field, Form, Kind, Need, Shape};

/// The JSON Schema (2020-12) of the answers file, for editors.
///
/// It says less than loading does: it knows each key, the form of its value and which keys need or exclude each other,
/// but it compares no two values.
pub fn schema() -> Value {
    let mut schema = object("");
    if let Value::Object(object) = &mut schema {
        object.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        object.insert("title".to_owned(), json!("hapair answers file"));
        object.insert("allOf".to_owned(), together());
    }
    schema
}

fn object(parent: &str) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    let mut others = json!(false);
    for (key, field) in fields::children(parent) {
        if key.starts_with('<') {
            others = property(field);
        } else {
            properties.insert(key.to_owned(), property(field));
            if field.need == Need::Required {
                required.push(key);
            }
        }
    }
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": others,
    })
}

/// What keys of several sections say together.
fn together() -> Value {
    let named = |section: &str, key: &str, value: &str| {
        json!({ "required": [section], "properties": { section: {
            "required": [key], "properties": { key: { "const": value } }
        } } })
    };
    json!([
        {
            "$comment": "Heartbeat 2 of ubuntu-7.10",
            "if": { "required": ["platform"], "properties": { "platform": { "const": "ubuntu-7.10" } } },
            "then": { "properties": {
                "hypervisor": { "properties": { "kind": { "enum": ["xen"] } } },
                "fencing": { "properties": { "method": { "enum": ["ipmi", "ssh"] } } }
            } }
        },
        {
            "$comment": "`config` is an xl configuration",
            "if": named("hypervisor", "kind", "kvm"),
            "then": { "properties": { "vms": { "items": { "not": { "required": ["config"] } } } } }
        },
        {
            "$comment": "a device for both, or one for each",
            "if": { "not": { "required": ["storage"], "properties": { "storage": { "required": ["device"] } } } },
            "then": { "properties": { "nodes": { "items": { "required": ["device"] } } } }
        },
        {
            "$comment": "a second link has two ends",
            "properties": { "nodes": { "anyOf": [
                { "items": { "required": ["second_address"] } },
                { "items": { "not": { "required": ["second_address"] } } }
            ] } }
        }
    ])
}

/// The keys that a fencing method needs, and those that belong to another one.
fn methods() -> Value {
    let own = [
        ("sbd", "devices", &["agent", "levels"][..]),
        ("agent", "agent", &["devices", "watchdog", "levels"]),
        ("levels", "levels", &["devices", "watchdog", "agent"]),
    ];
    let mut rules: Vec<Value> = own
        .into_iter()
        .map(|(method, needed, others)| {
            let others: Vec<Value> = others.iter().map(|key| json!({ "required": [key] })).collect();
            json!({
                "if": { "required": ["method"], "properties": { "method": { "const": method } } },
                "then": { "required": [needed], "not": { "anyOf": others } }
            })
        })
        .collect();
    let others: Vec<Value> =
        ["devices", "watchdog", "agent", "levels"].iter().map(|key| json!({ "required": [key] })).collect();
    rules.push(json!({
        "if": { "required": ["method"], "properties": { "method": { "enum": ["ipmi", "ssh"] } } },
        "then": { "not": { "anyOf": others } }
    }));
    json!(rules)
}

fn property(field: &Field) -> Value {
    let mut schema = match field.kind {
        Kind::Section => object(field.path),
        // A level has the keys of fencing itself.
        Kind::Sections if field.path == "fencing.levels" => {
            json!({ "type": "array", "minItems": 1, "items": { "$ref": "#/properties/fencing" } })
        }
        Kind::Sections => {
            json!({ "type": "array", "items": object(&format!("{}[]", field.path)) })
        }
        Kind::Text(form) => scalar(form),
        Kind::Texts(form) => {
            json!({ "type": "array", "minItems": 1, "maxItems": 3, "items": scalar(form) })
        }
    };
    if let Value::Object(schema) = &mut schema {
        if field.path == "nodes" {
            schema.insert("minItems".to_owned(), json!(2));
            schema.insert("maxItems".to_owned(), json!(2));
        }
        if field.path == "fencing" {
            schema.insert("allOf".to_owned(), methods());
        }
        // `packages:` with nothing behind it is as good as left out.
        if matches!(field.kind, Kind::Section) && field.need == Need::Optional {
            schema.insert("type".to_owned(), json!(["object", "null"]));
        }
        if field.path == "vms" {
            schema.insert("type".to_owned(), json!(["array", "null"]));
            let others = ["memory", "vcpus", "disk", "image", "bridge"].map(|key| json!({ "required": [key] }));
            schema["items"]["dependentSchemas"] = json!({ "config": { "not": { "anyOf": others } } });
        }
        schema.insert("description".to_owned(), json!(field.doc));
        if let (Need::Default(text), Kind::Text(form)) = (field.need, field.kind) {
            schema.insert("default".to_owned(), default(text, form));
        }
    }
    schema
}

fn scalar(form: &Form) -> Value {
    // hapair takes what was typed, quoted or not: what an editor's YAML takes for a number or a boolean may be a name.
    let mut kinds = vec!["string"];
    if ["0", "12", "0123", "1.5"].iter().any(|number| (form.check)(number).is_ok()) {
        kinds.push("number");
    }
    if ["true", "no"].iter().any(|word| (form.check)(word).is_ok()) {
        kinds.push("boolean");
    }
    match form.shape {
        Shape::Any => json!({ "type": kinds }),
        Shape::Pattern(pattern) => json!({ "type": kinds, "pattern": pattern }),
        Shape::OneOf(words) => json!({ "enum": words }),
        Shape::Integer(least, most) => {
            json!({ "type": ["integer", "string"], "minimum": least, "maximum": most, "pattern": "^[0-9]+$" })
        }
        Shape::Score(word) => {
            json!({ "anyOf": [{ "type": "integer" }, { "const": word }, { "type": "string", "pattern": "^-?[0-9]+$" }] })
        }
    }
}

fn default(text: &str, form: &Form) -> Value {
    match (&form.shape, text.parse::<i64>()) {
        (Shape::Integer(..) | Shape::Score(_), Ok(number)) => json!(number),
        _ => json!(text),
    }
}

const HEAD: &str = "\
# The answers file

<!-- Generated from src/answers/fields.rs: `UPDATE_DOCS=1 cargo test --test answers` writes it. -->

All that hapair needs to know, in YAML. `hapair ask` asks for it and writes a complete file;
`hapair schema` prints a JSON Schema for editors.

- Unknown keys are errors. All problems are told at once, each with line and column (exit code 3).
- Values are taken as they are typed: `no`, `0123` and `1e3` stay that text.
- Sizes are a whole number and K, M, G or T: `8G` is 8 times 1024 times 1024 times 1024 bytes (`8GB`
  and `8GiB` mean the same).
- A secret is best given as `env:NAME` (an environment variable) or `file:PATH` (a file, relative to
  the answers file). In clear it is accepted too, with a warning when other users can read the file.
- `erase` is the consent to destroy what a device holds. No option of the command line stands in for it.
";

/// The reference page of all keys, in Markdown.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    table(&mut page, "", "The file", "The keys at the left margin.");
    for field in fields::FIELDS {
        match field.kind {
            Kind::Section => section(&mut page, field, field.path),
            // A level has the keys of fencing itself, which are told there.
            Kind::Sections if field.path != "fencing.levels" => {
                section(&mut page, field, &format!("{}[]", field.path));
            }
            _ => {}
        }
    }
    page
}

fn section(page: &mut String, field: &Field, path: &str) {
    table(page, path, &format!("`{path}`"), field.doc);
}

fn table(page: &mut String, parent: &str, title: &str, doc: &str) {
    let _ = write!(page, "\n## {title}\n\n{doc}\n\n");
    page.push_str("| key | value | if left out | what it is |\n|---|---|---|---|\n");
    for (key, field) in fields::children(parent) {
        let value = match field.kind {
            Kind::Section => "a mapping, see below".to_owned(),
            Kind::Sections if field.path == "fencing.levels" => "a list of mappings".to_owned(),
            Kind::Sections => "a list of mappings, see below".to_owned(),
            Kind::Text(Form { shape: Shape::OneOf(words), .. }) => {
                words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
            }
            kind => kind.expects(),
        };
        let value = if field.secret { format!("{value} (secret)") } else { value };
        let missing = match field.need {
            Need::Required => "required".to_owned(),
            Need::When(condition) => format!("required when {condition}"),
            Need::Default(text) => format!("`{text}`"),
            Need::Optional => String::new(),
        };
        let _ = writeln!(page, "| `{key}` | {value} | {missing} | {} |", field.doc);
    }
}
