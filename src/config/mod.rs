//! What the operator wrote, resolved: [`Config`].
//!
//! Flags beat the environment, which beats the file. A [`Fault`] says where something is wrong and what would be
//! right; the first one ends the reading.

use std::{fs, num::NonZeroUsize, time::Duration};

use http::StatusCode;

use crate::{
    admin,
    net::{Address, Upstream},
    proxy::{
        forward::{self, HostPolicy},
        stumbling::Stumbling,
    },
    route::Route,
    server,
};

mod admin_settings;
mod admission;
mod fault;
mod file;
mod gap;
mod guard;
mod heartbeat;
mod key;
mod limits;
mod path;
mod presets;
mod route;
mod rules;
mod secret;
mod sources;
mod stumbling;
mod value;
mod warning;
mod written;

pub use fault::{Fault, Place};
pub use sources::{Env, Flags};

use fault::wrong;
use sources::Sources;

/// Everything that can be set, with its default where nothing was said.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients come in; never empty.
    pub listen: Vec<Address>,
    /// The event server.
    pub upstream: Upstream,
    /// Where health and metrics are served; nowhere unless asked for.
    pub admin: Option<Address>,
    /// By which names that is asked, and what for.
    pub admin_settings: admin::Settings,
    /// How requests are passed on.
    pub forward: forward::Settings,
    /// Clients that get no frame without data.
    pub stumbling: Stumbling,
    /// What the whole program may use.
    pub limits: Limits,
    /// How long a request is held and retried while the upstream cannot be reached.
    pub outage_hold: Duration,
    /// Statuses with which the upstream says to an event stream that there is nobody: taken for no answer.
    pub outage_statuses: Vec<StatusCode>,
    /// How long the cuts of a graceful end are spread over.
    pub drain_time: Duration,
    /// Routes in the order written; the first match wins. The last one is named `default` and matches everything.
    pub routes: Vec<Route>,
    /// What is allowed and yet likely to be a mistake; to be logged at start.
    pub warnings: Vec<Fault>,
}

/// What the whole program may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes in windows, unread and partial frames together.
    pub memory: NonZeroUsize,
    /// Streams; over this a new one passes without ids.
    pub streams: NonZeroUsize,
    /// Client connections; over this none is accepted.
    pub connections: NonZeroUsize,
    /// Upstream connections that nobody listens to; the one alone longest ends first.
    pub lingering: NonZeroUsize,
    /// Clients of shared streams whom the upstream is being asked about; the others wait their turn.
    pub admissions: NonZeroUsize,
    /// Bytes of one event; a larger one breaks the upstream connection. At most any window's bytes.
    pub event: NonZeroUsize,
}

const OUTAGE_HOLD: Duration = Duration::from_secs(5);
const DRAIN_TIME: Duration = Duration::from_secs(10);
const HOSTS: &[(&str, HostPolicy)] = &[("keep", HostPolicy::Keep), ("upstream", HostPolicy::Upstream)];

impl Config {
    /// Reads the file that the flags or the environment name, if any, and resolves all three.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn load(flags: &Flags, env: &Env<'_>) -> Result<Self, Fault> {
        let Some(name) = sources::file(flags, env) else {
            return Self::resolve(flags, env, None);
        };
        let text = fs::read_to_string(&name).map_err(|error| {
            let place = Place::Whole(name.clone());
            wrong(format!("cannot be read: {error}"), "name a file of UTF-8 text that this user may read")
                .at(place)
        })?;
        Self::resolve(flags, env, Some((&name, &text)))
    }

    /// Resolves flags, environment, and a file given by its name and text. Reads nothing but the files that
    /// `pin_headers` name.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn resolve(flags: &Flags, env: &Env<'_>, file: Option<(&str, &str)>) -> Result<Self, Fault> {
        let (name, text) = file.unwrap_or_default();
        let source = file::Source { name, text };
        let file = source.parse()?;
        let sources = Sources { flags, env, source, file: &file };
        let (limits, window) = limits::resolve(source, &file)?;
        let judge = route::Judge { source, env, window, event: limits.event };
        let told = |fault| presets::told(fault, &file.route, source);
        let routes = judge.routes(&file.route).map_err(told)?;
        let listen = sources.listen()?;
        Ok(Self {
            upstream: sources.upstream()?,
            admin: sources.admin(&listen)?,
            admin_settings: admin_settings::of(&file, source)?,
            listen,
            forward: forward(source, &file)?,
            stumbling: stumbling::of(&file, source)?,
            limits,
            outage_hold: source.read(file.outage.hold.as_ref(), value::duration)?.unwrap_or(OUTAGE_HOLD),
            outage_statuses: statuses(source, &file.outage)?,
            drain_time: source.read(file.drain.time.as_ref(), value::duration)?.unwrap_or(DRAIN_TIME),
            warnings: warning::all(source, &file, &routes).into_iter().map(told).collect(),
            routes,
        })
    }

    /// What clients together, and each of them, may take.
    #[must_use]
    pub fn server(&self) -> server::Limits {
        server::Limits { connections: self.limits.connections.get(), ..server::Limits::default() }
    }
}

fn statuses(source: file::Source<'_>, outage: &file::Outage) -> Result<Vec<StatusCode>, Fault> {
    let Some(statuses) = &outage.statuses else { return Ok(Vec::new()) };
    let each = statuses.0.iter().map(|status| source.read(Some(status), value::status));
    each.filter_map(Result::transpose).collect()
}

fn forward(source: file::Source<'_>, file: &file::File) -> Result<forward::Settings, Fault> {
    let default = forward::Settings::default();
    Ok(forward::Settings {
        host: source.read(file.host.as_ref(), |text| value::choice(text, HOSTS))?.unwrap_or(default.host),
        forwarded: file.forwarded.map_or(default.forwarded, |forwarded| forwarded.0),
    })
}
