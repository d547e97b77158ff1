//! The configuration in force: when it was loaded, and what became of the last attempt to load another one.
//!
//! Whoever loads a configuration writes this down; the log, the metrics and the status page tell of it.

use std::{sync::Arc, time::SystemTime};

use tokio::sync::watch;

/// What is known of the configuration in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// When it was loaded.
    pub loaded: SystemTime,
    /// How many times one was loaded, with the one at the start.
    pub loads: u64,
    /// The last time that it was looked for another one; at first the start.
    pub last: Attempt,
    /// What was changed and waits for a restart, by its keys (`listen`, `upstream`); what is in force there is as
    /// it was at the start.
    pub waiting: Vec<&'static str>,
}

/// One time that a configuration was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// When.
    pub at: SystemTime,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a configuration that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is in force, but for what [waits](State::waiting).
    Loaded,
    /// It says what the one in force says.
    Unchanged,
    /// It is wrong, or could not be read: nothing has changed. Each fault as the operator reads it, with its place and
    /// its remedy, and maybe of several lines.
    Refused(Vec<String>),
}

/// Where the state is written down, and read by whoever shows it. Clones share it.
#[derive(Clone, Debug)]
pub struct Record(watch::Sender<Arc<State>>);

impl Record {
    /// That of a program that has loaded its first configuration.
    #[must_use]
    pub fn new(at: SystemTime) -> Self {
        let last = Attempt { at, outcome: Outcome::Loaded };
        Self(watch::Sender::new(Arc::new(State { loaded: at, loads: 1, last, waiting: Vec::new() })))
    }

    /// The state as it is now. One short lock, no waiting.
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        self.0.borrow().clone()
    }

    /// Tells of each state from the one that is now on, the newest in place of those that were not looked at.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<State>> {
        self.0.subscribe()
    }

    /// Another configuration is in force, all but what waits for a restart.
    pub fn loaded(&self, at: SystemTime, waiting: Vec<&'static str>) {
        self.note(at, Outcome::Loaded, |state| State {
            loaded: at,
            loads: state.loads + 1,
            waiting,
            ..state
        });
    }

    /// What was read says nothing new.
    pub fn unchanged(&self, at: SystemTime) {
        self.note(at, Outcome::Unchanged, |state| state);
    }

    /// What was read has these faults, and nothing has changed.
    pub fn refused(&self, at: SystemTime, faults: Vec<String>) {
        self.note(at, Outcome::Refused(faults), |state| state);
    }

    fn note(&self, at: SystemTime, outcome: Outcome, next: impl FnOnce(State) -> State) {
        self.0.send_modify(|state| {
            let next = next(State::clone(state));
            *state = Arc::new(State { last: Attempt { at, outcome }, ..next });
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn the_last_attempt_is_told_beside_what_is_in_force() {
        let record = Record::new(at(1));
        let told = record.watch();
        let seen = |loaded, loads, last, outcome: Outcome, waiting: &[&'static str]| {
            let last = Attempt { at: at(last), outcome };
            let state = State { loaded: at(loaded), loads, last, waiting: waiting.to_vec() };
            assert_eq!(*record.state(), state);
            assert_eq!(**told.borrow(), state);
        };
        seen(1, 1, 1, Outcome::Loaded, &[]);
        record.loaded(at(2), vec!["listen"]);
        seen(2, 2, 2, Outcome::Loaded, &["listen"]);
        record.refused(at(3), vec!["a.toml:1:1: wrong; right".into()]);
        seen(2, 2, 3, Outcome::Refused(vec!["a.toml:1:1: wrong; right".into()]), &["listen"]);
        record.unchanged(at(4));
        seen(2, 2, 4, Outcome::Unchanged, &["listen"]);
        record.loaded(at(5), Vec::new());
        seen(5, 3, 5, Outcome::Loaded, &[]);
    }
}
