//! What the operator wrote, resolved: [`Config`].
//!
//! Flags beat the environment, which beats the file. A [`Fault`] says where something is wrong and what would be
//! right. It does not end the reading: all that can be told at once is. What keys say to each other is judged where each
//! of them is right by itself, so that no fault is only another one's shadow.

use std::{fs, num::NonZeroUsize, sync::Arc, time::Duration};

use http::StatusCode;

use crate::{
    admin,
    net::{
        Address, Dial, Dialer, Upstream,
        tls::{Certificates, Files, TlsFault, UpstreamFiles, UpstreamTls},
    },
    proxy::{
        forward::{self, HostPolicy},
        stumbling::Stumbling,
    },
    route::Route,
    server,
};

mod admin_settings;
mod admission;
mod change;
mod effective;
mod fault;
mod faults;
mod file;
mod gap;
mod guard;
mod heartbeat;
mod hidden;
mod key;
mod limits;
mod outline;
mod path;
mod presets;
mod route;
mod rules;
mod schema;
mod secret;
mod shape;
mod source;
mod sources;
mod stumbling;
mod tls;
mod value;
mod warning;
mod written;

pub use effective::effective;
pub use fault::{Fault, Place};
pub use faults::{Faults, Severity};
pub use outline::{Outline, outline};
pub use schema::schema;
pub use sources::{Env, Flags};

use fault::wrong;
use source::{Found, Source};
use sources::Sources;

/// Everything that can be set, with its default where nothing was said.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// Where clients come in; never empty.
    pub listen: Vec<Address>,
    /// The event server.
    pub upstream: Upstream,
    /// What clients are shown where TLS is spoken with them.
    pub tls: Option<Files>,
    /// How the upstream is recognised where TLS is spoken with it.
    pub upstream_tls: UpstreamFiles,
    /// Whether the upstream is spoken HTTP/2 with without being asked.
    pub upstream_http2: bool,
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
    /// How often the file is looked at, to load it again when it has changed; never unless asked for.
    pub reload: Option<Duration>,
    /// Routes in the order written; the first match wins. The last one is named `default` and matches everything.
    pub routes: Vec<Route>,
    /// What is allowed and yet likely to be a mistake; to be logged at start.
    pub warnings: Faults,
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
    /// All that is wrong.
    pub fn load(flags: &Flags, env: &Env<'_>) -> Result<Self, Faults> {
        let file = read(flags, env)?;
        Self::resolve(flags, env, file.as_ref().map(|(name, text)| (name.as_str(), text.as_str())))
    }

    /// The same, with the files of TLS inspected that it names.
    ///
    /// # Errors
    ///
    /// All that is wrong, with those files if with nothing else.
    pub fn load_inspected(flags: &Flags, env: &Env<'_>) -> Result<Self, Faults> {
        let file = read(flags, env)?;
        let file = file.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
        Self::resolve_inspected(flags, env, file)
    }

    /// As [`resolve`](Self::resolve), with the files of TLS inspected that it names.
    ///
    /// # Errors
    ///
    /// All that is wrong, with those files if with nothing else.
    pub fn resolve_inspected(
        flags: &Flags,
        env: &Env<'_>,
        file: Option<(&str, &str)>,
    ) -> Result<Self, Faults> {
        let config = Self::resolve(flags, env, file)?;
        config.inspect(file)?;
        Ok(config)
    }

    /// Resolves flags, environment, and a file given by its name and text. Reads nothing but the files that
    /// `pin_headers` name.
    ///
    /// # Errors
    ///
    /// All that is wrong, in the order of the file.
    pub fn resolve(flags: &Flags, env: &Env<'_>, file: Option<(&str, &str)>) -> Result<Self, Faults> {
        let (name, text) = file.unwrap_or_default();
        let found = Found::default();
        let source = Source { name, text, found: &found };
        let file = shape::read(source);
        let config = file.as_ref().and_then(|file| judged(Sources { flags, env, source, file }));
        let told = |fault| match &file {
            Some(file) => presets::told(fault, &file.route, source),
            None => fault,
        };
        let told = |faults: Vec<Fault>| faults.into_iter().map(told).collect();
        match config.filter(|_| found.count() == 0) {
            Some((config, warnings)) => Ok(Self { warnings: Faults::new(told(warnings), text), ..config }),
            None => Err(Faults::new(told(found.faults()), text)),
        }
    }

    /// What clients together, and each of them, may take.
    #[must_use]
    pub fn server(&self) -> server::Limits {
        server::Limits { connections: self.limits.connections.get(), ..server::Limits::default() }
    }
}

impl Config {
    /// What clients are shown, read from its files, where TLS is spoken with them.
    ///
    /// # Errors
    ///
    /// What is wrong with a file.
    pub fn certificates(&self) -> Result<Option<Certificates>, TlsFault> {
        self.tls.clone().filter(|_| self.speaks_tls()).map(Certificates::load).transpose()
    }

    /// How the upstream is recognised, by what is in its files, where TLS is spoken with it.
    ///
    /// # Errors
    ///
    /// What is wrong with a file.
    pub fn upstream_certificates(&self) -> Result<Option<UpstreamTls>, TlsFault> {
        match &self.upstream {
            Upstream::Https(_) => UpstreamTls::load(&self.upstream_tls).map(Some),
            Upstream::Http(_) | Upstream::Unix(_) => Ok(None),
        }
    }

    /// What connects to the upstream, and recognises it by this.
    #[must_use]
    pub fn dialer(&self, tls: Option<UpstreamTls>) -> Arc<dyn Dial> {
        Arc::new(Dialer { upstream: self.upstream.clone(), tls, http2: self.upstream_http2 })
    }

    /// Whether TLS is spoken with anybody who comes in.
    fn speaks_tls(&self) -> bool {
        self.listen.iter().chain(&self.admin).any(Address::speaks_tls)
    }

    /// Reads the files of TLS that are in use, and that this file, of which the configuration is, names. What is wrong with
    /// one is said at the key that names it.
    fn inspect(&self, file: Option<(&str, &str)>) -> Result<(), Faults> {
        let Some((name, text)) = file else { return Ok(()) };
        let found = Found::default();
        let source = Source { name, text, found: &found };
        if let Some(file) = shape::read(source) {
            tls::files(source, &file, self);
        }
        match found.count() {
            0 => Ok(()),
            _ => Err(Faults::new(found.faults(), text)),
        }
    }
}

/// The name and the text of the file that the flags or the environment name, if any.
///
/// # Errors
///
/// When it cannot be read.
pub fn read(flags: &Flags, env: &Env<'_>) -> Result<Option<(String, String)>, Faults> {
    let Some(name) = sources::file(flags, env) else { return Ok(None) };
    match fs::read_to_string(&name) {
        Ok(text) => Ok(Some((name, text))),
        Err(error) => {
            let remedy = "name a file of UTF-8 text that this user may read";
            let wrong = wrong(format!("cannot be read: {error}"), remedy);
            Err(Faults::new(vec![wrong.at(Place::Whole(name))], ""))
        }
    }
}

/// What is written, as far as it means something, and what is likely to be a mistake.
fn judged(sources: Sources<'_>) -> Option<(Config, Vec<Fault>)> {
    let Sources { source, env, file, .. } = sources;
    let (limits, window) = limits::resolve(source, file);
    let event = limits::known_event(source, file, &limits);
    let routes = route::Judge { source, env, window, event }.routes(&file.route);
    let listen = sources.listen();
    let (upstream, admin) = (sources.upstream(), sources.admin(&listen));
    let upstream_http2 = tls::http2(source, file, upstream.as_ref());
    let (outage_hold, outage_statuses) = outage(source, &file.outage);
    let config = Config {
        tls: tls::front(source, file, &listen),
        upstream_tls: tls::upstream(source, file),
        upstream_http2,
        admin,
        admin_settings: admin_settings::of(file, source),
        listen,
        forward: forward(source, file),
        stumbling: stumbling::of(file, source),
        limits,
        outage_hold,
        outage_statuses,
        drain_time: source.read(file.drain.time.as_ref(), value::duration).unwrap_or(DRAIN_TIME),
        reload: source.read(file.reload.as_ref(), value::look),
        warnings: Faults::default(),
        upstream: upstream?,
        routes,
    };
    let warnings = match source.found.count() {
        0 => warning::all(source, file, &config.routes),
        _ => Vec::new(),
    };
    Some((config, warnings))
}

/// For how long nobody is given up, and who counts as nobody.
fn outage(source: Source<'_>, written: &file::Outage) -> (Duration, Vec<StatusCode>) {
    let hold = source.read(written.hold.as_ref(), value::duration).unwrap_or(OUTAGE_HOLD);
    let Some(statuses) = &written.statuses else { return (hold, Vec::new()) };
    let each = statuses.get_ref().0.iter().map(|status| source.read(Some(status), value::status));
    (hold, each.flatten().collect())
}

fn forward(source: Source<'_>, file: &file::File) -> forward::Settings {
    let default = forward::Settings::default();
    forward::Settings {
        host: source.read(file.host.as_ref(), |text| value::choice(text, HOSTS)).unwrap_or(default.host),
        forwarded: file.forwarded.map_or(default.forwarded, |forwarded| forwarded.0),
    }
}
