//! Presets: what servers that are known need, kept as data. A route that names one stands for the preset's routes, with its
//! own keys before theirs.
//!
//! They meet as TOML, before anything has a shape: a key that a route may have, a preset may have. What a preset says is
//! at the place where it was named, so that every fault is at a place in the operator's file.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeArray, DeString, DeTable, DeValue},
};

use super::{
    fault::{Fault, Wrong, wrong},
    file,
    source::{LeftOut, Source},
    written,
};

/// By name, in the order of the alphabet.
const PRESETS: &[Preset] = &[
    Preset { name: "mcp", text: include_str!("presets/mcp.toml") },
    Preset { name: "openai", text: include_str!("presets/openai.toml") },
    Preset { name: "opencode", text: include_str!("presets/opencode.toml") },
    Preset { name: "pocketbase", text: include_str!("presets/pocketbase.toml") },
];

/// Routes with a path each.
struct Preset {
    name: &'static str,
    text: &'static str,
}

/// Puts the routes that presets stand for in the place of those that name them. What is not of the shape is left as it
/// is, for whoever reads the shape; so is a route that names what is no preset, but for that name.
pub(super) fn unfold(file: &mut DeTable<'_>, source: Source<'_>) {
    let Some(DeValue::Array(routes)) = file.get_mut("route").map(Spanned::get_mut) else { return };
    for mut route in std::mem::replace(routes, DeArray::new()) {
        match Naming::of(&route).map(|naming| naming.unfolded(&route, source)) {
            Some(Some(unfolded)) => unfolded.into_iter().for_each(|route| routes.push(route)),
            Some(None) => {
                leave_out(&mut route, source);
                routes.push(route);
            }
            None => routes.push(route),
        }
    }
}

fn leave_out(route: &mut Spanned<DeValue<'_>>, source: Source<'_>) {
    let tables = vec![route.span().start];
    source.found.leave_out(LeftOut { tables, key: "preset".to_owned(), list: None });
    if let DeValue::Table(route) = route.get_mut() {
        route.remove("preset");
    }
}

/// A fault at the place of a preset is one of what the preset says there, and says so.
pub(super) fn told(fault: Fault, routes: &[written::Spanned<file::Route>], source: Source<'_>) -> Fault {
    let mut named = routes.iter().filter_map(|route| route.get_ref().preset.as_ref());
    let Some(preset) = named.find(|preset| source.place(preset.span()) == fault.place) else {
        return fault;
    };
    let preset = preset.get_ref().as_ref();
    let message = format!("{}, as `preset = \"{preset}\"` has it", fault.message);
    let remedy = format!("{}; the route's own keys win over the preset's", fault.remedy);
    Fault { message, remedy, place: fault.place }
}

/// A route that names a preset.
struct Naming<'a> {
    preset: &'a str,
    /// Where it does.
    span: Range<usize>,
    path: Option<(&'a str, Range<usize>)>,
}

impl<'a> Naming<'a> {
    fn of(route: &'a Spanned<DeValue<'_>>) -> Option<Self> {
        let route = route.get_ref().as_table()?;
        let text = |key: &str| {
            let value = route.get(key)?;
            Some((value.get_ref().as_str()?, value.span()))
        };
        let (preset, span) = text("preset")?;
        Some(Self { preset, span, path: text("path") })
    }

    /// The routes that it stands for: the preset's one with its path, else all of the preset's. None where that is wrong.
    fn unfolded<'i>(
        &self,
        own: &Spanned<DeValue<'i>>,
        source: Source<'_>,
    ) -> Option<Vec<Spanned<DeValue<'i>>>> {
        let routes = source.judged(self.routes(), self.span.clone())?;
        let asked_for = match (&self.path, &routes[..]) {
            // What a server has at one path it may have at another.
            (None, _) | (Some(_), [_]) => routes,
            (Some((path, span)), _) => match routes.iter().find(|route| path_of(route) == *path) {
                Some(route) => vec![route.clone()],
                None => return source.judged(Err(self.elsewhere(path, &routes)), span.clone()),
            },
        };
        Some(asked_for.iter().map(|route| self.with_own(route, own)).collect())
    }

    fn routes(&self) -> Result<Vec<DeTable<'static>>, Wrong> {
        let preset = PRESETS.iter().find(|preset| preset.name == self.preset).ok_or_else(|| {
            let names: Vec<_> = PRESETS.iter().map(|preset| format!("\"{}\"", preset.name)).collect();
            wrong(format!("`{}` is no preset", self.preset), format!("write {}", names.join(" or ")))
        })?;
        preset.routes()
    }

    fn elsewhere(&self, path: &str, routes: &[DeTable<'_>]) -> Wrong {
        let paths: Vec<_> = routes.iter().map(|route| format!("\"{}\"", path_of(route))).collect();
        let message = format!("`preset = \"{}\"` has nothing for `{path}`", self.preset);
        wrong(message, format!("write {}, or leave `path` out for all of them", paths.join(" or ")))
    }

    /// What the route says itself, and for all that it leaves out the preset's route, at the place of its name.
    fn with_own<'i>(&self, preset: &DeTable<'static>, own: &Spanned<DeValue<'i>>) -> Spanned<DeValue<'i>> {
        let mut route: DeTable<'i> = own.get_ref().as_table().cloned().unwrap_or_default();
        for (key, value) in table_at(preset, &self.span) {
            route.entry(key).or_insert(value);
        }
        Spanned::new(own.span(), DeValue::Table(route))
    }
}

impl Preset {
    /// Its routes, none of which is without a path.
    fn routes(&self) -> Result<Vec<DeTable<'static>>, Wrong> {
        let broken = || wrong(format!("`{}` is a broken preset", self.name), "use another build of respool");
        let file = DeTable::parse(self.text).map_err(|_| broken())?;
        let routes = file.get_ref().get("route").and_then(|routes| routes.get_ref().as_array());
        let routes = routes.into_iter().flatten().map(|route| route.get_ref().as_table().cloned());
        routes.collect::<Option<Vec<_>>>().ok_or_else(broken)
    }
}

fn path_of<'a>(route: &'a DeTable<'_>) -> &'a str {
    route.get("path").and_then(|path| path.get_ref().as_str()).unwrap_or_default()
}

/// The same, as if all of it stood at one place.
fn table_at<'i>(table: &DeTable<'i>, span: &Range<usize>) -> DeTable<'i> {
    let key = |key: &Spanned<DeString<'i>>| Spanned::new(span.clone(), key.get_ref().clone());
    table.iter().map(|(name, value)| (key(name), value_at(value, span))).collect()
}

fn value_at<'i>(value: &Spanned<DeValue<'i>>, span: &Range<usize>) -> Spanned<DeValue<'i>> {
    let value = match value.get_ref() {
        DeValue::Array(values) => DeValue::Array(values.iter().map(|value| value_at(value, span)).collect()),
        DeValue::Table(table) => DeValue::Table(table_at(table, span)),
        plain => plain.clone(),
    };
    Spanned::new(span.clone(), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_preset_is_in_its_place_and_has_routes_with_a_path_each() {
        assert!(PRESETS.is_sorted_by_key(|preset| preset.name));
        for preset in PRESETS {
            let routes = preset.routes().unwrap();
            assert!(!routes.is_empty(), "{}", preset.name);
            for route in &routes {
                assert!(path_of(route).starts_with('/') && !route.contains_key("preset"), "{}", preset.name);
            }
        }
    }
}
