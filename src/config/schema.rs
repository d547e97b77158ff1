//! The schema of the configuration file, for editors that complete and check it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema, transform};

use super::{
    file::{File, Tables},
    written::{Count, Counts, Headers, Length, Size, Spanned, Switch, Text, Texts},
};

/// A JSON schema (draft 2020-12) of the configuration file: every key, what it means, and what holds where it is left out.
#[must_use]
pub fn schema() -> serde_json::Value {
    let there = transform::RecursiveTransform(there_or_not);
    let settings = SchemaSettings::draft2020_12().with_transform(there);
    settings.into_generator().into_root_schema_for::<File>().into()
}

/// Where in the file a key stands, if it is one, for who has put it elsewhere.
pub(super) fn home(key: &str) -> Option<&'static str> {
    const HOMES: [(&str, &str); 8] = [
        ("", "at the top of the file, above the first table"),
        ("/$defs/Limits", "in `[limits]`"),
        ("/$defs/Window", "in `[window]`"),
        ("/$defs/Outage", "in `[outage]`"),
        ("/$defs/Drain", "in `[drain]`"),
        ("/$defs/Route", "in a `[[route]]`"),
        ("/$defs/Guard", "in a `[[route.guard]]`"),
        ("/$defs/GapEvent", "in a `gap_event`"),
    ];
    let schema = schema();
    let has = |at: &&(&str, &str)| {
        let properties = schema.pointer(at.0).and_then(|table| table.get("properties"));
        properties.is_some_and(|properties| properties.get(key).is_some())
    };
    HOMES.iter().find(has).map(|(_, home)| *home)
}

/// A key is there or not: TOML has nothing that it could be instead. No table need be written.
fn there_or_not(schema: &mut Schema) {
    let is_null = |kind: &serde_json::Value| kind == "null" || kind.get("type").is_some_and(|t| t == "null");
    for list in ["type", "anyOf"] {
        let Some(serde_json::Value::Array(kinds)) = schema.get_mut(list) else { continue };
        kinds.retain(|kind| !is_null(kind));
        match (&kinds[..], list) {
            ([one], "type") => {
                let one = one.clone();
                schema.insert("type".to_owned(), one);
            }
            ([one], _) => {
                let reference = one.get("$ref").cloned();
                schema.remove("anyOf");
                schema.insert("$ref".to_owned(), reference.unwrap_or_default());
            }
            _ => {}
        }
    }
    if schema.get("default").is_some_and(serde_json::Value::is_object) {
        schema.remove("default");
    }
    if let Some(serde_json::Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
}

/// Declares the schema of a value that is written where it is used.
macro_rules! is {
    ($($type:ident: $schema:tt,)+) => {
        $(impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        })+
    };
}

is! {
    Text: { "type": "string" },
    Length: { "type": "string" },
    Size: { "type": ["string", "integer"] },
    Count: { "type": "integer", "minimum": 1 },
    Counts: { "type": "array", "items": { "type": "integer", "minimum": 400, "maximum": 599 } },
    Switch: { "type": "boolean" },
    Texts: { "type": ["string", "array"], "items": { "type": "string" } },
    Headers: { "type": "object", "additionalProperties": { "type": "string" } },
}

impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<T: JsonSchema> JsonSchema for Tables<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": generator.subschema_for::<T>() })
    }
}
