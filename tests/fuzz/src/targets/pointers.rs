//! JSON pointers: what is found in a text without building a tree is what stands in the tree; and of any bytes, what
//! serde_json finds that reads up to there.

use std::{fmt, fmt::Display};

use respool::rules::Pointer;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

/// A pointer in the first line, any bytes behind it.
pub fn run(input: &[u8]) {
    let mut parts = input.splitn(2, |&b| b == b'\n');
    let (first, data) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Ok(text) = std::str::from_utf8(first) else { return };
    let steps = steps(text);
    let pointer = text.parse::<Pointer>();
    assert_eq!(pointer.is_ok(), steps.is_some(), "{text:?}");
    let (Ok(pointer), Some(steps)) = (pointer, steps) else { return };
    let found = pointer.find(data);
    // serde_json goes no deeper than this.
    if steps.len() < 128 {
        assert_eq!(found, read(&steps, data), "{text} in {:?}", String::from_utf8_lossy(data));
    }
    if found.is_some() {
        assert_eq!(pointer.find(&[data, b" !"].concat()), found, "what follows is not looked at");
    }
    if let Ok(tree) = serde_json::from_slice::<Tree>(data) {
        assert_eq!(found, tree.at(&steps), "{text} in {:?}", String::from_utf8_lossy(data));
    }
}

/// RFC 6901, a character at a time.
fn steps(text: &str) -> Option<Vec<String>> {
    let mut steps = Vec::new();
    let mut rest = text.chars();
    if rest.next() != Some('/') {
        return None;
    }
    let mut step = String::new();
    while let Some(c) = rest.next() {
        match c {
            '/' => steps.push(std::mem::take(&mut step)),
            '~' => step.push(match rest.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            }),
            c => step.push(c),
        }
    }
    steps.push(step);
    Some(steps)
}

/// A text as a tree, in which a name may stand more than once.
enum Tree {
    Null,
    Value(String),
    /// A number that others would be taken for.
    Vague,
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl Tree {
    fn at(&self, steps: &[String]) -> Option<String> {
        match (self, steps.split_first()) {
            (Self::Value(text), None) => Some(text.clone()),
            (Self::List(items), Some((step, rest))) => items.get(step.parse::<usize>().ok()?)?.at(rest),
            (Self::Map(pairs), Some((step, rest))) => pairs.iter().find(|(name, _)| name == step)?.1.at(rest),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(Build)
    }
}

struct Build;

impl<'de> Visitor<'de> for Build {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }
    fn visit_bool<E>(self, truth: bool) -> Result<Tree, E> {
        Ok(Tree::Value(truth.to_string()))
    }
    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Value(text.to_owned()))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Tree, E> {
        Ok(Tree::Value(number.to_string()))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Tree, E> {
        Ok(Tree::Value(number.to_string()))
    }
    fn visit_f64<E>(self, number: f64) -> Result<Tree, E> {
        Ok(if number.abs() < 9_007_199_254_740_992.0 { Tree::Value(number.to_string()) } else { Tree::Vague })
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Tree::Map(pairs))
    }
}

/// What serde_json finds there, if the text is JSON as far as that.
fn read(steps: &[String], data: &[u8]) -> Option<String> {
    let mut found = None;
    // It ends in an error when it has found what it looks for, so that the rest is not read.
    let _ = Walk { steps, found: &mut found }.deserialize(&mut serde_json::Deserializer::from_slice(data));
    found
}

/// The way that is left to go.
struct Walk<'a> {
    steps: &'a [String],
    found: &'a mut Option<String>,
}

impl Walk<'_> {
    fn take<E: serde::de::Error>(self, text: impl Display) -> Result<(), E> {
        if self.steps.is_empty() {
            *self.found = Some(text.to_string());
        }
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
        if number.abs() < 9_007_199_254_740_992.0 { self.take(number) } else { Err(E::custom("vague")) }
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((step, rest)) = self.steps.split_first() else { return Err(A::Error::custom("no type")) };
        while let Some(name) = map.next_key::<String>()? {
            if name == *step {
                return map.next_value_seed(Walk { steps: rest, found: self.found });
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((step, rest)) = self.steps.split_first() else { return Err(A::Error::custom("no type")) };
        for _ in 0..step.parse::<usize>().map_err(A::Error::custom)? {
            if seq.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        seq.next_element_seed(Walk { steps: rest, found: self.found }).map(|_| ())
    }
}
