//! A JSON pointer (RFC 6901) that is followed without building a tree.

use std::{fmt, str::FromStr};

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Where a value stands in a JSON text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pointer {
    steps: Vec<String>,
}

/// What is written is no JSON pointer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a JSON pointer starts with / and has ~ only in ~0 and ~1, such as \"/payload/type\"")]
pub struct PointerError;

impl FromStr for Pointer {
    type Err = PointerError;

    fn from_str(text: &str) -> Result<Self, PointerError> {
        let steps = text.strip_prefix('/').ok_or(PointerError)?.split('/');
        Ok(Self { steps: steps.map(unescaped).collect::<Option<_>>().ok_or(PointerError)? })
    }
}

/// A step as it is meant (RFC 6901, section 4); `None` where a `~` has no meaning.
fn unescaped(step: &str) -> Option<String> {
    let mut parts = step.split('~');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let (sign, rest) = part.split_at_checked(1)?;
        text.push(match sign {
            "0" => '~',
            "1" => '/',
            _ => return None,
        });
        text.push_str(rest);
    }
    Some(text)
}

impl Pointer {
    /// The text of the string, number or truth value that stands there. Reading ends with it: what follows in the
    /// data is not looked at, and of a repeated name the first one counts. `None` where there is nothing, something
    /// else (a number that others would be taken for is), or where the data up to there is no JSON.
    #[must_use]
    pub fn find(&self, data: &[u8]) -> Option<String> {
        let mut found = None;
        let mut json = serde_json::Deserializer::from_slice(data);
        // The walk ends in an error when it has found what it looks for, so that the rest is not read.
        let _ = Walk { steps: &self.steps, found: &mut found }.deserialize(&mut json);
        found
    }
}

/// Below it every whole number has a floating point number of its own.
const EXACT: f64 = (1_u64 << 53) as f64;

/// The way that is left to go.
struct Walk<'a> {
    steps: &'a [String],
    found: &'a mut Option<String>,
}

impl Walk<'_> {
    fn take<E: serde::de::Error>(self, text: impl fmt::Display) -> Result<(), E> {
        if self.steps.is_empty() {
            *self.found = Some(text.to_string());
        }
        // Whether it was found or cannot be: nothing that follows matters.
        Err(E::custom("read as far as it matters"))
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.take(text)
    }
    fn visit_bool<E: serde::de::Error>(self, truth: bool) -> Result<(), E> {
        self.take(truth)
    }
    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        self.take(number)
    }
    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        self.take(number)
    }
    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        // A whole number comes so when it is too large to be told from its neighbours.
        if number.abs() < EXACT { self.take(number) } else { Err(E::custom("no number of ours")) }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((step, rest)) = self.steps.split_first() else {
            return Err(A::Error::custom("an object is no type"));
        };
        while let Some(is_it) = map.next_key_seed(Is(step))? {
            if is_it {
                return map.next_value_seed(Walk { steps: rest, found: self.found });
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((step, rest)) = self.steps.split_first() else {
            return Err(A::Error::custom("an array is no type"));
        };
        let index: usize = step.parse().map_err(A::Error::custom)?;
        for _ in 0..index {
            if seq.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        seq.next_element_seed(Walk { steps: rest, found: self.found }).map(|_| ())
    }
}

/// Compares a name without keeping it.
struct Is<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<bool, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pointer: &str, data: &str, expected: Option<&str>) {
        let pointer: Pointer = pointer.parse().unwrap();
        assert_eq!(pointer.find(data.as_bytes()).as_deref(), expected, "{pointer:?} in {data}");
    }

    #[test]
    fn a_value_is_found_where_it_points() {
        check("/type", r#"{"type":"a"}"#, Some("a"));
        check("/type", r#" { "x" : [1, {"type":"no"}], "type" : "a\u0062\"c" } "#, Some("ab\"c"));
        check("/payload/type", r#"{"payload":{"type":"a"}}"#, Some("a"));
        check("/1/t", r#"[{"t":"a"},{"t":"b"}]"#, Some("b"));
        check("/a~1b/m~0n", r#"{"a/b":{"m~n":7}}"#, Some("7"));
        check("/", r#"{"":"empty"}"#, Some("empty"));
        check("/t", r#"{"t":true}"#, Some("true"));
        check("/t", r#"{"t":-1.5}"#, Some("-1.5"));
        check("/t", r#"{"t":18446744073709551615}"#, Some("18446744073709551615"));
        check("/t", r#"{"t":"first","t":"second"}"#, Some("first"));
        check("/t", r#"{"t":"a", and what follows is not looked at"#, Some("a"));
    }

    #[test]
    fn where_nothing_stands_there_is_no_type() {
        for data in [
            "",
            "x",
            "{",
            "[]",
            "7",
            "\"type\"",
            "null",
            r#"{"type":null}"#,
            r#"{"type":{}}"#,
            r#"{"type":[]}"#,
            r#"{"type":18446744073709551616}"#,
            r#"{"type":1e300}"#,
            r#"{"Type":"a"}"#,
            r#"{"x":{"type":"a"}}"#,
            r#"{"type":"a"#,
            r#"{broken, "type":"a"}"#,
            "\u{feff}{}",
        ] {
            check("/type", data, None);
        }
        check("/type/x", r#"{"type":"a"}"#, None);
        check("/9", "[1]", None);
        check("/x", "[1]", None);
    }

    #[test]
    fn data_of_any_depth_or_bytes_is_survived() {
        let pointer: Pointer = "/type".parse().unwrap();
        let deep = "{\"a\":".repeat(100_000);
        assert_eq!(pointer.find(deep.as_bytes()), None);
        assert_eq!(pointer.find("[".repeat(100_000).as_bytes()), None);
        let _ = pointer.find(b"{\"a\":\"\xff\",\"type\":\"a\"}");
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for text in ["", "type", "a/b", "/a~", "/~2", "/~", "/a~~01b", "/~~10"] {
            assert_eq!(text.parse::<Pointer>(), Err(PointerError), "{text}");
        }
    }
}
