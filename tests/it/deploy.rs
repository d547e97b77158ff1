//! The files in `deploy/` hold: the examples load, one of them is complete, and what the others name exists.

use std::{path::Path, process::Command, time::Duration};

use respool::{
    config::{Config, Flags},
    net::Address,
};

/// The image and the compose file.
mod image;
/// The sidecar and the patch that adds it.
mod kubernetes;
/// Alerts, dashboard, and what Prometheus scrapes.
mod monitoring;

pub(super) const EXAMPLE: &str = include_str!("../../deploy/respool.toml");
const README: &str = include_str!("../../README.md");
const SERVERS: &str = include_str!("../../deploy/servers.md");
/// An example for each preset, by its name, and the routes that it comes to, written out.
const PRESETS: [(&str, &str, &str); 4] = [
    ("mcp", include_str!("../../deploy/mcp.toml"), include_str!("presets/mcp.toml")),
    ("openai", include_str!("../../deploy/openai.toml"), include_str!("presets/openai.toml")),
    ("opencode", include_str!("../../deploy/opencode.toml"), include_str!("presets/opencode.toml")),
    ("pocketbase", include_str!("../../deploy/pocketbase.toml"), include_str!("presets/pocketbase.toml")),
];
const UNIT: &str = include_str!("../../deploy/respool.service");
const SOCKET: &str = include_str!("../../deploy/respool.socket");
/// What each client costs at most beside windows, and its upstream's side as much again.
const CONNECTION: usize = 20 * 1024;

fn load(text: &str) -> Config {
    Config::resolve(&Flags::default(), &|_| None, Some(("respool.toml", text)))
        .unwrap_or_else(|fault| panic!("{fault}"))
}

/// A file of `deploy/`.
fn text(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file);
    std::fs::read_to_string(path).unwrap_or_else(|fault| panic!("{file}: {fault}"))
}

fn help() -> String {
    let help = Command::new(env!("CARGO_BIN_EXE_respool")).arg("--help").output().unwrap();
    String::from_utf8(help.stdout).unwrap()
}

/// A configuration whose upstream the environment says, where the file does not.
fn load_with(file: &str, upstream: Option<&str>) -> Config {
    let env = |name: &str| upstream.filter(|_| name == "RESPOOL_UPSTREAM").map(str::to_owned);
    let config = Config::resolve(&Flags::default(), &env, Some(("respool.toml", file)))
        .unwrap_or_else(|fault| panic!("{fault}\nin\n{file}"));
    assert!(config.warnings.is_empty(), "{file}");
    config
}

/// The TCP port of an address.
fn port(address: &Address) -> u16 {
    match address {
        Address::Tcp(address) => address.port(),
        other => panic!("{other}"),
    }
}

/// What it may need: its windows, its clients, and both sides of each.
fn needs(config: &Config) -> usize {
    config.limits.memory.get() + 2 * CONNECTION * config.limits.connections.get()
}

/// So many bytes, as `256Mi`, `256m` or `256M` (all of 1024) say.
fn bytes(size: &str) -> usize {
    let number: usize = size.trim_end_matches(|letter: char| letter.is_alphabetic()).parse().unwrap();
    match size.trim_start_matches(|digit: char| digit.is_ascii_digit()) {
        "Mi" | "m" | "M" => number << 20,
        unit => panic!("{unit}"),
    }
}

#[track_caller]
fn is_enough(limit: &str, config: &Config) {
    assert!(bytes(limit) > needs(config), "{limit}, for {} bytes", needs(config));
    assert!(bytes(limit) < 2 * needs(config), "{limit} is more than twice what it needs");
}

/// An example with its keys that are commented out: those without a space after the mark.
pub(super) fn uncommented(example: &'static str) -> String {
    let line = |line: &'static str| match line.strip_prefix('#') {
        Some(key) if key.starts_with(|first: char| first.is_ascii_lowercase()) => key,
        _ => line,
    };
    example.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// What would be right where a file has what nobody knows.
fn remedy(wrong: &str) -> String {
    let faults = Config::resolve(&Flags::default(), &|_| None, Some(("", wrong))).unwrap_err();
    let fault = faults.iter().find(|fault| fault.message.contains("`nobody-knows-this`"));
    fault.unwrap().remedy.clone()
}

/// The keys that a table of the file may have, as the refusal of an unknown one lists them.
pub(super) fn known(table: &str) -> Vec<String> {
    let wrong = format!("{table}\nnobody-knows-this = 1");
    let fault = remedy(&wrong);
    let keys: Vec<_> = fault.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(!keys.is_empty(), "{fault}");
    keys
}

#[test]
fn the_example_loads_without_a_warning() {
    assert!(load(EXAMPLE).warnings.is_empty());
    assert_eq!(load(EXAMPLE).routes.len(), 5);
}

#[test]
fn every_key_is_in_the_example() {
    let example: toml::Table = uncommented(EXAMPLE).parse().unwrap();
    for key in known("") {
        assert!(example.contains_key(&key), "{key}");
    }
    for table in ["tls", "upstream_tls", "limits", "window", "outage", "drain"] {
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
    assert_eq!(format!("{:?}", load(&uncommented(EXAMPLE))), format!("{:?}", load(EXAMPLE)));
}

/// The presets that there are, as the refusal of an unknown one lists them.
pub(super) fn presets() -> Vec<String> {
    let wrong = "[[route]]\npreset = \"nobody-knows-this\"";
    let fault = remedy(wrong);
    let names: Vec<_> = fault.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(!names.is_empty(), "{fault}");
    names
}

#[test]
fn each_preset_has_an_example_that_comes_to_what_is_written_out() {
    assert_eq!(PRESETS.map(|(name, ..)| name.to_owned()).as_slice(), presets());
    for (name, example, written_out) in PRESETS {
        let (short, long) = (load(example), load(written_out));
        assert!(short.warnings.is_empty(), "{name}");
        assert!(example.contains(&format!("\npreset = \"{name}\"\n")) && !written_out.contains("preset"));
        let names =
            |config: &Config| config.routes.iter().map(|route| route.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&short), names(&long), "{name}");
        for (short, long) in short.routes.iter().zip(&long.routes) {
            assert_eq!(format!("{short:?}"), format!("{long:?}"), "{name}");
        }
    }
}

#[test]
fn what_a_presets_example_comments_out_is_right_too() {
    for (_, example, _) in PRESETS {
        load(&uncommented(example));
    }
    let (_, opencode, _) = PRESETS[2];
    let comments = opencode.lines().filter_map(|line| line.strip_prefix('#')).map(str::trim);
    let routes: Vec<_> =
        comments.skip_while(|line| *line != "[[route]]").take_while(|line| !line.ends_with('.')).collect();
    let text = format!("upstream = \"http://127.0.0.1:4096\"\n{}", routes.join("\n"));
    let env = |name: &str| (name == "OPENCODE_AUTHORIZATION").then(|| "Basic b3Blbjpjb2Rl".to_owned());
    let config = Config::resolve(&Flags::default(), &env, Some(("opencode.toml", &text))).unwrap();
    let names: Vec<_> = config.routes.iter().map(|route| route.name.as_str()).collect();
    assert_eq!(names, ["/global/event", "/event", "default"]);
    assert!(config.routes[0].pin.as_ref().unwrap().headers.contains_key("authorization"));
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
    let help = help();
    for flag in value("ExecStart").split(' ').filter(|word| word.starts_with("--")) {
        assert!(help.contains(&format!("{flag} ")), "{flag}");
    }
    for key in ["ExecStartPre", "ExecReload"] {
        let command = value(key).split(' ').nth(1).unwrap();
        assert!(help.contains(&format!("\n  {command} ")), "{command}");
    }
    assert!(UNIT.contains("\nExecReload=/bin/kill -HUP $MAINPID\n"));
    let stop = humantime::parse_duration(value("TimeoutStopSec")).unwrap();
    assert!(stop > load(EXAMPLE).drain_time + Duration::from_secs(5));
    assert_eq!((value("DynamicUser"), value("KillSignal")), ("yes", "SIGTERM"));
    is_enough(value("MemoryMax"), &load("upstream = \"http://127.0.0.1:9000\""));
}

/// What a line of a file says behind this word.
#[track_caller]
fn behind<'a>(text: &'a str, word: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(word)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{word}")).trim_end_matches(';')
}

#[test]
fn what_stands_in_front_asks_the_default_address_and_outlasts_heartbeats() {
    let config = load("upstream = \"http://127.0.0.1:9000\"");
    let listens = config.listen[0].to_string();
    let (nginx, caddy, haproxy) =
        (text("fronts/nginx.conf"), text("fronts/Caddyfile"), text("fronts/haproxy.cfg"));
    assert_eq!(behind(&nginx, "server"), listens);
    assert_eq!(behind(&caddy, "reverse_proxy"), format!("{listens} {{"));
    assert_eq!(behind(&haproxy, "server respool"), listens);
    let heartbeat = Duration::from_secs(15);
    assert!(README.contains("A comment line every 15 seconds"));
    let waits = [
        (&nginx, "proxy_read_timeout"),
        (&haproxy, "timeout client"),
        (&haproxy, "timeout server"),
        (&haproxy, "timeout tunnel"),
    ];
    for (file, wait) in waits {
        assert!(humantime::parse_duration(behind(file, wait)).unwrap() >= 4 * heartbeat, "{wait}");
    }
}

/// The files of a directory and those below it, by their path from `deploy/`.
fn files(directory: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
            found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
        }
    }
}

#[test]
fn each_file_is_named_on_a_page_about_them() {
    let mut found = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy"), &mut found);
    let page = text("README.md");
    for file in found.iter().filter(|file| *file != "README.md") {
        let named = page.contains(&format!("]({file})")) || README.contains(&format!("](deploy/{file})"));
        assert!(named, "{file} is on neither README");
    }
    let linked = README.split("](deploy/").skip(1).map(|rest| rest.split([')', '#']).next().unwrap());
    for link in page.split("](").skip(1).map(|rest| rest.split([')', '#']).next().unwrap()).chain(linked) {
        let there = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(link).exists();
        assert!(there || link.is_empty(), "{link}");
    }
}

#[test]
fn the_socket_unit_listens_for_the_service_where_respool_looks() {
    let value = |key: &str| SOCKET.lines().find_map(|line| line.strip_prefix(&format!("{key}=")));
    assert_eq!((value("Service"), value("Accept")), (None, None), "by its name, and one service for all");
    value("ListenStream").unwrap().parse::<std::net::SocketAddr>().unwrap();
    let listen = SOCKET.split('`').find(|text| text.starts_with("listen = ")).unwrap();
    let config = load(&format!("upstream = \"http://127.0.0.1:9000\"\n{listen}"));
    assert_eq!(config.listen, ["systemd".parse().unwrap()]);
    assert!(UNIT.contains("\nType=notify\n"), "who waits for it waits until it listens");
}
