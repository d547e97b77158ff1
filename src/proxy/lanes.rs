//! Connections to the upstream, and how many requests each may carry.
//!
//! One connection of HTTP/2 carries as many requests as the upstream says, and those beyond wait for one of them to end,
//! which an event stream never does. So there are several pools, lanes, of which each has no more requests than any
//! upstream should allow on a connection (RFC 9113, 6.5.2), and one more is made when all are full.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};

use super::connector::Connector;
use crate::{
    body::{self, Relay},
    net::Dial,
};

/// How long an upstream connection waits for its next request. Node closes after 5 s; a request sent right then
/// would be lost.
const IDLE: Duration = Duration::from_secs(4);
/// How many upstream connections wait.
const MAX_IDLE: usize = 128;
/// The bytes that an answer's head may have, and that are read ahead of a client.
pub(super) const READ_AHEAD: usize = 64 * 1024;
/// The headers that an answer may have. hyper's own limit of 100 is in reach of one that sets many cookies.
const HEADERS: usize = 256;
/// The requests that a lane may have where they may share a connection.
const SHARED: usize = 100;

/// The bytes of READ_AHEAD that HTTP/2 counts in, of one request.
const STREAM: u32 = 64 * 1024;
/// The same of all on a connection: no bound beside those of its requests, since one whose client takes nothing must not hold
/// the others up. Nor may it end them: of small frames that nobody has taken h2 bears as many as half of this is worth, and
/// ends the connection over one more. A few streams of small events whose clients are slow would be enough.
const CONNECTION: u32 = (1 << 31) - 1;

/// All connections of one kind. Clones share them.
#[derive(Clone)]
pub(super) struct Lanes(Arc<Inner>);

struct Inner {
    connector: Connector,
    idle: usize,
    most: usize,
    lanes: Mutex<Vec<Arc<Lane>>>,
}

struct Lane {
    client: Client<Connector, Relay>,
    requests: AtomicUsize,
}

/// A request's place in a lane, as long as it lives.
pub(super) struct Place(Arc<Lane>);

impl Lanes {
    /// Connections that wait for further requests.
    pub(super) fn pooled(dial: Arc<dyn Dial>) -> Self {
        Self::new(dial, MAX_IDLE, false)
    }

    /// A connection for each request.
    pub(super) fn fresh(dial: Arc<dyn Dial>) -> Self {
        Self::new(dial, 0, false)
    }

    /// Connections that can be upgraded.
    pub(super) fn upgrading(dial: Arc<dyn Dial>) -> Self {
        Self::new(dial, MAX_IDLE, true)
    }

    fn new(dial: Arc<dyn Dial>, idle: usize, upgrade: bool) -> Self {
        let most = if dial.may_speak_http2() { SHARED } else { usize::MAX };
        let connector = Connector { dial, upgrade };
        Self(Arc::new(Inner { connector, idle, most, lanes: Mutex::new(Vec::new()) }))
    }

    /// A place in the first lane that has one.
    pub(super) fn place(&self) -> Place {
        let mut lanes = self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.iter().find(|lane| lane.requests.load(SeqCst) < self.0.most).cloned();
        let lane = lane.unwrap_or_else(|| {
            let lane = Arc::new(Lane { client: self.0.client(), requests: AtomicUsize::new(0) });
            lanes.push(lane.clone());
            lane
        });
        lane.requests.fetch_add(1, SeqCst);
        Place(lane)
    }
}

impl Inner {
    fn client(&self) -> Client<Connector, Relay> {
        Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(self.idle)
            .http1_preserve_header_case(true)
            .http1_max_buf_size(READ_AHEAD)
            .http1_max_headers(HEADERS)
            .http2_initial_stream_window_size(STREAM)
            .http2_initial_connection_window_size(CONNECTION)
            .http2_max_header_list_size(READ_AHEAD as u32)
            // Covers only requests of which nothing was sent; the others are ours to judge.
            .retry_canceled_requests(true)
            .set_host(false)
            .build(self.connector.clone())
    }
}

impl Place {
    pub(super) fn client(&self) -> &Client<Connector, Relay> {
        &self.0.client
    }

    /// The body of an answer, which has its place until it is dropped.
    pub(super) fn keep(self, body: Relay) -> Relay {
        body::keeping(body, self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, SeqCst);
    }
}
