//! The shape of the configuration file: its keys, each value with its place, nothing judged yet but types.

use std::{fmt, marker::PhantomData, ops::Deref};

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use toml::Spanned;

use super::written::{Count, Counts, Headers, Length, Size, Switch, Text, Texts};

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
    pub(super) statuses: Option<Spanned<Counts>>,
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
