//! Logs: text on a terminal, JSON elsewhere, to standard error.
//!
//! Messages are constant and facts are fields; no field holds a header's value, a query, an id, an event or a
//! credential, at any level.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::{EnvFilter, filter::filter_fn, fmt, layer::SubscriberExt as _};

/// A level that nobody knows.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The directive cannot be read.
    #[error(
        "{origin}: `{directive}` is no level; write \"error\", \"warn\", \"info\", \"debug\" or \"trace\", or a level for each part, such as \"info,respool::pump=debug\""
    )]
    Directive {
        /// The flag or variable that it came from.
        origin: &'static str,
        /// What was written.
        directive: String,
    },
}

/// Starts logging for the whole process, panics included, at the level of `--log`, else of `RESPOOL_LOG`, else `info`. Does nothing
/// if something else logs already.
///
/// # Errors
///
/// When what was written is no level.
pub fn start(flag: Option<&str>, env: &dyn Fn(&str) -> Option<String>) -> Result<(), LogError> {
    let filter = filter(flag, env)?;
    let terminal = io::stderr().is_terminal();
    let logs = fmt().with_env_filter(filter).with_writer(io::stderr);
    // What libraries say of themselves may quote a request.
    let ours = filter_fn(|of| of.target().split("::").next() == Some("respool"));
    // A failure means that an embedding program logs already, and its way is as good.
    let _ = if terminal {
        let plain = env("NO_COLOR").is_some_and(|value| !value.is_empty());
        tracing::subscriber::set_global_default(logs.with_ansi(!plain).with_target(false).finish().with(ours))
    } else {
        tracing::subscriber::set_global_default(logs.json().flatten_event(true).finish().with(ours))
    };
    std::panic::set_hook(Box::new(|panic| {
        // Where, not what: the message of a panic may quote anything.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a task panicked: please report it");
    }));
    Ok(())
}

fn filter(flag: Option<&str>, env: &dyn Fn(&str) -> Option<String>) -> Result<EnvFilter, LogError> {
    let variable = env("RESPOOL_LOG").filter(|directive| !directive.trim().is_empty());
    let (origin, directive) = match (flag, variable) {
        (Some(flag), _) => ("--log", flag.to_owned()),
        (None, Some(variable)) => ("RESPOOL_LOG", variable),
        (None, None) => ("--log", "info".to_owned()),
    };
    // A lone word that is no level would be taken for the name of a part, and silence all others.
    let levels = directive.split(',').all(|each| each.contains(['=', ':', '[']) || is_level(each));
    match EnvFilter::try_new(&directive) {
        Ok(filter) if levels => Ok(filter),
        _ => Err(LogError::Directive { origin, directive }),
    }
}

fn is_level(word: &str) -> bool {
    let word = word.trim();
    ["off", "error", "warn", "info", "debug", "trace"].iter().any(|level| word.eq_ignore_ascii_case(level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(flag: Option<&str>, variable: Option<&str>, expected: &str) {
        let env = |_: &str| variable.map(str::to_owned);
        let had = match filter(flag, &env) {
            Ok(filter) => filter.to_string(),
            Err(LogError::Directive { origin, directive }) => format!("{origin} {directive}"),
        };
        assert_eq!(had, expected);
    }

    #[test]
    fn the_flag_beats_the_environment() {
        check(None, None, "info");
        check(None, Some(""), "info");
        check(None, Some("warn"), "warn");
        check(Some("debug"), Some("warn"), "debug");
        check(Some("respool::pump=trace"), None, "respool::pump=trace");
    }

    #[test]
    fn what_is_no_level_is_refused() {
        check(Some("loud"), None, "--log loud");
        check(None, Some("info,respool=loud"), "RESPOOL_LOG info,respool=loud");
    }
}
