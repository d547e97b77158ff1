//! What a configuration comes to, as a file that says all of it: what is written, what a preset stands for, what holds by
//! default, and what flags and the environment say. Secrets stay as they were written.
//!
//! It is made from the schema, so that no key can be forgotten. A default is in it wherever it may be written: what has no
//! effect beside other keys is refused there, and left out here.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Deserialize as _;
use serde_json::Value as Json;
use toml::{Table, Value, de::DeTable};

use super::{
    Config, Env, Faults, Flags, presets, schema,
    source::{Found, Source},
    sources, value,
};
use crate::{
    route::{Mode, Route, Stamp},
    window::Bounds,
};

const HEAD: &str = "# Everything that holds, what is set by flags and the environment among it. What nothing was said of is marked.\n";
const REST: &str =
    "\n# What no route matches is a private stream with the defaults of a route, and with [window].\n";
const DEFAULT: &str = "  # default";

/// A file that loads again to the same configuration, but for its warnings.
///
/// # Errors
///
/// All that is wrong with what was said.
pub fn effective(flags: &Flags, env: &Env<'_>, file: Option<(&str, &str)>) -> Result<String, Faults> {
    let config = Config::resolve(flags, env, file)?;
    let written = unfolded(file.map_or("", |(_, text)| text));
    let schema = schema();
    let mut text = HEAD.to_owned() + &top(&config, &written, &schema);
    let routes = written.get("route").and_then(Value::as_array).into_iter().flatten();
    for (route, resolved) in routes.filter_map(Value::as_table).zip(&config.routes) {
        let writer = Writer { route, resolved, env, before: &text };
        let route = writer.text(&schema);
        text.push_str(&route);
    }
    Ok(text + REST)
}

/// What is written, presets among it. It was read before, so that nothing is wrong with it.
pub(super) fn unfolded(text: &str) -> Table {
    let found = Found::default();
    let Ok(mut table) = DeTable::parse(text) else { return Table::new() };
    presets::unfold(table.get_mut(), Source { name: "", text, found: &found });
    Table::deserialize(toml::Deserializer::from(table)).unwrap_or_default()
}

/// The keys of a table that the schema has, in its order, each with what it has of a default.
fn keys<'a>(schema: &'a Json, table: &str) -> impl Iterator<Item = (&'a str, &'a Json)> {
    let properties =
        schema.pointer(table).and_then(|table| table.get("properties")).and_then(Json::as_object);
    properties.into_iter().flatten().map(|(key, about)| (key.as_str(), about))
}

fn default(about: &Json) -> Option<Value> {
    Value::try_from(about.get("default")?).ok()
}

/// All but the routes.
fn top(config: &Config, written: &Table, schema: &Json) -> String {
    let (mut top, mut tables) = (String::new(), String::new());
    for (key, about) in keys(schema, "") {
        if let Some(reference) = about.get("$ref").and_then(Json::as_str) {
            let own = written.get(key).and_then(Value::as_table);
            let _ = write!(tables, "\n[{key}]\n");
            for (key, about) in keys(schema, reference.trim_start_matches('#')) {
                line(&mut tables, key, own.and_then(|own| own.get(key)).cloned(), default(about));
            }
            continue;
        }
        let texts =
            |list: &[crate::net::Address]| list.iter().map(|a| Value::String(a.to_string())).collect();
        let said = match key {
            "route" => continue,
            // Of these the file is not the last word.
            "listen" => Some(Value::Array(texts(&config.listen))),
            "upstream" => Some(Value::String(config.upstream.to_string())),
            "admin" => config.admin.as_ref().map(|admin| Value::String(admin.to_string())),
            _ => written.get(key).cloned(),
        };
        let default = default(about);
        line(&mut top, key, said.filter(|said| Some(said) != default.as_ref()), default);
    }
    top + &tables
}

/// The line of a key: what is said, or what holds where nothing is.
fn line(text: &mut String, key: &str, said: Option<Value>, default: Option<Value>) {
    let _ = match (said, default) {
        (Some(said), _) => writeln!(text, "{key} = {said}"),
        (None, Some(default)) => writeln!(text, "{key} = {default}{DEFAULT}"),
        (None, None) => writeln!(text, "# {key} is not set"),
    };
}

/// Writes one route.
struct Writer<'a> {
    route: &'a Table,
    resolved: &'a Route,
    env: &'a Env<'a>,
    /// The file above it.
    before: &'a str,
}

/// The line of a key, by its place in the schema.
type Lines = BTreeMap<usize, String>;

impl Writer<'_> {
    fn text(&self, schema: &Json) -> String {
        let keys: Vec<_> = keys(schema, "/$defs/Route").filter(|(key, _)| is_line(key)).collect();
        let said = keys.iter().enumerate().filter_map(|(n, (key, _))| Some((n, self.said(key)?)));
        let mut lines: Lines = said.collect();
        let warnings = self.warnings(&lines);
        let mut unset = Vec::new();
        for (n, (key, about)) in
            keys.iter().enumerate().filter(|(_, (key, _))| !self.route.contains_key(*key))
        {
            let default = self.of_resolved(key).or_else(|| Some(default(about)?.to_string()));
            match default {
                Some(default) => lines.insert(n, format!("{key} = {default}{DEFAULT}\n")),
                None => {
                    unset.push(*key);
                    continue;
                }
            };
            if self.warnings(&lines) != warnings {
                lines.remove(&n);
            }
        }
        let (preset, unset) = (self.preset(), self.unset(&unset));
        format!("\n{preset}[[route]]\n{}{unset}{}", joined(&lines), self.guards(schema))
    }

    fn said(&self, key: &str) -> Option<String> {
        let value = self.route.get(key)?;
        // A window says of all bounds what they are.
        let whole = (key == "window").then(|| self.of_resolved(key)).flatten();
        Some(format!("{key} = {}\n", whole.unwrap_or_else(|| value.to_string())))
    }

    fn preset(&self) -> String {
        self.route.get("preset").map(|preset| format!("# Of the preset {preset}.\n")).unwrap_or_default()
    }

    /// What could be said here, and is not.
    fn unset(&self, keys: &[&str]) -> String {
        let passes = self.resolved.mode == Mode::Pass || self.resolved.stamp == Stamp::Never;
        if passes || keys.is_empty() { String::new() } else { format!("# not set: {}\n", keys.join(", ")) }
    }

    /// What holds by default and not for every route alike.
    fn of_resolved(&self, key: &str) -> Option<String> {
        let time = humantime::format_duration;
        match key {
            "linger" => Some(format!("\"{}\"", time(self.resolved.linger))),
            "window" => {
                let Bounds { events, bytes, age } = self.resolved.window;
                let (bytes, age) = (value::shown(bytes), time(age));
                Some(format!("{{ events = {events}, bytes = \"{bytes}\", age = \"{age}\" }}"))
            }
            _ => None,
        }
    }

    fn guards(&self, schema: &Json) -> String {
        let mut text = String::new();
        let guards = self.route.get("guard").and_then(Value::as_array).into_iter().flatten();
        for guard in guards.filter_map(Value::as_table) {
            text.push_str("\n[[route.guard]]\n");
            for (key, about) in keys(schema, "/$defs/Guard") {
                if guard.contains_key(key) || about.get("default").is_some() {
                    line(&mut text, key, guard.get(key).cloned(), default(about));
                }
            }
        }
        text
    }

    /// How much is likely to be a mistake of a route with these lines; `None` where it is refused.
    fn warnings(&self, lines: &Lines) -> Option<usize> {
        let guards = self.route.get("guard").and_then(Value::as_array).into_iter().flatten();
        let guards = guards.map(|guard| {
            format!("[[route.guard]]\n{}", guard.as_table().map(Table::to_string).unwrap_or_default())
        });
        // The routes above it would take what it is there for.
        let above = self.before.split("\n[[route]]").next().unwrap_or_default();
        let text = format!("{above}\n[[route]]\n{}{}", joined(lines), guards.collect::<String>());
        // What the environment says of addresses is in the file by now.
        let env = |name: &str| (self.env)(name).filter(|_| !sources::NAMES.contains(&name));
        Config::resolve(&Flags::default(), &env, Some(("", &text))).ok().map(|config| config.warnings.len())
    }
}

/// The key stands in a line of its own, and for nothing else.
fn is_line(key: &str) -> bool {
    !matches!(key, "guard" | "preset")
}

fn joined(lines: &Lines) -> String {
    lines.values().map(String::as_str).collect()
}
