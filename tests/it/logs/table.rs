//! `deploy/logs.md` names every message that the sources have, with its level and fields, and no other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

const PAGE: &str = include_str!("../../../deploy/logs.md");
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// Level and fields of each message. Of one that is said in several places, all that any of them says.
type Messages = BTreeMap<String, (String, BTreeSet<String>)>;

/// The rows of the table that has this head.
fn rows(head: &str) -> impl Iterator<Item = Vec<&'static str>> {
    let lines = PAGE.lines().skip_while(move |line| *line != head).skip(2);
    let rows = lines.take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
}

fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn written() -> Messages {
    let rows = rows("| level | message | fields | what it says |");
    let messages: Messages =
        rows.map(|row| (row[1].trim_matches('`').to_owned(), (row[0].to_owned(), quoted(row[2])))).collect();
    assert!(messages.len() > 20);
    messages
}

/// The text up to the parenthesis that closes the one before it.
fn within(text: &str) -> &str {
    let (mut depth, mut in_string, mut escaped) = (1, false, false);
    let end = text.char_indices().find(|&(_, c)| {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            '(' | '[' | '{' if !in_string => depth += 1,
            ')' | ']' | '}' if !in_string => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    &text[..end.expect("a macro ends").0]
}

/// The arguments of a macro.
fn arguments(mut text: &str) -> Vec<String> {
    let mut all = Vec::new();
    while !text.trim().is_empty() {
        let (mut depth, mut in_string) = (0, false);
        let comma = text.char_indices().find(|&(_, c)| {
            match c {
                '"' => in_string = !in_string,
                '(' | '[' | '{' if !in_string => depth += 1,
                ')' | ']' | '}' if !in_string => depth -= 1,
                _ => {}
            }
            c == ',' && depth == 0 && !in_string
        });
        let end = comma.map_or(text.len(), |(at, _)| at);
        all.push(text[..end].trim().to_owned());
        text = text.get(end + 1..).unwrap_or_default();
    }
    all
}

/// The name of a field, by how it is given: `name`, `%name`, `?name`, `name = value`.
fn field(argument: &str) -> Option<String> {
    if argument.starts_with("parent:") {
        return None;
    }
    let name = argument.split('=').next().unwrap_or_default();
    Some(name.trim().trim_start_matches(['%', '?']).to_owned())
}

fn sources(of: &Path, into: &mut Vec<String>) {
    for entry in fs::read_dir(of).unwrap().map(|entry| entry.unwrap().path()) {
        match entry.extension() {
            _ if entry.is_dir() => sources(&entry, into),
            Some(extension) if extension == "rs" => into.push(fs::read_to_string(&entry).unwrap()),
            _ => {}
        }
    }
}

fn said() -> Messages {
    let mut texts = Vec::new();
    sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut texts);
    let mut messages = Messages::new();
    for text in &texts {
        for level in LEVELS {
            for rest in text.split(&format!("tracing::{level}!(")).skip(1) {
                let mut arguments = arguments(within(rest));
                let message = arguments.pop().unwrap();
                let message = message.strip_prefix('"').and_then(|message| message.strip_suffix('"'));
                let message = message.unwrap_or_else(|| panic!("no constant message: {}", within(rest)));
                let fields = arguments.iter().filter_map(|argument| field(argument));
                let known = messages.entry(message.to_owned()).or_insert((level.to_owned(), BTreeSet::new()));
                assert_eq!(known.0, level, "one message has one level: {message}");
                known.1.extend(fields);
            }
        }
    }
    messages
}

#[test]
fn every_message_is_on_the_page_with_its_level_and_fields() {
    let (written, said) = (written(), said());
    for (message, of) in &said {
        assert_eq!(written.get(message), Some(of), "{message}");
    }
    for message in written.keys() {
        assert!(said.contains_key(message), "nobody says {message}");
    }
}

#[test]
fn every_span_is_on_the_page_with_its_fields() {
    let mut texts = Vec::new();
    sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut texts);
    let spans = texts.iter().flat_map(|text| text.split("tracing::debug_span!(").skip(1));
    let said: BTreeMap<String, BTreeSet<String>> = spans
        .map(|rest| {
            let mut arguments = arguments(within(rest));
            arguments.retain(|argument| !argument.starts_with("parent:"));
            let name = arguments.remove(0).trim_matches('"').to_owned();
            (name, arguments.iter().filter_map(|argument| field(argument)).collect())
        })
        .collect();
    let rows = rows("| span | as long as | fields |");
    let written: BTreeMap<String, BTreeSet<String>> =
        rows.map(|row| (row[0].trim_matches('`').to_owned(), quoted(row[2]))).collect();
    assert_eq!(written, said);
}
