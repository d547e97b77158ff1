//! The files in `deploy/` hold: the example loads and is complete, the unit starts what exists.

use std::{process::Command, time::Duration};

use respool::config::{Config, Flags};

const EXAMPLE: &str = include_str!("../../deploy/respool.toml");
const SERVERS: &str = include_str!("../../deploy/servers.md");
const UNIT: &str = include_str!("../../deploy/respool.service");

fn load(text: &str) -> Config {
    Config::resolve(&Flags::default(), &|_| None, Some(("respool.toml", text)))
        .unwrap_or_else(|fault| panic!("{fault}"))
}

/// The example with its keys that are commented out: those without a space after the mark.
fn uncommented() -> String {
    let line = |line: &'static str| match line.strip_prefix('#') {
        Some(key) if key.starts_with(|first: char| first.is_ascii_lowercase()) => key,
        _ => line,
    };
    EXAMPLE.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The keys that a table of the file may have, as the refusal of an unknown one lists them.
pub(super) fn known(table: &str) -> Vec<String> {
    let wrong = format!("{table}\nnobody-knows-this = 1");
    let fault = Config::resolve(&Flags::default(), &|_| None, Some(("", &wrong))).unwrap_err().remedy;
    let keys: Vec<_> = fault.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(!keys.is_empty(), "{fault}");
    keys
}

#[test]
fn the_example_loads_without_a_warning() {
    assert!(load(EXAMPLE).warnings.is_empty());
    assert_eq!(load(EXAMPLE).routes.len(), 4);
}

#[test]
fn every_key_is_in_the_example() {
    let example: toml::Table = uncommented().parse().unwrap();
    for key in known("") {
        assert!(example.contains_key(&key), "{key}");
    }
    for table in ["limits", "window", "outage", "drain"] {
        for key in known(&format!("[{table}]")) {
            assert!(example[table].get(&key).is_some(), "{table}.{key}");
        }
    }
    let routes = example["route"].as_array().unwrap();
    for key in known("[[route]]") {
        assert!(routes.iter().any(|route| route.get(&key).is_some()), "route.{key}");
    }
    let guards: Vec<_> = routes.iter().filter_map(|route| route.get("guard")?.as_array()).flatten().collect();
    for key in known("[[route]]\n[[route.guard]]") {
        assert!(guards.iter().any(|guard| guard.get(&key).is_some()), "route.guard.{key}");
    }
}

#[test]
fn what_the_example_comments_out_is_the_default() {
    assert_eq!(format!("{:?}", load(&uncommented())), format!("{:?}", load(EXAMPLE)));
}

#[test]
fn the_configurations_for_servers_load_without_a_warning() {
    let examples: Vec<_> =
        SERVERS.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!examples.is_empty());
    for example in examples {
        assert!(load(example).warnings.is_empty(), "{example}");
    }
}

#[test]
fn the_unit_starts_what_exists_and_waits_for_the_drain() {
    let value = |key: &str| UNIT.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap();
    let help = Command::new(env!("CARGO_BIN_EXE_respool")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for flag in value("ExecStart").split(' ').filter(|word| word.starts_with("--")) {
        assert!(help.contains(&format!("{flag} ")), "{flag}");
    }
    let command = value("ExecStartPre").split(' ').nth(1).unwrap();
    assert!(help.contains(&format!("\n  {command} ")), "{command}");
    let stop = humantime::parse_duration(value("TimeoutStopSec")).unwrap();
    assert!(stop > load(EXAMPLE).drain_time + Duration::from_secs(5));
    assert_eq!((value("DynamicUser"), value("KillSignal")), ("yes", "SIGTERM"));
}
