//! The network: one connection, as an `EventSource` makes it, read until it ends or is left.

use std::{future::pending, io, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::{
    target::{Header, Target},
    visit::{CURSOR, End, Event, Recorder, Visit},
};
use crate::{body::BoxError, dice::Dice, net::tls};

/// What a browser takes.
const BROWSERS: &str = "gzip, deflate, br, zstd";
/// How long the beginning of an answer is waited for that is no stream.
const EXCERPT: Duration = Duration::from_secs(1);

/// Who asks, for what, and since when times count.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) target: Target,
    pub(super) headers: Vec<Header>,
    /// The data of events is wanted.
    pub(super) keep: bool,
    pub(super) start: Instant,
    pub(super) dice: Dice,
}

/// How long to stay.
#[derive(Clone, Copy, Debug)]
pub(super) enum Plan {
    /// Until the run is over.
    Stay,
    /// For the head alone, asking for any coding as a browser does.
    Head,
    /// Until the connection is cut: in the first piece that comes after `due`, at a random place; or at `patience`, while
    /// nothing comes. Never before there is a place to come back to.
    Cut { due: Instant, patience: Instant },
}

/// Whoever wants to know of each event at once.
pub(super) type Heard<'a> = &'a mut (dyn FnMut(&Event) + Send);

/// What comes next.
enum Next {
    Piece(Bytes),
    Over(End),
    Due,
    Stop,
}

/// A connection's task; without it there is no connection.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Client {
    /// The time since the run began.
    pub(super) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Makes one connection, with this id, and says what was seen of it.
    pub(super) async fn visit(
        &self,
        cursor: Option<Bytes>,
        plan: Plan,
        stop: &mut watch::Receiver<bool>,
        heard: Heard<'_>,
    ) -> Visit {
        let mut recorder = Recorder::new(self.now(), cursor.clone(), self.keep);
        let patience = match plan {
            Plan::Cut { patience, .. } if recorder.can_be_cut() => Some(patience),
            _ => None,
        };
        let opened = tokio::select! {
            opened = self.open(cursor.as_ref(), plan) => opened,
            _ = stop.wait_for(|stop| *stop) => return recorder.end(self.now(), End::Left),
            () = until(patience) => return recorder.end(self.now(), End::Cut),
        };
        let (answer, _connection) = match opened {
            Ok(opened) => opened,
            Err(end) => return recorder.end(self.now(), end),
        };
        let (head, body) = answer.into_parts();
        recorder.head(self.now(), &head);
        let end = match (plan, recorder.visit().is_stream()) {
            (Plan::Head, true) => End::Left,
            (_, true) => self.read(&mut recorder, body, plan, stop, heard).await,
            (_, false) => self.excerpt(&mut recorder, body).await,
        };
        recorder.end(self.now(), end)
    }

    async fn open(
        &self,
        cursor: Option<&Bytes>,
        plan: Plan,
    ) -> Result<(Response<Incoming>, Connection), End> {
        let lost = |error: &dyn std::error::Error| End::Lost(chain(error));
        let unreachable = |error: io::Error| match tls::distrust(&error) {
            Some(why) => End::Untrusted(why),
            None => End::Unreachable(chain(&error)),
        };
        let io = self.target.dialer().map_err(unreachable)?.dial().await.map_err(unreachable)?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(io)).await.map_err(|error| lost(&error))?;
        let connection = Connection(tokio::spawn(async move { drop(connection.await) }));
        let request = self.request(cursor, plan).map_err(|error| End::Lost(error.to_string()))?;
        let answer = sender.send_request(request).await.map_err(|error| lost(&error))?;
        Ok((answer, connection))
    }

    /// What a browser's `EventSource` sends.
    fn request(&self, cursor: Option<&Bytes>, plan: Plan) -> Result<Request<Empty<Bytes>>, BoxError> {
        let coding = if matches!(plan, Plan::Head) { BROWSERS } else { "identity" };
        let mut request = Request::get(self.target.path.as_str()).body(Empty::new())?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_str(self.target.upstream.authority().as_str())?);
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(coding));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        for Header { name, value } in &self.headers {
            headers.insert(name, value.clone());
        }
        if let Some(cursor) = cursor {
            headers.insert(CURSOR, HeaderValue::from_bytes(cursor)?);
        }
        Ok(request)
    }

    /// Reads a stream until it ends or is left.
    async fn read(
        &self,
        recorder: &mut Recorder,
        mut body: Incoming,
        plan: Plan,
        stop: &mut watch::Receiver<bool>,
        heard: Heard<'_>,
    ) -> End {
        let (mut is_due, mut had) = (false, 0);
        loop {
            let due = match plan {
                Plan::Cut { due, .. } if !is_due => Some(due),
                Plan::Cut { patience, .. } if recorder.can_be_cut() => Some(patience),
                _ => None,
            };
            match next(&mut body, due, stop).await {
                Next::Stop => return End::Left,
                Next::Over(end) => return end,
                Next::Due if is_due => return End::Cut,
                Next::Due => is_due = true,
                Next::Piece(bytes) => {
                    let cut = is_due && recorder.can_be_cut();
                    let taken = if cut { self.some_of(&bytes) } else { &bytes[..] };
                    let mut whole = recorder.piece(self.now(), taken);
                    if cut && recorder.visit().place.is_none() {
                        // Between an event and the frame behind it that has its id (`ids = "hidden"`) no network cuts: one
                        // packet carries both.
                        whole = recorder.piece(self.now(), bytes.get(taken.len()..).unwrap_or_default());
                    }
                    recorder.visit().events.iter().skip(had).for_each(&mut *heard);
                    had = recorder.visit().events.len();
                    match (cut, whole) {
                        (true, _) => return End::Cut,
                        (_, false) => return End::Lost("an event is larger than 8 MiB".to_owned()),
                        (false, true) => {}
                    }
                }
            }
        }
    }

    /// What of a piece arrived before the connection was cut: any part of it, in the middle of a frame or not. That the rest
    /// lies in our own buffers makes no difference to anybody else.
    fn some_of<'a>(&self, bytes: &'a Bytes) -> &'a [u8] {
        let most = bytes.len() as u64 + 1;
        let length = usize::try_from(self.dice.number() % most).unwrap_or_default();
        bytes.get(..length).unwrap_or(bytes)
    }

    /// Reads the beginning of what is no stream.
    async fn excerpt(&self, recorder: &mut Recorder, mut body: Incoming) -> End {
        let deadline = Some(Instant::now() + EXCERPT);
        let (_never, mut stop) = watch::channel(false);
        loop {
            match next(&mut body, deadline, &mut stop).await {
                Next::Piece(bytes) if recorder.piece(self.now(), &bytes) => {}
                Next::Over(end) => return end,
                _ => return End::Left,
            }
        }
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

/// What happens first. Nothing is consumed but what is returned.
async fn next(body: &mut Incoming, due: Option<Instant>, stop: &mut watch::Receiver<bool>) -> Next {
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => Next::Stop,
        () = until(due) => Next::Due,
        piece = body.frame() => match piece {
            Some(Ok(piece)) => Next::Piece(piece.into_data().unwrap_or_default()),
            Some(Err(error)) => Next::Over(End::Lost(chain(&error))),
            None => Next::Over(End::Over),
        },
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
