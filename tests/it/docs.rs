//! What the pages in `deploy/docs` say holds: examples, names, links, numbers, and each row of their tables.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use respool::{
    config::{Config, Flags},
    metrics::Metrics,
};

use super::{command::respool, contract, deploy};

mod ends;
#[path = "../bench/limits.rs"]
mod limits;
mod memory;
mod removal;
mod shown;

use memory::OVERHEAD;
use shown::SHOWN;

const README: &str = include_str!("../../README.md");
const BENCH: &str = include_str!("../bench/main.rs");
const SHARED: &str = "[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\nadmit = 'none'\n";

/// Tables whose rows are no claims about what happens.
const OTHER_TABLES: [&str; 7] =
    ["mode", "what | bytes", "strain", "flood of HTTP/2", "part", "beside others", "load generator"];

/// The pages, by name.
fn pages() -> Vec<(String, String)> {
    let mut pages: Vec<_> = fs::read_dir(root().join("deploy/docs"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap()))
        .collect();
    pages.sort();
    assert!(pages.len() >= 7);
    pages
}

fn page(name: &str) -> String {
    pages().into_iter().find(|(page, _)| page == name).unwrap().1
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The blocks of a language in a page.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let blocks = page.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n')).collect()
}

/// A page without its blocks, as one line.
fn prose(page: &str) -> String {
    let prose: String = page.split("```").step_by(2).collect();
    prose.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What stands between backticks in a page's text.
fn quoted(page: &str) -> Vec<String> {
    prose(page).split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn resolve(name: &str, file: &str) -> Config {
    Config::resolve(&Flags::default(), &|_| None, Some((name, file)))
        .unwrap_or_else(|fault| panic!("{fault}\nin\n{file}"))
}

#[test]
fn each_example_loads_and_each_command_is_understood() {
    let (mut examples, mut commands) = (0, 0);
    for (name, page) in pages() {
        for block in blocks(&page, "toml") {
            assert!(resolve(&name, block).warnings.is_empty(), "{block}");
            examples += 1;
        }
        for line in blocks(&page, "sh").into_iter().flat_map(str::lines) {
            match line.strip_prefix("respool ") {
                // Arguments before `--help` are refused before it is heard.
                Some(arguments) => {
                    let arguments: Vec<_> = arguments.split(' ').collect();
                    let output = respool(&arguments).arg("--help").output().unwrap();
                    assert_eq!(output.status.code(), Some(0), "{line}");
                }
                None => assert!(line.starts_with("curl -sN "), "{line}"),
            }
            commands += 1;
        }
    }
    assert!(examples >= 3 && commands >= 3);
}

#[test]
fn readme_names_each_page_and_every_link_leads_somewhere() {
    for (name, _) in pages() {
        assert!(README.contains(&format!("](deploy/docs/{name})")), "{name}");
    }
    let mut files: Vec<PathBuf> =
        pages().iter().map(|(name, _)| root().join("deploy/docs").join(name)).collect();
    files.extend(["README.md", "deploy/clients.md", "deploy/servers.md"].map(|file| root().join(file)));
    let mut links = 0;
    for file in files {
        let text = prose(&fs::read_to_string(&file).unwrap());
        let targets = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
        for link in targets.filter(|link| !link.starts_with("https://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { file.clone() } else { file.parent().unwrap().join(path) };
            assert!(target.exists(), "{}: {link}", file.display());
            let there = || titles(&fs::read_to_string(&target).unwrap()).iter().any(|title| title == anchor);
            assert!(anchor.is_empty() || there(), "{}: {link}", file.display());
            links += 1;
        }
    }
    assert!(links > 20);
}

/// The titles of a page, as links name them.
fn titles(page: &str) -> Vec<String> {
    let words = |line: &str| {
        let line = line.trim_start_matches('#').trim().to_lowercase();
        let kept = line.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.collect::<String>().replace(' ', "-")
    };
    page.lines().filter(|line| line.starts_with('#')).map(words).collect()
}

#[test]
fn what_a_page_names_is_there() {
    let metrics = Metrics::new();
    let _ = metrics.route("/events");
    let served = metrics.encode();
    let mut keys: BTreeSet<String> = deploy::known("").into_iter().collect();
    keys.extend(deploy::known("[[route]]"));
    for table in ["limits", "window", "outage", "drain"] {
        keys.extend(deploy::known(&format!("[{table}]")).into_iter().map(|key| format!("{table}.{key}")));
    }
    let mut named = 0;
    for (name, page) in pages() {
        for text in quoted(&page) {
            let metric = text.split(['{', '[']).find(|part| part.contains("respool_"));
            if let Some(metric) = metric.and_then(|part| part.rsplit('(').next()) {
                assert!(served.contains(&format!("\n{metric}")), "{name}: {text}");
            } else if text.starts_with("gap_") && text != "gap_event" {
                assert!(served.contains(&format!("\"{text}\"")), "{name}: {text}");
            } else if let Some((key, _)) = text.split_once(" = ").filter(|(key, _)| !key.contains(' ')) {
                let somewhere = keys.iter().any(|known| known == key || known.ends_with(&format!(".{key}")));
                assert!(somewhere, "{name}: {text}");
            } else if ["limits.", "window.", "outage.", "drain."].iter().any(|table| text.starts_with(table))
            {
                assert!(keys.contains(&text), "{name}: {text}");
            } else {
                continue;
            }
            named += 1;
        }
    }
    assert!(named > 40, "{named}");
}

/// The first cells of the rows of a page's tables, but for those that claim nothing.
fn rows(page: &str) -> Vec<String> {
    let mut rows = Vec::new();
    for table in page.split("\n\n").filter(|part| part.starts_with('|')) {
        if OTHER_TABLES.iter().any(|head| table.starts_with(&format!("| {head} |"))) {
            continue;
        }
        rows.extend(table.lines().skip(2).map(|row| row.split(" | ").next().unwrap()[2..].trim().to_owned()));
    }
    rows
}

#[test]
fn each_row_is_shown_by_tests_that_are_there() {
    let mut all = BTreeSet::new();
    contract::tests(&root().join("tests/it"), &mut all);
    let shown = contract::rows(SHOWN);
    let mut used = BTreeSet::new();
    for (name, page) in pages() {
        for row in rows(&page) {
            let full = format!("{name} {row}");
            // The longest beginning: one may be that of another.
            let best = shown.iter().filter(|(beginning, _)| full.starts_with(beginning));
            let (beginning, tests) = best
                .max_by_key(|(beginning, _)| beginning.len())
                .unwrap_or_else(|| panic!("nothing shows {full}"));
            used.insert(*beginning);
            for test in tests {
                assert!(all.contains(*test), "no test is named {test}, which is to show {full}");
            }
        }
    }
    for (beginning, tests) in &shown {
        assert!(used.contains(beginning), "no row begins with {beginning}");
        assert!(!tests.is_empty(), "nothing shows {beginning}");
    }
}

#[test]
fn numbers_are_those_of_the_code() {
    let config =
        resolve("empty", "upstream = 'http://a'\n[[route]]\npath = '/s'\nmode = 'shared'\nkey = ['path']\n");
    let (shared, private) = (&config.routes[0], &config.routes[1]);
    let (window, minutes) = (private.window, |time: Duration| time.as_secs() / 60);
    assert_eq!((window.bytes.get(), window.age.as_secs()), (4 << 20, 300));
    let heartbeat = private.heartbeat.as_ref().unwrap().every.as_secs();
    for (name, said) in [
        (
            "modes.md",
            format!("for `linger`, {} minutes, if the client was given an id", minutes(private.linger)),
        ),
        ("modes.md", format!("for `linger`, {} minutes; with `pin = true` always", minutes(shared.linger))),
        ("memory.md", format!("`limits.memory = \"{}MiB\"`", config.limits.memory.get() >> 20)),
        ("memory.md", format!("One event may have `limits.event`, {} MiB.", config.limits.event.get() >> 20)),
        ("memory.md", format!("the least of {}, 7854 and 300 events", window.events)),
        ("answers.md", format!("when nothing came for {heartbeat} seconds")),
        ("restart.md", format!("`drain.time` ({} seconds)", config.drain_time.as_secs())),
        ("faults.md", format!("takes nothing for {} seconds", config.server().stall.as_secs())),
    ] {
        assert!(prose(&page(name)).contains(&said), "{name} does not say: {said}");
    }
    // What a client costs is what the bench holds it to.
    let limit = |row: &str| {
        let rest = BENCH.split(&format!("\"{row}\", \"KB\", Some(")).nth(1).unwrap();
        rest.split(')').next().unwrap().parse::<f64>().unwrap()
    };
    let (of_shared, of_private) =
        (limit("memory of an idle client of a shared stream"), limit("... with a stream of its own"));
    let said = format!("clients × {of_shared} KB (shared) or {of_private} KB (private)");
    assert!(page("memory.md").contains(&said), "{said}");
    assert!(
        include_str!("../../src/registry/relief.rs")
            .contains("windows gave way: the memory limit was reached")
    );
    let unit = include_str!("../../deploy/respool.service");
    let stop = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).unwrap();
    let said = format!("waits {};", stop.trim_end_matches('s')).replace(';', ".");
    assert!(prose(&page("restart.md")).contains(&said), "{said}");
    // The example.
    let of_one = 300 * (500 + 31 + 3 + 8) + OVERHEAD;
    assert_eq!((of_one / 1000, of_one * 2000 / 1_000_000), (203, 407));
    assert_eq!(window.bytes.get() / (500 + 31 + 3), 7854);
}

/// What may be, of what is measured there.
#[test]
fn the_latencies_are_rows_of_the_benchmark() {
    let page = page("hardening.md");
    for (said, row) in [
        ("| ... an event to those who read, meanwhile |", "... while 2,000 more read nothing"),
        (
            "| ... an event to those who stayed, meanwhile |",
            "... while 5,000 come back at once for 1,000 each",
        ),
    ] {
        let rest = BENCH.split(&format!("\"{row}\";")).nth(1).unwrap_or_else(|| panic!("no row {row}"));
        let limit: f64 = rest.split("Some(").nth(1).unwrap().split(')').next().unwrap().parse().unwrap();
        let line = page.lines().find(|line| line.starts_with(said)).unwrap();
        assert!(line.ends_with(&format!(" | {limit} times as long as without them |")), "{line}");
    }
}

/// Each limit of a whole run is a row of the page, and each row with a limit is one of the benchmark's.
#[test]
fn the_performance_page_has_each_limit_of_the_benchmark() {
    let page = page("performance.md");
    let table = page.split("\n\n").find(|part| part.starts_with("| what is measured | at most |")).unwrap();
    let said: Vec<String> =
        table.lines().skip(2).map(|row| row.split(" | ").take(2).collect::<Vec<_>>().join(" | ")).collect();
    let limits = limits::LIMITS.map(|(what, unit, limit)| format!("| {what} | {limit} {unit}"));
    assert_eq!(said, limits);
    let verdicts = table.lines().skip(2).map(|row| row.split(" | ").skip(2).collect::<Vec<_>>());
    for (cells, (what, unit, limit)) in verdicts.zip(limits::LIMITS) {
        let [measured, verdict] = cells[..] else { panic!("{what}: {cells:?}") };
        let figure: f64 = measured.strip_suffix(unit).unwrap().trim().parse().unwrap();
        let over = if figure > limit { "over |" } else { "|" };
        assert_eq!(verdict, over, "{what}");
    }
}

#[test]
fn the_rust_example_is_that_of_the_layer() {
    let layer = include_str!("../../src/layer.rs");
    let shown = blocks(README, "rust");
    assert_eq!(shown.len(), 1);
    for line in shown[0].lines().filter(|line| !line.is_empty()) {
        assert!(layer.contains(&format!("\n//! {line}\n")), "{line}");
    }
}
