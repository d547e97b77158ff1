//! What of a route is said in the words of the file, and where.

use toml::{Value, de::DeTable};

use super::{
    Place, effective, presets,
    source::{Found, Source},
};

/// A route as it is written.
#[derive(Clone, Debug)]
pub struct Outline {
    /// Where it begins.
    pub place: Place,
    /// The preset that it is of.
    pub preset: Option<String>,
    /// The rules on its events, as they are written: a line for each key, and for each guard.
    pub rules: Vec<String>,
}

const RULES: [&str; 8] =
    ["type", "hello", "hello_events", "hello_wait", "reset", "ephemeral", "retain", "keep_ids_of"];

/// The routes of a file that nothing is wrong with, those of presets among them, in the order of its configuration's.
#[must_use]
pub fn outline(name: &str, text: &str) -> Vec<Outline> {
    let found = Found::default();
    let source = Source { name, text, found: &found };
    let Ok(mut table) = DeTable::parse(text) else { return Vec::new() };
    presets::unfold(table.get_mut(), source);
    let routes = table.get_ref().get("route").and_then(|routes| routes.get_ref().as_array());
    let places = routes.into_iter().flatten().map(|route| source.place(route.span()));
    let written = effective::unfolded(text);
    let written = written.get("route").and_then(Value::as_array).cloned().unwrap_or_default();
    places.zip(&written).map(|(place, route)| of(place, route)).collect()
}

fn of(place: Place, route: &Value) -> Outline {
    let preset = route.get("preset").and_then(Value::as_str).map(str::to_owned);
    let mut rules: Vec<_> =
        RULES.iter().filter_map(|key| Some(format!("{key} = {}", route.get(key)?))).collect();
    let guards = route.get("guard").and_then(Value::as_array).into_iter().flatten();
    rules.extend(guards.map(|guard| format!("guard = {guard}")));
    Outline { place, preset, rules }
}
