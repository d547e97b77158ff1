//! The import table in `src/lib.rs` is what the sources do.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

type Table = BTreeMap<String, BTreeSet<String>>;

fn source() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))
}

/// The table as it is written.
fn written() -> Table {
    let text = fs::read_to_string(source().join("lib.rs")).unwrap();
    let lines = text.lines().skip_while(|line| !line.ends_with("//! imports")).skip(1);
    let rows = lines.take_while(|line| !line.contains("```")).filter_map(|line| line.strip_prefix("//! "));
    rows.map(|row| {
        let (module, imports) = row.split_once(':').unwrap();
        (module.to_owned(), imports.split_whitespace().map(str::to_owned).collect())
    })
    .collect()
}

/// The modules that a file names, but for its tests.
fn imports(text: &str) -> BTreeSet<String> {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let code: String =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(group) => found.extend(top_level(group).into_iter().map(|item| word(&item))),
            None => found.extend([word(rest)]),
        }
    }
    found
}

/// The items of a braced group, at its first level.
fn top_level(group: &str) -> Vec<String> {
    let (mut depth, mut items, mut item) = (0, Vec::new(), String::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(std::mem::take(&mut item).trim().to_owned());
                continue;
            }
            _ => {}
        }
        item.push(c);
    }
    items.push(item.trim().to_owned());
    items.retain(|item| !item.is_empty());
    items
}

fn files(at: &Path, into: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            into.push(path);
        }
    }
}

fn done() -> Table {
    let mut all = Vec::new();
    files(source(), &mut all);
    let mut table = Table::new();
    for path in all {
        let relative = path.strip_prefix(source()).unwrap().to_string_lossy().replace(".rs", "");
        let module = relative.split('/').next().unwrap().to_owned();
        if module != "lib" && module != "main" {
            let mut found = imports(&fs::read_to_string(&path).unwrap());
            found.remove(&module);
            table.entry(module).or_default().extend(found);
        }
    }
    table
}

#[test]
fn every_import_is_in_the_table_and_every_row_is_needed() {
    assert_eq!(done(), written());
}

#[test]
fn nothing_goes_round_in_a_circle() {
    let mut table = done();
    while !table.is_empty() {
        let free: Vec<String> = table
            .iter()
            .filter(|(_, imports)| imports.is_empty())
            .map(|(module, _)| module.clone())
            .collect();
        assert!(!free.is_empty(), "among these: {table:?}");
        for module in free {
            table.remove(&module);
            for imports in table.values_mut() {
                imports.remove(&module);
            }
        }
    }
}
