//! A JSON pointer (RFC 6901) that is followed without building a tree.

use std::{fmt, str::FromStr};

use serde::de::{Deserializer as _, Visitor};

use super::json::Place;

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
    /// else (a number that others would be taken for is), or where the data up to there is no JSON; but of strings that
    /// are passed over, it is not looked at whether they are UTF-8 and which surrogates their escapes name.
    #[must_use]
    pub fn find(&self, data: &[u8]) -> Option<String> {
        let place = self.steps.iter().try_fold(Place::start(data), |place, step| child(place, step))?;
        // Text and numbers are for serde_json to read.
        serde_json::Deserializer::from_slice(place.rest()).deserialize_any(Scalar).ok()
    }
}

/// Before the value that has this name, or this number, in the one at `place`.
fn child<'a>(place: Place<'a>, step: &str) -> Option<Place<'a>> {
    match place.token()? {
        (b'{', place) => member(place, step),
        (b'[', place) => element(place, step.parse().ok()?),
        _ => None,
    }
}

fn member<'a>(mut place: Place<'a>, step: &str) -> Option<Place<'a>> {
    loop {
        let start = place.behind(b'"')?;
        let end = start.string()?;
        let value = end.behind(b':')?;
        if is(start.until(end), step)? {
            return Some(value);
        }
        place = value.value()?.behind(b',')?;
    }
}

fn element(place: Place<'_>, index: usize) -> Option<Place<'_>> {
    (0..index).try_fold(place, |place, _| place.value()?.behind(b','))
}

/// Whether a name, its closing quote included, is this one; `None` where it is no text.
fn is(quoted: &[u8], step: &str) -> Option<bool> {
    let (_, name) = quoted.split_last()?;
    if name.contains(&b'\\') {
        let name: String = serde_json::from_slice(&[b"\"", quoted].concat()).ok()?;
        return Some(name == step);
    }
    Some(str::from_utf8(name).ok()? == step)
}

/// Below it every whole number has a floating point number of its own.
const EXACT: f64 = (1_u64 << 53) as f64;

/// The text of what is no list, no object, and not null.
struct Scalar;

impl Visitor<'_> for Scalar {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a number or a truth value")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }
    fn visit_bool<E: serde::de::Error>(self, truth: bool) -> Result<String, E> {
        Ok(truth.to_string())
    }
    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }
    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }
    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<String, E> {
        // A whole number comes so when it is too large to be told from its neighbours.
        if number.abs() < EXACT { Ok(number.to_string()) } else { Err(E::custom("no number of ours")) }
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
    }

    #[test]
    fn names_and_what_is_found_are_text_and_of_the_rest_it_is_not_asked() {
        let pointer: Pointer = "/type".parse().unwrap();
        assert_eq!(pointer.find(b"{\"\xff\":1,\"type\":\"a\"}"), None);
        assert_eq!(pointer.find(b"{\"type\":\"\xff\"}"), None);
        assert_eq!(pointer.find(b"{\"a\":[\"\xff\",{\"\xff\":1}],\"type\":\"a\"}").as_deref(), Some("a"));
        check("/type", r#"{"\ud800":1,"type":"a"}"#, None);
        check("/type", r#"{"x":"\ud800","type":"a"}"#, Some("a"));
        check("/type", r#"{"t\u0079pe":"a"}"#, Some("a"));
        check("/a\\n", r#"{"a\n":1,"a\\n":2}"#, Some("2"));
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for text in ["", "type", "a/b", "/a~", "/~2", "/~", "/a~~01b", "/~~10"] {
            assert_eq!(text.parse::<Pointer>(), Err(PointerError), "{text}");
        }
    }
}
