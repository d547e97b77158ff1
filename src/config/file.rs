//! The shape of the configuration file: its keys, each value with its place, nothing judged yet but types.

use std::{fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use toml::Spanned;

use super::fault::{Fault, Place, Wrong};

/// The whole file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) listen: Option<Spanned<Texts>>,
    pub(super) upstream: Option<Spanned<Text>>,
    pub(super) admin: Option<Spanned<Text>>,
    pub(super) host: Option<Spanned<Text>>,
    pub(super) forwarded: Option<Switch>,
    #[serde(default)]
    pub(super) limits: Limits,
    #[serde(default)]
    pub(super) window: Window,
    #[serde(default)]
    pub(super) outage: Outage,
    #[serde(default)]
    pub(super) drain: Drain,
    #[serde(default)]
    pub(super) route: Vec<Spanned<Route>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of limits")]
pub(super) struct Limits {
    pub(super) memory: Option<Spanned<Size>>,
    pub(super) streams: Option<Spanned<Count>>,
    pub(super) connections: Option<Spanned<Count>>,
    pub(super) lingering: Option<Spanned<Count>>,
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
    pub(super) mode: Option<Spanned<Text>>,
    pub(super) key: Option<Spanned<Texts>>,
    pub(super) admit: Option<Spanned<Text>>,
    pub(super) pin: Option<Spanned<Switch>>,
    pub(super) pin_headers: Option<Spanned<Headers>>,
    pub(super) linger: Option<Spanned<Length>>,
    pub(super) stamp: Option<Spanned<Text>>,
    pub(super) heartbeat: Option<Spanned<Length>>,
    pub(super) prime: Option<Spanned<Switch>>,
    pub(super) window: Option<Spanned<Window>>,
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

    /// The file's keys and values, or the first thing that is not TOML or not of the shape.
    pub(super) fn parse(&self) -> Result<File, Fault> {
        toml::from_str(self.text).map_err(|error| self.fault(&error))
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
        // The only list that has no reader of its own.
        let right = if right == "a sequence" { "`[[route]]` above each route" } else { right };
        return (format!("wrong type: {found}"), format!("write {right}"));
    }
    let remedy = match (wrong, right) {
        ("duplicate key", _) => "write each key and each table once".to_owned(),
        (_, "") => "write it as TOML wants it".to_owned(),
        (_, right) => format!("expected {right}"),
    };
    (wrong.to_owned(), remedy)
}

/// Declares a value that is kept as text until it is judged, where its place can be said.
macro_rules! written {
    ($(#[$about:meta])* $name:ident, $expecting:literal, $($visit:ident: $type:ty),+) => {
        $(#[$about])*
        #[derive(Clone)]
        pub(super) struct $name(String);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Reader;
                impl Visitor<'_> for Reader {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }
                    $(fn $visit<E: Error>(self, value: $type) -> Result<$name, E> {
                        Ok($name(value.to_string()))
                    })+
                }
                from.deserialize_any(Reader)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

written!(
    /// Any text.
    Text, "text in quotes", visit_str: &str);
written!(
    /// A duration; some keys take a word instead.
    Length, "a duration in quotes, such as \"5m\"", visit_str: &str);
written!(
    /// A number of bytes.
    Size, "a size in quotes, such as \"4MiB\"", visit_str: &str, visit_i64: i64);
written!(
    /// A number of things.
    Count, "a whole number", visit_i64: i64);

/// `true` or `false`.
#[derive(Clone, Copy)]
pub(super) struct Switch(pub(super) bool);

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Switch;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`true` or `false`, without quotes")
            }
            fn visit_bool<E: Error>(self, value: bool) -> Result<Switch, E> {
                Ok(Switch(value))
            }
        }
        from.deserialize_any(Reader)
    }
}

/// One text, or a list of them.
#[derive(Clone)]
pub(super) enum Texts {
    One(String),
    Many(Vec<Spanned<Text>>),
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Texts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text in quotes, or a list of it")
            }
            fn visit_str<E: Error>(self, value: &str) -> Result<Texts, E> {
                Ok(Texts::One(value.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element()? {
                    texts.push(text);
                }
                Ok(Texts::Many(texts))
            }
        }
        from.deserialize_any(Reader)
    }
}

impl Texts {
    /// Each text with its place; `span` is that of the whole.
    pub(super) fn each(&self, span: &Range<usize>) -> Vec<(&str, Range<usize>)> {
        match self {
            Self::One(text) => vec![(text, span.clone())],
            Self::Many(texts) => texts.iter().map(|text| (text.get_ref().as_ref(), text.span())).collect(),
        }
    }
}

/// Headers whose values are secrets: what is of the wrong type is kept as such, so that no message repeats it.
pub(super) enum Headers {
    Table(Vec<(Spanned<String>, Spanned<Secret>)>),
    NoTable,
}

/// A value that nothing shows.
pub(super) enum Secret {
    Text(String),
    NoText,
}

/// Reads [`Secret`] and [`Headers`] without ever naming what it found.
struct Discreet;

/// What [`Discreet`] found.
enum Found {
    Text(String),
    Table(Vec<(Spanned<String>, Spanned<Secret>)>),
    Other,
}

impl<'de> Visitor<'de> for Discreet {
    type Value = Found;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of header names with text in quotes")
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Found, E> {
        Ok(Found::Text(value.to_owned()))
    }
    fn visit_bool<E: Error>(self, _: bool) -> Result<Found, E> {
        Ok(Found::Other)
    }
    fn visit_i64<E: Error>(self, _: i64) -> Result<Found, E> {
        Ok(Found::Other)
    }
    fn visit_u64<E: Error>(self, _: u64) -> Result<Found, E> {
        Ok(Found::Other)
    }
    fn visit_i128<E: Error>(self, _: i128) -> Result<Found, E> {
        Ok(Found::Other)
    }
    fn visit_u128<E: Error>(self, _: u128) -> Result<Found, E> {
        Ok(Found::Other)
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<Found, E> {
        Ok(Found::Other)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Found, A::Error> {
        while list.next_element::<Secret>()?.is_some() {}
        Ok(Found::Other)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found, A::Error> {
        let mut headers = Vec::new();
        while let Some(header) = map.next_entry()? {
            headers.push(header);
        }
        Ok(Found::Table(headers))
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(match from.deserialize_any(Discreet)? {
            Found::Table(headers) => Self::Table(headers),
            Found::Text(_) | Found::Other => Self::NoTable,
        })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(match from.deserialize_any(Discreet)? {
            Found::Text(text) => Self::Text(text),
            Found::Table(_) | Found::Other => Self::NoText,
        })
    }
}
