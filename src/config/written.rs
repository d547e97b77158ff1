//! The values of the file: of the right type, and kept as text until they are judged, where their place can be said.

use std::{fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

/// A value and where it stands.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct Spanned<T>(toml::Spanned<T>);

impl<T> Spanned<T> {
    /// Which bytes of the file it is.
    pub(super) fn span(&self) -> Range<usize> {
        self.0.span()
    }

    pub(super) fn get_ref(&self) -> &T {
        self.0.get_ref()
    }
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
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(texts) => texts.len(),
        }
    }

    /// Each text with its place; `span` is that of the whole.
    pub(super) fn each(&self, span: &Range<usize>) -> Vec<(&str, Range<usize>)> {
        match self {
            Self::One(text) => vec![(text, span.clone())],
            Self::Many(texts) => texts.iter().map(|text| (text.get_ref().as_ref(), text.span())).collect(),
        }
    }
}

/// A list of numbers.
pub(super) struct Counts(pub(super) Vec<Spanned<Count>>);

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Counts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of whole numbers, such as [502, 503]")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Counts, A::Error> {
                let mut numbers = Vec::new();
                while let Some(number) = list.next_element()? {
                    numbers.push(number);
                }
                Ok(Counts(numbers))
            }
        }
        from.deserialize_any(Reader)
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
