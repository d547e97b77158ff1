//! A proposal as a configuration file with its reasons, or as an object.

use std::{
    fmt::Write as _,
    io::{self, Write},
    time::Duration,
};

use serde::Serialize;

use super::{
    super::{
        finding::{count, seconds},
        target::Target,
    },
    propose::Proposed,
};
use crate::plain;

/// How wide a comment is.
const WIDTH: usize = 110;
/// What makes a path a glob.
const SPECIAL: [char; 7] = ['*', '?', '[', ']', '{', '}', '\\'];

/// A key of the route.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Entry {
    pub(super) key: &'static str,
    /// As it is written in the file.
    pub(super) value: String,
    pub(super) why: String,
    /// It is set, and not only named as something to think about.
    pub(super) set: bool,
}

impl Entry {
    /// What is set.
    pub(super) fn new(key: &'static str, value: String, why: impl Into<String>) -> Self {
        Self { key, value, why: why.into(), set: true }
    }

    /// What may be set, by who knows more: it is written as a comment.
    pub(super) fn idea(key: &'static str, value: String, why: impl Into<String>) -> Self {
        Self { set: false, ..Self::new(key, value, why) }
    }
}

/// A proposal, as `--json` shows it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Proposal {
    url: String,
    milliseconds: u64,
    connections: usize,
    events: usize,
    preset: Option<&'static str>,
    route: Vec<Entry>,
    untold: Vec<String>,
    /// The configuration file.
    pub(super) config: String,
}

impl Proposal {
    pub(super) fn new(target: &Target, length: Duration, proposed: Proposed) -> Self {
        let config = config(target, length, &proposed);
        let Proposed { entries, untold, preset, events, connections } = proposed;
        let milliseconds = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        Self {
            url: target.to_string(),
            milliseconds,
            connections,
            events,
            preset,
            route: entries,
            untold,
            config,
        }
    }

    pub(super) fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{}", plain::json(&serde_json::to_string_pretty(self)?))?;
        out.flush()
    }
}

/// The file, with the reasons.
fn config(target: &Target, length: Duration, proposed: &Proposed) -> String {
    let mut text = String::new();
    let Proposed { events, connections, .. } = proposed;
    comment(
        &mut text,
        &format!(
            "respool: proposed by `respool doctor --suggest {target}`, which watched for {} through {} and saw {}. Look it over: \
         it knows no more than what happened meanwhile.",
            seconds(length),
            count(*connections as u64, "connection"),
            count(*events as u64, "event"),
        ),
    );
    if let Some(preset) = proposed.preset {
        text.push_str("#\n");
        comment(
            &mut text,
            &format!(
                "It greets like a server that respool has a preset for, which says more than could be seen: a route of \
             `preset = \"{preset}\"` alone."
            ),
        );
    }
    if !proposed.untold.is_empty() {
        text.push_str("#\n# What could not be told:\n");
        proposed.untold.iter().for_each(|untold| comment(&mut text, &format!("- {untold}")));
    }
    text.push_str("\n# The event server. Clients come to 127.0.0.1:8080, unless `listen` says otherwise.\n");
    let _ = write!(text, "upstream = {}\n\n[[route]]\n", quoted(&target.upstream.to_string()));
    let _ = writeln!(text, "path = {}", quoted(&literal(target.path.path())));
    for Entry { key, value, why, set } in &proposed.entries {
        comment(&mut text, why);
        let _ = writeln!(text, "{}{key} = {value}", if *set { "" } else { "#" });
    }
    text
}

/// A text as the glob that it alone matches.
fn literal(text: &str) -> String {
    let escaped = |c| if SPECIAL.contains(&c) { vec!['\\', c] } else { vec![c] };
    text.chars().flat_map(escaped).collect()
}

/// Lines of a comment, broken between words; those of an item stand below its text.
fn comment(text: &mut String, said: &str) {
    let indent = if said.starts_with("- ") { "#  " } else { "#" };
    let mut line = String::from("#");
    for word in said.split_whitespace().map(plain::line) {
        if line.chars().count() + 1 + word.chars().count() > WIDTH && line.len() > 1 {
            text.push_str(&line);
            text.push('\n');
            line = String::from(indent);
        }
        line.push(' ');
        line.push_str(&word);
    }
    text.push_str(&line);
    text.push('\n');
}

/// A text as TOML has it. JSON's escapes are TOML's.
pub(super) fn quoted(text: &str) -> String {
    plain::json(&serde_json::Value::from(text).to_string()).into_owned()
}

/// A list of types as TOML has it: globs, each of which it alone matches.
pub(super) fn list<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<_> = texts.into_iter().map(|text| quoted(&literal(text.as_ref()))).collect();
    format!("[{}]", texts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Flags};

    #[track_caller]
    fn load(text: &str) -> Config {
        let config = Config::resolve(&Flags::default(), &|_| None, Some(("proposed.toml", text)));
        config.unwrap_or_else(|fault| panic!("{fault:?}\n{text}"))
    }

    #[test]
    fn the_file_is_one_that_loads_whatever_types_and_paths_are_called() {
        let odd = "a \"b\" \\ \u{1} é#";
        let entries = vec![
            Entry::new("mode", quoted("shared"), "why\nnot"),
            Entry::new("hello", list([odd, "x"]), "# odd"),
            Entry::idea("key", list(["path"]), ""),
        ];
        let proposed = Proposed {
            entries,
            untold: vec!["this\nand that".into()],
            preset: Some("mcp"),
            ..Proposed::default()
        };
        for url in ["http://127.0.0.1:9000/a{b}/c*?x=1", "unix:/run/a.sock:/events", "http://[::1]:80/"] {
            let target: Target = url.parse().unwrap();
            let config = load(&config(&target, Duration::from_secs(3), &proposed));
            assert_eq!((config.routes.len(), config.upstream), (2, target.upstream));
            assert!(config.routes[0].path.as_ref().unwrap().is_match(target.path.path()), "{url}");
        }
    }

    #[test]
    fn comments_are_broken_between_words() {
        let mut text = String::new();
        comment(&mut text, &"word ".repeat(60));
        assert!(text.lines().all(|line| line.starts_with("# word") && line.len() <= WIDTH), "{text}");
        assert_eq!(text.lines().count(), 3);
    }
}
