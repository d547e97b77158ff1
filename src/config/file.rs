//! The shape of the configuration file: its keys, each value with its place, nothing judged yet but types.

use std::{
    fmt,
    marker::PhantomData,
    ops::{Deref, Range},
};

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use toml::{Spanned, de::DeTable};

use super::{
    fault::{Fault, Place, Wrong},
    presets,
    written::{Count, Counts, Headers, Length, Size, Switch, Text, Texts},
};

/// The whole file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) listen: Option<Spanned<Texts>>,
    pub(super) upstream: Option<Spanned<Text>>,
    pub(super) admin: Option<Spanned<Text>>,
    pub(super) admin_hosts: Option<Spanned<Texts>>,
    pub(super) admin_actions: Option<Spanned<Texts>>,
    pub(super) host: Option<Spanned<Text>>,
    pub(super) forwarded: Option<Switch>,
    pub(super) stumbling: Option<Spanned<Texts>>,
    #[serde(default)]
    pub(super) limits: Limits,
    #[serde(default)]
    pub(super) window: Window,
    #[serde(default)]
    pub(super) outage: Outage,
    #[serde(default)]
    pub(super) drain: Drain,
    #[serde(default)]
    pub(super) route: Tables<Route>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of limits")]
pub(super) struct Limits {
    pub(super) memory: Option<Spanned<Size>>,
    pub(super) streams: Option<Spanned<Count>>,
    pub(super) connections: Option<Spanned<Count>>,
    pub(super) lingering: Option<Spanned<Count>>,
    pub(super) admissions: Option<Spanned<Count>>,
    pub(super) event: Option<Spanned<Size>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of bounds, such as { events = 2048 }")]
pub(super) struct Window {
    pub(super) events: Option<Spanned<Count>>,
    pub(super) bytes: Option<Spanned<Size>>,
    pub(super) age: Option<Spanned<Length>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table, such as { hold = \"5s\" }")]
pub(super) struct Outage {
    pub(super) hold: Option<Spanned<Length>>,
    pub(super) statuses: Option<Counts>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table, such as { time = \"10s\" }")]
pub(super) struct Drain {
    pub(super) time: Option<Spanned<Length>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table that begins with `[[route]]`")]
pub(super) struct Route {
    pub(super) path: Option<Spanned<Text>>,
    pub(super) preset: Option<Spanned<Text>>,
    pub(super) mode: Option<Spanned<Text>>,
    pub(super) key: Option<Spanned<Texts>>,
    pub(super) cursor_query: Option<Spanned<Texts>>,
    pub(super) admit: Option<Spanned<Text>>,
    pub(super) admit_timeout: Option<Spanned<Length>>,
    pub(super) admit_cache: Option<Spanned<Length>>,
    pub(super) pin: Option<Spanned<Switch>>,
    pub(super) pin_headers: Option<Spanned<Headers>>,
    pub(super) linger: Option<Spanned<Length>>,
    pub(super) stamp: Option<Spanned<Text>>,
    pub(super) heartbeat: Option<Spanned<Length>>,
    pub(super) heartbeat_shape: Option<Spanned<Text>>,
    pub(super) heartbeat_pad: Option<Spanned<Size>>,
    pub(super) retry: Option<Spanned<Length>>,
    pub(super) prime: Option<Spanned<Switch>>,
    pub(super) window: Option<Spanned<Window>>,
    pub(super) ids: Option<Spanned<Text>>,
    pub(super) match_upstream_ids: Option<Spanned<Switch>>,
    pub(super) cors_allow_cursor: Option<Spanned<Switch>>,
    pub(super) keep_ids_of: Option<Spanned<Texts>>,
    #[serde(rename = "type")]
    pub(super) kind: Option<Spanned<Text>>,
    pub(super) reset: Option<Spanned<Texts>>,
    pub(super) ephemeral: Option<Spanned<Texts>>,
    pub(super) retain: Option<Spanned<Texts>>,
    pub(super) hello: Option<Spanned<Texts>>,
    pub(super) hello_events: Option<Spanned<Count>>,
    pub(super) hello_wait: Option<Spanned<Length>>,
    pub(super) on_gap: Option<Spanned<Text>>,
    pub(super) gap_event: Option<Spanned<GapEvent>>,
    pub(super) on_break: Option<Spanned<Text>>,
    pub(super) upstream_resumes: Option<Spanned<Switch>>,
    #[serde(default)]
    pub(super) guard: Tables<Guard>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table, such as { event = \"gap\", data = \"{reason}\" }")]
pub(super) struct GapEvent {
    pub(super) event: Option<Spanned<Text>>,
    pub(super) data: Option<Spanned<Text>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table that begins with `[[route.guard]]`")]
pub(super) struct Guard {
    pub(super) open: Option<Spanned<Texts>>,
    pub(super) close: Option<Spanned<Texts>>,
    pub(super) key: Option<Spanned<Texts>>,
    pub(super) open_key: Option<Spanned<Texts>>,
    pub(super) close_key: Option<Spanned<Texts>>,
    pub(super) ttl: Option<Spanned<Length>>,
}

/// Tables of which there may be many, each below a head of its own.
pub(super) struct Tables<T>(Vec<Spanned<T>>);

/// A table of which there may be many.
pub(super) trait Headed {
    /// How each one begins.
    const HEAD: &'static str;
}

impl Headed for Route {
    const HEAD: &'static str = "`[[route]]` above each route";
}

impl Headed for Guard {
    const HEAD: &'static str = "`[[route.guard]]` above each guard";
}

impl<T> Default for Tables<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for Tables<T> {
    type Target = [Spanned<T>];
    fn deref(&self) -> &[Spanned<T>] {
        &self.0
    }
}

impl<'de, T: Headed + Deserialize<'de>> Deserialize<'de> for Tables<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Headed + Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Tables<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::HEAD)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tables<T>, A::Error> {
                let mut tables = Vec::new();
                while let Some(table) = list.next_element()? {
                    tables.push(table);
                }
                Ok(Tables(tables))
            }
        }
        from.deserialize_any(Reader(PhantomData))
    }
}

/// A file's name and text, from which places are made.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// Where a span begins.
    pub(super) fn place(&self, span: Range<usize>) -> Place {
        Place::in_file(self.name, self.text, span.start)
    }

    /// The file's keys and values, those of presets among them, or the first thing that is not TOML or not of the shape.
    pub(super) fn parse(&self) -> Result<File, Fault> {
        let mut file = DeTable::parse(self.text).map_err(|error| self.fault(&error))?;
        presets::unfold(file.get_mut(), *self)?;
        File::deserialize(toml::Deserializer::from(file)).map_err(|error| self.fault(&error))
    }

    /// What a value means, or the fault at its place.
    pub(super) fn read<T: AsRef<str>, M>(
        &self,
        written: Option<&Spanned<T>>,
        judge: impl FnOnce(&str) -> Result<M, Wrong>,
    ) -> Result<Option<M>, Fault> {
        let Some(written) = written else { return Ok(None) };
        judge(written.get_ref().as_ref()).map(Some).map_err(|wrong| wrong.at(self.place(written.span())))
    }

    fn fault(&self, error: &toml::de::Error) -> Fault {
        let place = error.span().map_or_else(|| Place::Whole(self.name.to_owned()), |span| self.place(span));
        let (message, remedy) = reworded(error.message());
        Fault { place, message, remedy }
    }
}

/// A parser's message as what is wrong and what would be right.
fn reworded(message: &str) -> (String, String) {
    let message = message.trim().replace('\n', ", ");
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let (key, known) = rest.split_once(", expected ").unwrap_or((rest, "none"));
        let known = known.strip_prefix("one of ").unwrap_or(known);
        return (format!("unknown key {key}"), format!("known here: {known}"));
    }
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
