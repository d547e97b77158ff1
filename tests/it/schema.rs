//! The schema of the configuration: complete, and as strict as what reads the file.

use std::{collections::BTreeSet, fs};

use respool::config::{Config, Flags, schema};
use serde_json::Value;

use super::{command::respool, deploy};

/// The tables that the file may have: how each begins, and where the schema has it.
const TABLES: [(&str, &str); 8] = [
    ("", ""),
    ("[limits]", "/$defs/Limits"),
    ("[window]", "/$defs/Window"),
    ("[outage]", "/$defs/Outage"),
    ("[drain]", "/$defs/Drain"),
    ("[[route]]", "/$defs/Route"),
    ("[[route]]\n[[route.guard]]", "/$defs/Guard"),
    ("[[route]]\n[route.gap_event]", "/$defs/GapEvent"),
];

/// What a value has that the schema does not allow; a small validator, of what our schema says and no more.
fn wrong(value: &Value, schema: &Value, root: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (keyword, says) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "description" | "default" | "examples" | "title" | "$schema" | "$defs" => {}
            "$ref" => {
                let there = root.pointer(says.as_str().unwrap().trim_start_matches('#')).unwrap();
                found.extend(wrong(value, there, root, at));
            }
            "type" if !types(says).contains(&kind(value)) => found.push(format!("{at}: no {says}")),
            "enum" if !says.as_array().unwrap().contains(value) => found.push(format!("{at}: not in {says}")),
            "minimum" if value.as_i64() < says.as_i64() => found.push(format!("{at}: below {says}")),
            "maximum" if value.as_i64() > says.as_i64() => found.push(format!("{at}: above {says}")),
            "type" | "enum" | "minimum" | "maximum" | "additionalProperties" => {}
            "items" => {
                let items = value.as_array().into_iter().flatten();
                found.extend(items.flat_map(|item| wrong(item, says, root, &format!("{at}[]"))));
            }
            "properties" => found.extend(properties(value, says, schema, root, at)),
            other => panic!("a validator must know {other}"),
        }
    }
    found
}

fn properties(value: &Value, says: &Value, schema: &Value, root: &Value, at: &str) -> Vec<String> {
    let own = value.as_object().into_iter().flatten();
    let of = |(key, value): (&String, &Value)| match says.get(key) {
        Some(says) => wrong(value, says, root, &format!("{at}/{key}")),
        None if schema["additionalProperties"] == false => vec![format!("{at}/{key}: unknown")],
        None => Vec::new(),
    };
    own.flat_map(of).collect()
}

fn types(says: &Value) -> Vec<&str> {
    let all = says.as_array().map_or_else(|| vec![says], |all| all.iter().collect());
    all.into_iter().map(|one| one.as_str().unwrap()).collect()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "string",
        Value::Number(number) if number.is_i64() => "integer",
        Value::Bool(_) => "boolean",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::Number(_) | Value::Null => "something else",
    }
}

/// What the schema has against a file.
fn against(toml: &str) -> Vec<String> {
    let value = serde_json::to_value(toml.parse::<toml::Table>().unwrap()).unwrap();
    wrong(&value, &schema(), &schema(), "")
}

#[test]
fn the_command_prints_it() {
    let output = respool(&["schema"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), schema());
}

#[test]
fn every_file_in_deploy_is_valid_by_it() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut valid = 0;
    for path in paths.filter(|path| path.extension().is_some_and(|end| end == "toml")) {
        assert_eq!(against(&fs::read_to_string(&path).unwrap()), [""; 0], "{}", path.display());
        valid += 1;
    }
    assert!(valid >= 5);
    assert_eq!(against(&deploy::uncommented(deploy::EXAMPLE)), [""; 0]);
}

#[test]
fn it_has_every_key_of_every_table_with_what_it_means() {
    let schema = schema();
    for (head, at) in TABLES {
        let table = schema.pointer(at).unwrap();
        let properties = table["properties"].as_object().unwrap();
        let named: BTreeSet<_> = properties.keys().cloned().collect();
        assert_eq!(named, deploy::known(head).into_iter().collect(), "{head}");
        for (key, about) in properties {
            assert!(about["description"].as_str().is_some_and(|text| text.len() > 10), "{at}/{key}");
        }
        // What is unknown to one is unknown to the other.
        let unknown = format!("{head}\nnobody-knows-this = 1");
        assert_eq!(against(&unknown).len(), 1, "{unknown}");
    }
}

#[test]
fn words_of_a_key_are_those_that_are_understood() {
    let schema = schema();
    let mut seen = 0;
    for (head, at) in TABLES {
        for (key, about) in schema.pointer(at).unwrap()["properties"].as_object().unwrap() {
            let Some(words) = about.get("enum") else { continue };
            // What is right is listed where a word is none.
            let file = format!("{head}\npath = \"/a\"\n{key} = \"nobody-knows-this\"");
            let faults = Config::resolve(&Flags::default(), &|_| None, Some(("", &file))).unwrap_err();
            let fault = faults.iter().find(|fault| fault.message.contains("`nobody-knows-this`")).unwrap();
            let right: Vec<_> = fault.remedy.split('"').skip(1).step_by(2).collect();
            assert_eq!(*words, serde_json::json!(right), "{key}");
            seen += 1;
        }
    }
    assert_eq!(seen, 8);
}

#[test]
fn what_is_wrong_is_wrong_by_it() {
    for (file, fault) in [
        ("listen = 8080", "/listen: no [\"string\",\"array\"]"),
        ("listen = [8080]", "/listen[]: no \"string\""),
        ("host = \"other\"", "/host: not in [\"keep\",\"upstream\"]"),
        ("[limits]\nstreams = 0", "/limits/streams: below 1"),
        ("[outage]\nstatuses = [200]", "/outage/statuses[]: below 400"),
        ("[[route]]\nprime = \"yes\"", "/route[]/prime: no \"boolean\""),
        ("[[route]]\nguard = [{ opn = \"a\" }]", "/route[]/guard[]/opn: unknown"),
        ("[[route]]\nwindow = { ages = 1 }", "/route[]/window/ages: unknown"),
        ("[window]\nage = 5", "/window/age: no \"string\""),
    ] {
        assert_eq!(against(file), [fault], "{file}");
    }
}
