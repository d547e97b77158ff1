//! From a file's text to its shape. What is not of the shape is left out, each such thing a fault, and the rest is read.

use std::ops::Range;

use serde::Deserialize;
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue, Error},
};

use super::{
    fault::{Fault, Place, wrong},
    file::File,
    presets, schema,
    source::{LeftOut, Source},
};

/// Nobody reads on after so many.
const MOST: usize = 100;

/// The file's keys and values, those of presets among them, or nothing where it is no TOML.
pub(super) fn read(source: Source<'_>) -> Option<File> {
    let table = DeTable::parse(source.text).map_err(|error| source.found.add(fault(source, &error)));
    let mut table = table.ok()?;
    presets::unfold(table.get_mut(), source);
    while source.found.count() < MOST {
        match File::deserialize(toml::Deserializer::from(table.clone())) {
            Ok(file) => return Some(file),
            Err(error) => leave_out(table.get_mut(), &error, source)?,
        }
    }
    None
}

/// Notes the fault, and takes what has it out of the file.
fn leave_out(file: &mut DeTable<'_>, error: &Error, source: Source<'_>) -> Option<()> {
    let mut fault = fault(source, error);
    let mut left_out = error.span().and_then(|span| taken(file, &span, &mut Vec::new()));
    if let Some((message, remedy, meant)) = unknown(error.message()) {
        (fault.message, fault.remedy) = (message, remedy);
        // Who meant another key has written that.
        if let (Some(left_out), Some(meant)) = (&mut left_out, meant) {
            left_out.key = meant;
        }
    }
    source.found.add(fault);
    left_out.map(|left_out| source.found.leave_out(left_out))
}

/// Takes the key, value or entry of a list with this span out of a table.
fn taken(table: &mut DeTable<'_>, span: &Range<usize>, tables: &mut Vec<usize>) -> Option<LeftOut> {
    let hit = table.iter().find(|(key, value)| key.span() == *span || value.span() == *span);
    if let Some(key) = hit.map(|(key, _)| key.clone()) {
        table.remove(&key);
        let key = key.get_ref().to_string();
        return Some(LeftOut { tables: tables.clone(), key, list: None });
    }
    table.iter_mut().find_map(|(key, value)| taken_of((key.get_ref(), value), span, tables))
}

/// The same of a key's value.
fn taken_of(
    (key, value): (&str, &mut Spanned<DeValue<'_>>),
    span: &Range<usize>,
    tables: &mut Vec<usize>,
) -> Option<LeftOut> {
    let start = value.span().start;
    match value.get_mut() {
        DeValue::Table(table) => {
            tables.push(start);
            let left_out = taken(table, span, tables);
            tables.pop();
            left_out
        }
        DeValue::Array(values) => {
            if let Some(n) = values.iter().position(|value| value.span() == *span) {
                let rest = std::mem::replace(values, DeArray::new());
                let rest = rest.into_iter().enumerate().filter(|(at, _)| *at != n);
                rest.for_each(|(_, value)| values.push(value));
                return Some(LeftOut { tables: tables.clone(), key: key.to_owned(), list: Some(start) });
            }
            values.iter_mut().find_map(|value| taken_of((key, value), span, tables))
        }
        _ => None,
    }
}

fn fault(source: Source<'_>, error: &Error) -> Fault {
    let whole = || Place::Whole(source.name.to_owned());
    let place = error.span().map_or_else(whole, |span| source.place(span));
    let (message, remedy) = reworded(error.message());
    wrong(message, remedy).at(place)
}

/// What is said of a key that is none, and the key that may be meant.
fn unknown(message: &str) -> Option<(String, String, Option<String>)> {
    let rest = message.trim().strip_prefix("unknown field ")?;
    let mut keys = rest.split('`').skip(1).step_by(2);
    // The key may have a quote within; the known ones follow behind it.
    let (key, known) = match rest.rsplit_once("`, expected ") {
        Some((key, known)) => (key.trim_start_matches('`'), known),
        None => (keys.next()?, ""),
    };
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    let message = format!("unknown key `{key}`");
    if let Some(home) = schema::home(key) {
        return Some((message, format!("`{key}` stands {home}"), None));
    }
    let all = || known.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    let meant = nearest(key, &known);
    let remedy = match meant {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("known here: {}", all()),
    };
    Some((message, remedy, meant.map(str::to_owned)))
}

/// The word that differs from what was written by a slip or two.
fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |word: &&&str| strsim::osa_distance(&written.to_lowercase().replace('-', "_"), word);
    let nearest = known.iter().min_by_key(distance)?;
    let slips = written.chars().count().div_ceil(4).min(3);
    (distance(&nearest) <= slips).then_some(*nearest)
}

/// A parser's message as what is wrong and what would be right.
fn reworded(message: &str) -> (String, String) {
    let message = message.trim().replace('\n', ", ");
    let (wrong, right) = message.split_once(", expected ").unwrap_or((&message, ""));
    if let Some(found) = wrong.strip_prefix("invalid type: ") {
        let found = if found == "map" { "table" } else { found.trim_end_matches(" as i128") };
        return (format!("wrong type: {found}"), format!("write {right}"));
    }
    let remedy = match (wrong, right) {
        ("duplicate key", _) => "write each key and each table once".to_owned(),
        (_, "") => "write it as TOML wants it".to_owned(),
        (_, right) => format!("expected {right}"),
    };
    (wrong.to_owned(), remedy)
}
