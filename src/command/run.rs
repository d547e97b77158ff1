//! `respool run`: listens, serves, and ends gracefully.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sd_notify::NotifyState;

use super::renewal;
use crate::{
    admin::{self, Admin},
    app::App,
    config::Config,
    drain::{self, Drain, Signals},
    net::{
        Address, Listener, Sockets, descriptors,
        tls::{Certificates, UpstreamTls},
    },
    server::{Limits, Server},
};

use super::reload::{self, Reloader, Sources};

/// How many may ask about the program at a time: a few probes and scrapers, nobody's load.
const ADMIN_CONNECTIONS: usize = 64;

/// What is in files of TLS, as far as TLS is spoken.
#[derive(Debug)]
pub struct Secrets {
    /// What clients are shown.
    pub front: Option<Certificates>,
    /// How the upstream is recognised, and what it is shown.
    pub upstream: Option<UpstreamTls>,
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {fault}; {}", remedy(fault))]
    Listen {
        /// Which.
        address: Address,
        /// Why not.
        fault: io::Error,
    },
    /// What the service manager handed to us is not what it should be.
    #[error("what the service manager handed to us cannot be listened on")]
    Handed(#[source] io::Error),
    /// The process cannot be told to end.
    #[error("cannot wait for SIGTERM, SIGINT and SIGHUP")]
    Signals(#[source] io::Error),
}

fn remedy(fault: &io::Error) -> &'static str {
    match fault.kind() {
        io::ErrorKind::AddrInUse => "stop what listens there, or choose another with --listen or --admin",
        io::ErrorKind::AddrNotAvailable => "choose an address of this machine, or 0.0.0.0 for all of them",
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need CAP_NET_BIND_SERVICE, a unix socket a directory that this user may write to"
        }
        io::ErrorKind::NotConnected => {
            "start it by systemd, with a socket unit such as respool.socket (and FileDescriptorName= where a name is given)"
        }
        io::ErrorKind::NotFound => "the directory of a unix socket must be there",
        _ => "choose another with --listen or --admin",
    }
}

/// Serves clients and, where it is asked for, the admin's listener, until SIGTERM or SIGINT; then drains, and ends
/// at once on a second signal. On SIGHUP, or where it is asked for when its file changes, the configuration is read again
/// from its sources.
///
/// # Errors
///
/// When an address cannot be listened on; nobody was served then.
pub async fn run(config: &Config, sources: Sources, app: App, secrets: Secrets) -> Result<(), RunError> {
    // First: a signal that comes while we start must find somebody who hears it.
    let signals = drain::signals().map_err(RunError::Signals)?;
    let hangups = reload::signals().map_err(RunError::Signals)?;
    let mut sockets = Sockets::from_env().map_err(RunError::Handed)?;
    let mut listeners = Vec::new();
    let Secrets { front, upstream } = secrets;
    for address in &config.listen {
        listeners.extend(listen(address, &mut sockets, front.as_ref())?);
    }
    // Before anybody can ask.
    reload::show_time(&app);
    let ready = Arc::new(AtomicBool::new(true));
    // Shows to the end that it is not ready any more, and is not waited for.
    let admin_drain = Drain::new(Duration::ZERO);
    if let Some(address) = &config.admin {
        let found = listen(address, &mut sockets, front.as_ref())?;
        let limits = Limits { connections: ADMIN_CONNECTIONS, ..Limits::default() };
        let admin = admin(config, &app, ready.clone());
        tokio::spawn(admin.remember());
        let server = Server::new(admin, limits, admin_drain.clone());
        for listener in found {
            tokio::spawn(server.clone().run(listener));
        }
    }
    let renewals = &app.metrics().certificates;
    if let Some(front) = front {
        tokio::spawn(renewal::watch_front(front, renewals.clone()));
    }
    if let Some(upstream) = upstream {
        tokio::spawn(renewal::watch_upstream(upstream, renewals.clone()));
    }
    warn(config, None);
    app.start();
    for listener in listeners {
        tokio::spawn(app.server().clone().run(listener));
    }
    tokio::spawn(Reloader::new(sources, app.clone(), config.clone()).run(hangups));
    tracing::info!(upstream = %config.upstream, "serving");
    tell(NotifyState::Ready);
    end(signals, &ready, app.drain()).await;
    admin_drain.finish().await;
    Ok(())
}

fn admin(config: &Config, app: &App, ready: Arc<AtomicBool>) -> Admin {
    Admin::new(admin::Parts {
        metrics: app.metrics().clone(),
        registry: app.registry().clone(),
        drain: app.drain().clone(),
        record: app.record().clone(),
        upstream: config.upstream.to_string(),
        ready,
        settings: config.admin_settings.clone(),
    })
}

/// Says what is allowed and likely to be a mistake, as far as it was not said of the configuration before.
pub(super) fn warn(config: &Config, before: Option<&Config>) {
    let is_new = |warning: &&_| before.is_none_or(|before| !before.warnings.contains(warning));
    for warning in config.warnings.iter().filter(is_new) {
        tracing::warn!(%warning, "the configuration may not be what is meant");
    }
    let connections = config.limits.connections;
    if before.is_none_or(|before| before.limits.connections != connections) {
        warn_of_few_descriptors(connections.get());
    }
}

/// Says so when so many connections would not leave a fifth of the descriptors.
/// Running out is survived; it is better known before.
fn warn_of_few_descriptors(connections: usize) {
    let Some(descriptors) = descriptors::most() else { return };
    if connections * 10 > descriptors * 8 {
        tracing::warn!(
            connections,
            descriptors,
            "limits.connections is more than 80 % of the file descriptors: raise them (ulimit -n, LimitNOFILE=) or lower it"
        );
    }
}

/// Where it listens is said for each address: a port of 0 is known only then.
fn listen(
    address: &Address,
    sockets: &mut Sockets,
    certificates: Option<&Certificates>,
) -> Result<Vec<Listener>, RunError> {
    let refused = |fault| RunError::Listen { address: address.clone(), fault };
    let listeners = match address {
        Address::Systemd(name) => Listener::inherit(sockets, name.as_deref()),
        _ => Listener::bind_with(address, certificates).map(|listener| vec![listener]),
    };
    let listeners = listeners.map_err(refused)?;
    for listener in &listeners {
        tracing::info!(address = %listener.local().map_err(refused)?, "listening");
    }
    Ok(listeners)
}

/// Tells the service manager, if one asked to be told.
fn tell(state: NotifyState<'_>) {
    if let Err(fault) = sd_notify::notify(&[state]) {
        tracing::warn!(error = %fault, "the service manager could not be told");
    }
}

async fn end(mut signals: Signals, ready: &AtomicBool, drain: &Drain) {
    tokio::select! {
        signal = signals.next() => tracing::info!(signal, time = ?drain.time(), "draining"),
        // By the admin's button, which has said so.
        () = drain.begun() => {}
    }
    ready.store(false, Ordering::Relaxed);
    tell(NotifyState::Stopping);
    let mut finish = std::pin::pin!(drain.finish());
    tokio::select! {
        () = &mut finish => {}
        signal = signals.next() => {
            tracing::info!(signal, "ending at once");
            drain.end();
            finish.await;
        }
    }
    tracing::info!("ended");
}
