//! What a seed's world is like.

use std::time::Duration;

use rand::{RngExt as _, rngs::StdRng, seq::IndexedRandom as _};

/// Where a client asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Path {
    /// A stream of its own.
    Mine,
    /// A shared one, to which the upstream admits.
    Asked,
    /// A shared one that is open to all.
    Open,
}

impl Path {
    pub(super) const ALL: [Self; 3] = [Self::Mine, Self::Asked, Self::Open];

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Mine => "/mine",
            Self::Asked => "/asked",
            Self::Open => "/open",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) events: usize,
    pub(super) bytes: usize,
    pub(super) age: Duration,
    pub(super) memory: usize,
    pub(super) lingering: usize,
    pub(super) linger: Duration,
    heartbeat: &'static str,
    /// The event server greets each connection, with its first event.
    pub(super) greets: bool,
    /// Of so many bursts one is of large events.
    pub(super) large: u32,
    /// Of so many losses one happens.
    pub(super) peace: u32,
    pub(super) steps: usize,
}

/// More than any seed sends.
const PLENTY: usize = 64 << 20;

impl Plan {
    pub(super) fn draw(dice: &mut StdRng, steps: usize) -> Self {
        let seconds = |dice: &mut StdRng, of: &[u64]| Duration::from_secs(*of.choose(dice).unwrap());
        let scarce = dice.random_ratio(1, 4);
        Self {
            events: *[1, 4, 20, 2048, 2048].choose(dice).unwrap(),
            bytes: if scarce { 48 << 10 } else { *[48 << 10, 4 << 20].choose(dice).unwrap() },
            age: seconds(dice, &[3, 60, 300]),
            memory: if scarce { 64 << 10 } else { PLENTY },
            lingering: *[1, 3, 1000, 1000].choose(dice).unwrap(),
            linger: seconds(dice, &[2, 30, 120, 120]),
            heartbeat: ["none", "15s", "2s"].choose(dice).unwrap(),
            greets: dice.random(),
            large: *[2, 10, 10].choose(dice).unwrap(),
            peace: *[1, 5, 20].choose(dice).unwrap(),
            steps,
        }
    }

    /// Memory runs short: windows give way before their bounds say so.
    pub(super) fn is_scarce(&self) -> bool {
        self.memory < PLENTY
    }

    pub(super) fn config(&self) -> String {
        let Self { events, bytes, memory, lingering, heartbeat, .. } = self;
        let (age, linger) = (self.age.as_secs(), self.linger.as_secs());
        let route = |path: Path, more: &str| {
            let path = path.text();
            format!("[[route]]\npath = '{path}'\nlinger = '{linger}s'\nheartbeat = '{heartbeat}'\n{more}\n")
        };
        [
            format!("[limits]\nmemory = '{memory}B'\nlingering = {lingering}\nevent = '32KiB'\n"),
            format!("[window]\nevents = {events}\nbytes = '{bytes}B'\nage = '{age}s'\n"),
            route(Path::Mine, ""),
            route(Path::Asked, "mode = 'shared'\nkey = ['path']"),
            route(Path::Open, "mode = 'shared'\nkey = ['path']\nadmit = 'none'"),
        ]
        .concat()
    }
}
