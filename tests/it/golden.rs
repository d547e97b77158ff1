//! Golden cases: a configuration in; what it comes to, or all that is wrong with it, out.
//!
//! `RESPOOL_ACCEPT=1 cargo test --test it golden` takes what is said now for what is right; look at the difference before
//! it is committed.

use std::{fs, path::PathBuf};

use respool::{
    command::explain,
    config::{self, Config, Env, Flags, Severity},
};

fn cases() -> Vec<PathBuf> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/golden");
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    cases.sort();
    assert!(cases.len() >= 10);
    cases
}

fn env(name: &str) -> Option<String> {
    (name == "TOKEN").then(|| "resolved".to_owned())
}

const NOTHING: Flags = Flags { upstream: None, listen: Vec::new(), admin: None, config: None };

/// What is said of a file: drawn for a person, and in lines for a log; or what it comes to.
fn said(name: &str, text: &str) -> String {
    let file = Some((name, text));
    match Config::resolve_inspected(&NOTHING, &env, file) {
        Ok(config) => {
            let warnings = config.warnings.render(Severity::Warning, false);
            let effective = config::effective(&NOTHING, &env, file).unwrap();
            [warnings, effective].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
        }
        Err(faults) => format!("{}\n{faults}\n", faults.render(Severity::Error, false)),
    }
}

#[test]
fn each_file_comes_to_what_is_written_beside_it() {
    let accept = std::env::var_os("RESPOOL_ACCEPT").is_some();
    let mut wrong = Vec::new();
    for case in cases() {
        let name = case.file_name().unwrap().to_str().unwrap();
        let (beside, now) = (case.with_extension("out"), said(name, &fs::read_to_string(&case).unwrap()));
        if accept {
            fs::write(&beside, &now).unwrap();
        }
        if fs::read_to_string(&beside).unwrap_or_default() != now {
            wrong.push(format!("{name} comes to:\n{now}"));
        }
    }
    assert!(wrong.is_empty(), "{}\nIf that is right: RESPOOL_ACCEPT=1", wrong.join("\n"));
}

#[test]
fn no_case_shows_a_secret() {
    for case in cases() {
        let said = said("", &fs::read_to_string(&case).unwrap());
        for secret in ["SECRET", "42424242", "resolved"] {
            assert!(!said.contains(secret), "{}: {said}", case.display());
        }
    }
}

/// All of it but where its warnings are.
fn whole(config: &Config) -> String {
    format!("{:?}", Config { warnings: respool::config::Faults::default(), ..config.clone() })
}

#[track_caller]
fn comes_back(text: &str, flags: &Flags, env: &Env<'_>) {
    let first = Config::resolve(flags, env, Some(("r.toml", text))).unwrap();
    let effective = config::effective(flags, env, Some(("r.toml", text))).unwrap();
    // By itself: all that flags and the environment say of keys is in it.
    let bare = |name: &str| env(name).filter(|_| !name.starts_with("RESPOOL_"));
    let second = Config::resolve(&NOTHING, &bare, Some(("e.toml", &effective)))
        .unwrap_or_else(|faults| panic!("{faults}\nin\n{effective}"));
    assert!(whole(&first) == whole(&second), "{text}\ncomes to\n{effective}");
    assert_eq!(first.warnings.len(), second.warnings.len(), "{effective}");
}

#[test]
fn what_a_file_comes_to_comes_to_the_same() {
    let deploy = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");
    let deployed = fs::read_dir(deploy).unwrap().map(|entry| entry.unwrap().path());
    let files = deployed.filter(|path| path.extension().is_some_and(|end| end == "toml")).chain(cases());
    let mut right = 0;
    for text in files.map(|path| fs::read_to_string(path).unwrap()) {
        if Config::resolve(&NOTHING, &env, Some(("", &text))).is_ok() {
            comes_back(&text, &NOTHING, &env);
            right += 1;
        }
    }
    assert!(right >= 7);
}

#[test]
fn what_flags_and_the_environment_say_is_in_it() {
    let env = |name: &str| match name {
        "RESPOOL_UPSTREAM" => Some("http://env:1".to_owned()),
        "RESPOOL_LISTEN" => Some("127.0.0.1:4,unix:/run/a.sock".to_owned()),
        // A flag says otherwise, so that it does not matter.
        "RESPOOL_ADMIN" => Some("nowhere".to_owned()),
        _ => None,
    };
    let flags = Flags { admin: Some("127.0.0.1:8".into()), ..NOTHING };
    comes_back("upstream = \"http://file:1\"\n[[route]]\npath = \"/a\"\nmode = \"shared\"", &flags, &env);
    let effective = config::effective(&flags, &env, None).unwrap();
    for line in [
        "upstream = \"http://env:1\"\n",
        "listen = [\"127.0.0.1:4\", \"unix:/run/a.sock\"]\n",
        "admin = \"127.0.0.1:8\"\n",
    ] {
        assert!(effective.contains(line), "{effective}");
    }
}

/// What is asked of `routes.toml`: a method, a URL, headers.
const REQUESTS: [(&str, &str, &[&str]); 10] = [
    (
        "GET",
        "http://127.0.0.1:8080/rooms/7/events?room=SECRET&x=SECRET",
        &["X-Dir: SECRET", "Cookie: sid=SECRET; a=b"],
    ),
    ("POST", "/rooms/7/events", &["Content-Type: application/json"]),
    ("GET", "/rooms/7/events", &["Origin: http://other", "Host: here"]),
    ("GET", "/pinned", &["Accept: text/event-stream", "Cache-Control: no-cache", "Last-Event-ID: 42"]),
    ("GET", "/hidden", &["Accept: text/event-stream"]),
    ("POST", "/v1/completions", &["Authorization: Bearer SECRET", "Host: here", "X-Tenant: SECRET"]),
    ("GET", "/pinned", &["User-Agent: OpenAI/Python 1.2", "Last-Event-ID: r60b9lf41arm0pbgo2v8g0000-2"]),
    ("HEAD", "/quiet", &[]),
    ("GET", "/quiet", &[]),
    ("GET", "/x/../secret", &["Upgrade: websocket"]),
];

#[test]
fn what_becomes_of_a_request_is_explained() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/golden");
    let text = fs::read_to_string(format!("{directory}/routes.toml")).unwrap();
    let config = Config::resolve(&NOTHING, &env, Some(("routes.toml", &text))).unwrap();
    let outline = config::outline("routes.toml", &text);
    let mut now = String::new();
    for (method, url, headers) in REQUESTS {
        let headers = headers.iter().map(|header| explain::header(header).unwrap()).collect();
        let request = explain::request(explain::target(url).unwrap(), method.parse().unwrap(), headers);
        now.push_str(&explain::explain(&config, &outline, &request));
        now.push('\n');
    }
    let beside = format!("{directory}/explained.txt");
    if std::env::var_os("RESPOOL_ACCEPT").is_some() {
        fs::write(&beside, &now).unwrap();
    }
    assert_eq!(now, fs::read_to_string(&beside).unwrap_or_default(), "if that is right: RESPOOL_ACCEPT=1");
    assert!(!now.contains("SECRET") && !now.contains("resolved"), "{now}");
}
