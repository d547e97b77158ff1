//! What an operator may ask for by a button, where the configuration allows it.

use http::StatusCode;
use serde::Serialize;

use crate::{drain::Drain, registry::Registry};

/// Something that is done when it is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Forget what a stream retains: its clients find a gap.
    Purge,
    /// Begin the graceful end.
    Drain,
}

/// What is asked for, by the path of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    /// Of the stream with this number; of none, if that is no number.
    Purge(Option<u64>),
    Drain,
}

impl Asked {
    pub(super) fn by(path: &str) -> Option<Self> {
        match path.strip_prefix("/purge/") {
            Some(number) => Some(Self::Purge(number.parse().ok())),
            None => (path == "/drain").then_some(Self::Drain),
        }
    }

    pub(super) fn action(self) -> Action {
        match self {
            Self::Purge(_) => Action::Purge,
            Self::Drain => Action::Drain,
        }
    }

    /// Does it, and says what was done.
    pub(super) fn act(self, registry: &Registry, drain: &Drain) -> (StatusCode, &'static str) {
        match self {
            Self::Drain if drain.is_draining() => (StatusCode::OK, "draining already\n"),
            Self::Drain => {
                tracing::warn!(action = "drain", time = ?drain.time(), "an operator asked for the end");
                drain.begin();
                (StatusCode::OK, "draining\n")
            }
            Self::Purge(number) => match number.and_then(|number| registry.purge(number)) {
                Some((route, key)) => {
                    tracing::warn!(action = "purge", route, %key, stream = number, "an operator had a window forgotten");
                    (StatusCode::OK, "purged: whoever comes back for what was retained finds a gap\n")
                }
                None => (StatusCode::NOT_FOUND, "there is no stream with this number; it may have ended\n"),
            },
        }
    }
}

impl Action {
    /// As it is written.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Purge => "purge",
            Self::Drain => "drain",
        }
    }

    /// Why it is not done, and what to do about it.
    pub(super) fn refusal(self) -> String {
        let name = self.text();
        format!("{name} is not allowed: write `admin_actions = [\"{name}\"]` in the configuration\n")
    }
}
