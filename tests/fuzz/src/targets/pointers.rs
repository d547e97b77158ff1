//! JSON pointers: what is found in a text without building a tree is what stands in the tree.

use std::fmt;

use respool::rules::Pointer;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

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
