//! What `README.md` says holds: its commands, files, keys, numbers and answers.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Read, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use respool::config::{Config, Flags, Severity};

use super::{
    command::{self, Running, respool},
    deploy,
};

const README: &str = include_str!("../../README.md");
const UPSTREAM: &str = "upstream = \"http://127.0.0.1:9000\"\n";

/// The blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let starts = README.split("```").skip(1).step_by(2);
    let blocks: Vec<_> =
        starts.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n')).collect();
    assert!(!blocks.is_empty(), "{language}");
    blocks
}

/// The rows of the table whose head begins like this, by cells.
pub(super) fn table(head: &str) -> Vec<Vec<&'static str>> {
    let lines = README.lines().skip_while(|line| !line.starts_with(&format!("| {head} |")));
    let rows = lines.skip(2).take_while(|line| line.starts_with('|'));
    let rows: Vec<Vec<_>> =
        rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect()).collect();
    assert!(!rows.is_empty(), "{head}");
    rows
}

/// What stands between backticks in a text.
pub(super) fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// README without its blocks.
fn prose() -> String {
    README.split("```").step_by(2).collect()
}

fn help(arguments: &[&str]) -> String {
    let output = respool(arguments).arg("--help").output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {err}");
    String::from_utf8(output.stdout).unwrap()
}

fn resolve(file: &str) -> Config {
    Config::resolve(&Flags::default(), &|_| None, Some(("README.md", file)))
        .unwrap_or_else(|fault| panic!("{fault}\nin\n{file}"))
}

#[test]
fn each_command_is_understood() {
    let mut commands = 0;
    for line in blocks("sh").into_iter().flat_map(str::lines) {
        let own = ["respool ", "cargo run --release -- "].iter().find_map(|start| line.strip_prefix(start));
        match own {
            // Arguments before `--help` are refused before it is heard.
            Some(arguments) => {
                // Where its output goes is the shell's.
                let arguments = arguments.split(" > ").next().unwrap();
                drop(help(&arguments.split(' ').collect::<Vec<_>>()));
            }
            None => assert!(
                ["tests/run", "curl -sN ", "curl -X POST "].iter().any(|known| line.starts_with(known)),
                "{line}"
            ),
        }
        commands += 1;
    }
    assert!(commands >= 8);
}

/// Those of the first five minutes are what `tests/servers/operator.mjs` does with real servers, and all of it.
#[test]
fn a_new_operator_is_told_what_was_tried() {
    let part = README.split("\n## The first five minutes\n").nth(1).unwrap();
    let told = part.split("```").nth(1).unwrap().strip_prefix("sh\n").unwrap();
    let script = include_str!("../servers/operator.mjs");
    let tried = script.lines().filter_map(|line| line.split_once(" = \"respool ")?.1.strip_suffix("\";"));
    assert_eq!(told, tried.map(|command| format!("respool {command}\n")).collect::<String>());
}

#[test]
fn flags_and_variables_are_those_of_the_help() {
    let (help, check) = (help(&[]), help(&["check"]));
    let mut had = BTreeSet::new();
    for row in table("flag") {
        let (flag, variable) = (row[0].trim_matches('`'), row[1].trim_matches('`'));
        let (name, value) = flag.split_once(' ').unwrap();
        let line = help.lines().find(|line| line.trim_start().starts_with(&format!("{name} <{value}>")));
        assert!(line.is_some_and(|line| line.contains(&format!("[env: {variable}"))), "{flag} {variable}");
        had.insert(name);
    }
    let all = help.split_whitespace().filter(|word| word.starts_with("--"));
    let all: BTreeSet<_> = all.filter(|flag| !["--help", "--version"].contains(flag)).collect();
    assert_eq!(had, all);
    // Those of a command are told where it is.
    let of_others = self::help(&["doctor"]) + &self::help(&["demo"]);
    let all: BTreeSet<_> =
        all.into_iter().chain(of_others.split_whitespace().filter(|word| word.starts_with("--"))).collect();
    for flag in quoted(&prose()).filter(|text| text.starts_with("--")) {
        let flag = flag.split(' ').next().unwrap();
        assert!(
            all.contains(flag) || check.contains(&format!("{flag} ")) || check.contains(&format!("{flag}\n")),
            "{flag}"
        );
    }
}

/// The words at the beginning of the lines of a part of a help.
fn listed<'a>(help: &'a str, part: &str) -> Vec<&'a str> {
    let lines = help.lines().skip_while(|line| *line != part).skip(1).take_while(|line| !line.is_empty());
    lines
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|word| !word.is_empty())
        .collect()
}

/// The other way round: nothing that the help has is kept back here.
#[test]
fn each_command_of_the_help_is_told_with_each_of_its_flags() {
    let general = help(&[]);
    let commands = listed(&general, "Commands:");
    assert!(commands.len() >= 6, "{commands:?}");
    let told = |word: &str| README.split(|c: char| !(c.is_alphanumeric() || c == '-')).any(|had| had == word);
    let all: BTreeSet<&str> = general.split_whitespace().filter(|word| word.starts_with("--")).collect();
    for command in commands.iter().filter(|command| **command != "help") {
        let ways = ["respool", "cargo run --release --"].map(|own| format!("{own} {command}"));
        assert!(ways.iter().any(|way| README.contains(way)), "respool {command} is not told");
        let help = help(&[command]);
        let flags =
            help.split(|c: char| !(c.is_alphanumeric() || c == '-')).filter(|word| word.starts_with("--"));
        for flag in flags.filter(|flag| flag.len() > 2 && !all.contains(flag)) {
            assert!(told(flag), "{flag} of respool {command} is not told");
        }
    }
}

/// What the doctor may find is what the table has, by its codes.
#[test]
fn each_finding_of_the_doctor_is_told_and_no_other() {
    let source = include_str!("../../src/command/doctor/finding.rs");
    let kinds = source.split(": Kind = ").skip(1).filter_map(|rest| rest.split('"').nth(1));
    let kinds: BTreeSet<&str> = kinds.collect();
    assert!(kinds.len() > 10, "{kinds:?}");
    let missing: Vec<_> = kinds.iter().filter(|kind| !README.contains(&format!("`{kind}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let rows = README.lines().skip_while(|line| !line.starts_with("| `unreachable`"));
    let rows = rows.take_while(|line| line.starts_with('|')).filter_map(|row| row.split(" | ").next());
    for code in rows.flat_map(quoted) {
        assert!(kinds.contains(code), "{code}");
    }
}

/// Each value of a closed label stands in the row of its metric.
#[test]
fn each_value_of_a_label_is_told_with_its_metric() {
    let running = command::start(&["--upstream", "http://127.0.0.1:9", "--config", "deploy/respool.toml"]);
    let text = command::get(running.admin, "/metrics");
    for row in table("metric") {
        for of in quoted(row[0]) {
            let series =
                text.lines().filter(|line| line.strip_prefix(of).is_some_and(|rest| rest.starts_with('{')));
            let labels =
                series.flat_map(|line| line.split(['{', ',', '}'])).filter_map(|pair| pair.split_once('='));
            for (name, value) in labels.filter(|(name, _)| !["route", "le", "version"].contains(name)) {
                let value = value.trim_matches('"').split('_').next().unwrap();
                assert!(row[1].contains(value), "{name} {value} of {of} is not told");
            }
        }
    }
}

#[test]
fn each_configuration_loads() {
    for block in blocks("toml") {
        assert!(resolve(block).warnings.is_empty(), "{block}");
    }
}

#[test]
fn a_fault_is_drawn_as_it_is_shown() {
    let drawn = blocks("text").into_iter().find(|block| block.contains("\n5 | ")).unwrap();
    // The one line of the file that is shown, and what stands above it.
    let line = drawn.lines().find_map(|line| line.strip_prefix("5 | ")).unwrap();
    let file = format!("{UPSTREAM}\n[[route]]\npath = \"/feed\"\n{line}\n");
    let faults = Config::resolve(&Flags::default(), &|_| None, Some(("respool.toml", &file))).unwrap_err();
    assert_eq!(faults.render(Severity::Error, false), drawn);
}

#[test]
fn presets_are_those_that_there_are_with_their_paths_and_examples() {
    let mut had = BTreeSet::new();
    for row in table("preset") {
        let name = row[0].trim_matches('`');
        let routes = resolve(&format!("{UPSTREAM}[[route]]\npreset = \"{name}\"\n")).routes;
        let paths: Vec<_> = routes.iter().map(|route| route.name.as_str()).collect();
        assert_eq!(quoted(row[1]).chain(["default"]).collect::<Vec<_>>(), paths, "{name}");
        assert_eq!(row[3], format!("`deploy/{name}.toml`"));
        had.insert(name.to_owned());
    }
    assert_eq!(had, deploy::presets().into_iter().collect());
}

/// What means nothing on a private route, and is refused there.
const SHARED_ONLY: [&str; 1] = ["route.admit_timeout"];

/// A file that says so of a key; a route's stands in a route of this kind.
fn saying(key: &str, value: &str, mode: &str) -> String {
    let Some((table, name)) = key.split_once('.') else { return format!("{UPSTREAM}{key} = {value}\n") };
    let said = format!("{name} = {value}\n");
    match (table, name) {
        ("route", "mode") => format!("{UPSTREAM}[[route]]\npath = \"/a\"\n{said}"),
        ("route", _) => format!("{UPSTREAM}[[route]]\npath = \"/a\"\nmode = \"{mode}\"\n{said}"),
        _ => format!("{UPSTREAM}[{table}]\n{said}"),
    }
}

#[test]
fn defaults_are_what_an_empty_file_resolves_to() {
    let shown = |file: &str| format!("{:?}", resolve(file));
    let route = |mode: &str| format!("{UPSTREAM}[[route]]\npath = \"/a\"\nmode = \"{mode}\"\n");
    let mut had = BTreeSet::new();
    for row in table("key") {
        let (key, value) = (row[0].trim_matches('`'), row[1].trim_matches('`'));
        had.insert(key);
        let empty = if key.starts_with("route.") { route("private") } else { UPSTREAM.to_owned() };
        if !SHARED_ONLY.contains(&key) {
            assert_eq!(shown(&saying(key, value, "private")), shown(&empty), "{key}");
        }
        let shared = match key {
            "route.mode" => continue,
            // The one default that depends on the kind.
            "route.linger" => quoted(row[2]).next().unwrap(),
            _ => value,
        };
        let empty = if key.starts_with("route.") { route("shared") } else { UPSTREAM.to_owned() };
        assert_eq!(shown(&saying(key, shared, "shared")), shown(&empty), "{key}, shared");
        // What is named as another value is one.
        for word in quoted(row[2]).filter(|word| word.starts_with('"')) {
            let mode = if word == "\"never\"" { "private" } else { "shared" };
            resolve(&saying(key, word, mode));
        }
    }
    for table in ["limits", "window", "outage", "drain"] {
        for key in deploy::known(&format!("[{table}]")) {
            assert!(had.contains(&*format!("{table}.{key}")), "{table}.{key} is not in the table");
        }
    }
    let without = [
        "path",
        "preset",
        "key",
        "admit_cache",
        "readmit",
        "pin_headers",
        "heartbeat_pad",
        "retry",
        "window",
        "keep_ids_of",
        "reset",
        "ephemeral",
        "retain",
        "hello",
        "hello_events",
        "hello_wait",
        "gap_event",
        "guard",
    ];
    for key in deploy::known("[[route]]").iter().filter(|key| !without.contains(&&***key)) {
        assert!(had.contains(&*format!("route.{key}")), "route.{key} is not in the table");
    }
    let server = resolve(UPSTREAM).server();
    assert_eq!((server.header_timeout.as_secs(), server.stall.as_secs()), (10, 30));
    let prose = prose().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        prose.contains("64 headers, and 10 s to arrive;")
            && prose.contains("may pause for 60 s before")
            && prose.contains("nothing for 30 s is cut")
    );
}

/// A word that is a key of the file and no value of a label.
fn config_key(word: &str) -> bool {
    ["upstream_resumes"].contains(&word)
}

#[test]
fn metrics_are_those_that_are_served() {
    let running = command::start(&["--upstream", "http://127.0.0.1:9"]);
    let text = command::get(running.admin, "/metrics");
    // What each family's series are called.
    let name = |line: &str| {
        let (name, kind) = line.split_once(' ').unwrap();
        format!(
            "{name}{}",
            match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            }
        )
    };
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let served: BTreeSet<String> = families.map(name).collect();
    let named = |row: Vec<&'static str>| quoted(row[0]).map(str::to_owned).collect::<Vec<_>>();
    let said: BTreeSet<_> = table("metric").into_iter().flat_map(named).collect();
    assert_eq!(said, served);
    let prose = prose();
    for name in quoted(&prose).filter(|name| name.starts_with("respool_")) {
        assert!(served.contains(name), "{name}");
    }
    // The values of closed labels are told in the row of their metric.
    for row in
        table("metric").into_iter().filter(|row| row[0].ends_with("_total`") || row[0].ends_with("seconds`"))
    {
        let of = quoted(row[0]).next().unwrap();
        let is_value = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        for value in quoted(row[1]).filter(is_value).filter(|word| !config_key(word)) {
            let series = text.lines().filter(|line| line.starts_with(of));
            assert!(
                series.into_iter().any(|line| line.contains(&format!("=\"{value}\""))),
                "{value} of {of}"
            );
        }
    }
    let is_label = |name: &&str| name.starts_with("gap_") && *name != "gap_event";
    for label in quoted(&prose).filter(is_label) {
        assert!(text.contains(&format!("\"{label}\"")), "{label}");
    }
}

#[test]
fn files_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = 0;
    let prose = prose();
    let commands = blocks("sh").into_iter().flat_map(str::split_whitespace);
    for file in quoted(&prose).chain(commands).filter_map(|text| text.split(' ').next()) {
        if ["deploy/", "tests/", "src/", "LICENSE-"].iter().any(|start| file.starts_with(start)) {
            assert!(root.join(file).exists(), "{file}");
            files += 1;
        }
    }
    assert!(files >= 5);
    // Links within the page.
    let title = |line: &str| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    let titles: Vec<_> = README.lines().filter(|line| line.starts_with('#')).map(title).collect();
    for link in prose.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        assert!(titles.iter().any(|title| title == link), "{link}");
    }
}

#[test]
fn the_admin_answers_as_it_is_said() {
    let running = command::start(&["--upstream", "http://127.0.0.1:9"]);
    for row in table("path on `--admin`") {
        let path = row[0].trim_matches('`');
        let mut socket = TcpStream::connect(running.admin).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        // No more of it: one of them never ends.
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200", "{path}");
    }
}

/// An event server of a few lines: whoever connects gets an event every few milliseconds. It sends no ids, and knows
/// none.
pub(super) fn event_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = |socket: TcpStream| {
        let mut head = BufReader::new(&socket).lines().map_while(Result::ok);
        let _ = head.find(String::is_empty);
        let say = |text: &str| (&socket).write_all(text.as_bytes());
        let mut alive = say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").is_ok();
        for n in 1.. {
            if !alive {
                break;
            }
            alive = say(&format!("data: {n}\n\n")).is_ok();
            thread::sleep(Duration::from_millis(5));
        }
    };
    thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || serve(socket));
        }
    });
    address
}

/// A client that has connected; dropping it cuts it.
struct Listener {
    lines: mpsc::Receiver<String>,
    end: End,
}

enum End {
    Curl(Child),
    Socket(TcpStream),
}

impl Drop for Listener {
    fn drop(&mut self) {
        match &mut self.end {
            End::Curl(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            End::Socket(socket) => {
                let _ = socket.shutdown(std::net::Shutdown::Both);
            }
        }
    }
}

impl Listener {
    /// The command of README, at this address and with this id, by curl where it is there, else by a socket.
    fn new(command: &str, address: SocketAddr, id: &str) -> Self {
        let command = command.replace("127.0.0.1:8080", &address.to_string());
        let own = command.split('\'').nth(1).map(|header| header.replace(said_id(), id));
        let mut words: Vec<_> = command.split_whitespace().collect();
        let url = words.pop().unwrap();
        let mut curl = Command::new("curl");
        // A configuration of the user's own, or a proxy, is not what README means.
        curl.args(["-q", "--noproxy", "*", "-sN", "-D", "-"]).stdin(Stdio::null()).stdout(Stdio::piped());
        if let Some(header) = &own {
            curl.args(["-H", header]);
        }
        let (end, from): (_, Box<dyn Read + Send>) = match curl.arg(url).spawn() {
            Ok(mut child) => {
                let out = child.stdout.take().unwrap();
                (End::Curl(child), Box::new(out))
            }
            Err(_) => {
                let mut socket = TcpStream::connect(address).unwrap();
                let header = own.map_or_else(String::new, |header| format!("{header}\r\n"));
                let path = url.split(&address.to_string()).nth(1).unwrap();
                let request =
                    format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: */*\r\n{header}\r\n");
                socket.write_all(request.as_bytes()).unwrap();
                (End::Socket(socket.try_clone().unwrap()), Box::new(socket))
            }
        };
        let (to, lines) = mpsc::channel();
        thread::spawn(move || {
            let mut from = BufReader::new(from).lines().map_while(Result::ok);
            from.try_for_each(|line| to.send(line))
        });
        Self { lines, end }
    }

    /// The next line with this before a colon: what stands behind it.
    #[track_caller]
    fn next(&self, name: &str) -> String {
        loop {
            let line =
                self.lines.recv_timeout(Duration::from_secs(10)).unwrap_or_else(|_| panic!("no {name}"));
            match line.split_once(": ") {
                Some((had, value)) if had.eq_ignore_ascii_case(name) => return value.trim_end().to_owned(),
                _ => {}
            }
        }
    }

    /// What came in the head.
    fn resume(&self) -> String {
        self.next("Respool-Resume")
    }

    /// The next event: its data, and its id.
    fn event(&self) -> (u64, String) {
        (self.next("data").parse().unwrap(), self.next("id"))
    }
}

/// The commands of the chapter, without and with an id.
fn curls() -> (&'static str, &'static str) {
    let mut curls = blocks("sh").into_iter().flat_map(str::lines).filter(|line| line.starts_with("curl "));
    (curls.next().unwrap(), curls.next().unwrap())
}

/// The id that stands for the reader's own.
fn said_id() -> &'static str {
    let (_, with) = curls();
    let id = with.split("Last-Event-ID: ").nth(1).unwrap().split('\'').next().unwrap();
    assert!(respool::id::Position::parse(id.as_bytes()).is_some(), "{id}");
    id
}

/// Asks with an id; what the answer says.
fn said(running: &Running, id: &str) -> String {
    Listener::new(curls().1, running.listen, id).resume()
}

#[test]
fn a_stream_says_what_readme_lists() {
    let path = command::file("readme", "window = { events = 40 }\n");
    let upstream = format!("http://{}", event_server());
    let running = command::start(&["--upstream", &upstream, "--config", path.to_str().unwrap()]);
    std::fs::remove_file(path).unwrap();
    let mut seen = BTreeSet::new();

    let (without, with) = curls();
    let client = Listener::new(without, running.listen, "");
    seen.insert(client.resume());
    let (first, id) = client.event();
    drop(client);
    // So that it has missed something.
    thread::sleep(Duration::from_millis(30));
    let client = Listener::new(with, running.listen, &id);
    let resume = client.resume();
    let missed: u64 = resume.strip_prefix("resumed; missed=").unwrap().parse().unwrap();
    assert!((1..=40).contains(&missed), "{resume}");
    seen.insert("resumed; missed=N".to_owned());
    for n in first + 1..first + 60 {
        let (number, last) = client.event();
        assert_eq!(number, n);
        assert_eq!(last.rsplit_once('-').unwrap().0, id.rsplit_once('-').unwrap().0);
    }
    // More than forty events later; it is still there, so that its session is.
    seen.insert(said(&running, &id));
    seen.insert(said(&running, said_id()));
    seen.insert(said(&running, &format!("{}-999999", id.rsplit_once('-').unwrap().0)));
    seen.insert(said(&running, "42"));

    let listed = table("`Respool-Resume`").into_iter().map(|row| row[0].trim_matches('`').to_owned());
    assert_eq!(seen, listed.collect());
    // The two that the text names.
    for value in quoted(&prose()).filter_map(|text| text.strip_prefix("Respool-Resume: ")) {
        assert!(seen.contains(value), "{value}");
    }
}
