//! What was found by fuzzing, or is worth beginning with: the corpora in `tests/fuzz`, each input once.

use std::{fs, path::Path};

use proptest::prelude::*;

#[path = "../fuzz/src/targets/mod.rs"]
mod targets;

#[test]
fn each_target_takes_its_corpus() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let mut known: Vec<_> = fs::read_dir(&corpora).unwrap().map(|dir| dir.unwrap().file_name()).collect();
    known.sort();
    assert_eq!(known, targets::ALL.map(|(name, _)| name), "a corpus for each target");
    for (name, target) in targets::ALL {
        let mut inputs: Vec<_> =
            fs::read_dir(corpora.join(name)).unwrap().map(|input| input.unwrap().path()).collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "{name} has a corpus");
        for input in inputs {
            let bytes = fs::read(&input).unwrap();
            let taken = std::panic::catch_unwind(|| target(&bytes));
            assert!(taken.is_ok(), "{name} fails on {}", input.display());
        }
    }
}

/// JSON as a writer of it would have it and as nobody should: white space, escapes, names that stand twice, depth. Half of
/// it stands before a type.
fn json() -> impl Strategy<Value = String> {
    let text = proptest::sample::select(vec![
        "",
        "a",
        "b",
        "type",
        "0",
        "1",
        "ä\u{1f600}",
        r"\u0061",
        r"\ud83d\ude00",
        r"\\",
        r#"\""#,
        r"\n",
        r"a\/b",
        "some words that are longer than sixteen bytes",
    ]);
    let string = proptest::collection::vec(text, 0..3).prop_map(|parts| format!("\"{}\"", parts.concat()));
    let other = proptest::sample::select(vec![
        "0",
        "-0",
        "7",
        "-1.5",
        "1e3",
        "1E-2",
        "18446744073709551615",
        "18446744073709551616",
        "1e300",
        "true",
        "false",
        "null",
    ]);
    let wrong = proptest::sample::select(vec![
        "01",
        "-01",
        "1.",
        "-",
        "1e+",
        "nul",
        "Null",
        r#""\x""#,
        r#""\u12g4""#,
        r#""\ud800""#,
        "\"\t\"",
        "",
        "[1,]",
        "{,}",
        "[1}",
        r#"{"a"}"#,
        r#"{"a":1,}"#,
    ]);
    let other = prop_oneof![30 => other, 1 => wrong].prop_map(str::to_owned);
    let leaf = prop_oneof![string.clone(), other];
    let space = proptest::sample::select(vec!["", "", "", " ", "\n", "\r\n\t"]);
    let name = string.clone();
    let any = leaf.prop_recursive(6, 64, 6, move |inner| {
        let value = (space.clone(), inner, space.clone()).prop_map(|(a, b, c)| a.to_owned() + &b + c);
        let pair = (space.clone(), string.clone(), space.clone(), value.clone());
        let pair = pair.prop_map(|(a, name, b, value)| format!("{a}{name}{b}:{value}"));
        let list = proptest::collection::vec(value, 0..6).prop_map(|items| format!("[{}]", items.join(",")));
        let map = proptest::collection::vec(pair, 0..6).prop_map(|pairs| format!("{{{}}}", pairs.join(",")));
        prop_oneof![list, map]
    });
    let before = |(name, json): (String, String)| format!(r#"{{{name}:{json},"type":"a"}}"#);
    prop_oneof![any.clone(), (name, any).prop_map(before)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_pointer_finds_what_a_reader_of_all_finds(
        steps in proptest::collection::vec(proptest::sample::select(vec!["a", "b", "type", "0", "1", "2", ""]), 1..4),
        json in json(),
        cut: proptest::sample::Index,
        put: proptest::sample::Index,
        byte in proptest::sample::select(b"\"\\{}[]:,0-.e \n\x00\x1f\x80\xc3\xff".to_vec()),
    ) {
        let pointers = targets::ALL.iter().find(|(name, _)| *name == "pointers").unwrap().1;
        let pointer = format!("/{}\n", steps.join("/"));
        let json = json.into_bytes();
        let put = put.index(json.len() + 1);
        let within = |json: &[u8]| {
            pointers(&[pointer.as_bytes(), json].concat());
            pointers(&[b"/type\n", json].concat());
        };
        within(&json);
        within(&json[..cut.index(json.len() + 1)]);
        within(&[&json[..put], &[byte], &json[put..]].concat());
        within(&[&json[..put], &[byte], json.get(put + 1..).unwrap_or_default()].concat());
    }
}
