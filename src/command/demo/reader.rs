//! A terminal's `EventSource`, as the standard describes it, and the column of what it received.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::sleep};

use super::{legacy, tally::Tally};
use crate::{
    body::BoxError,
    head::{self, LAST_EVENT_ID},
    sse::{Field, Frame, Splitter},
};

/// When to come back, until a server says.
const RETRY: Duration = Duration::from_secs(2);
/// The largest frame that is read.
const FRAME: usize = 64 * 1024;
/// How many of the last numbers are kept to be shown.
const RECENT: usize = 16;

/// How a reader stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Link {
    /// Never connected, or lost and coming back. => Open | Failed
    Away,
    /// Numbers can come. => Away | Failed
    Open,
    /// Answered with anything but a stream: an `EventSource` does not come back from that.
    Failed,
}

/// What one reader received.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) tally: Tally,
    pub(super) link: Link,
    /// How often an open connection was lost.
    pub(super) losses: u64,
    /// The last numbers, oldest first.
    pub(super) recent: VecDeque<u64>,
}

impl Column {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self { tally: Tally::default(), link: Link::Away, losses: 0, recent: VecDeque::new() }
    }

    /// A number came.
    pub(super) fn receive(&mut self, number: u64) {
        self.tally.receive(number);
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(number);
    }

    fn lose(&mut self) {
        self.losses += u64::from(self.link == Link::Open);
        self.link = Link::Away;
    }
}

/// A reader at work. Clones look at the same column.
#[derive(Clone, Debug)]
pub(super) struct Reader(Arc<Mutex<Column>>);

impl Reader {
    /// Begins to read the numbers from `address`, and goes on for as long as an `EventSource` would. Needs a runtime.
    pub(super) fn start(address: SocketAddr) -> Self {
        let reader = Self(Arc::new(Mutex::new(Column::new())));
        let column = reader.clone();
        tokio::spawn(async move {
            let mut source = Source { address, last_id: Vec::new(), retry: RETRY };
            loop {
                // Lost or ended: both mean to come back. Only another answer than a stream is final.
                if let Err(Refused) = source.read(&column).await {
                    column.column().link = Link::Failed;
                    return;
                }
                column.column().lose();
                sleep(source.retry).await;
            }
        });
        reader
    }

    /// What it received so far. Held for a moment only.
    pub(super) fn column(&self) -> MutexGuard<'_, Column> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer was no event stream.
struct Refused;

/// What an `EventSource` keeps from one connection to the next.
struct Source {
    address: SocketAddr,
    last_id: Vec<u8>,
    retry: Duration,
}

impl Source {
    /// Connects, and reads until the connection is lost or ends.
    async fn read(&mut self, reader: &Reader) -> Result<(), Refused> {
        let Ok(answer) = self.connect().await else { return Ok(()) };
        let (head, mut body) = answer.into_parts();
        if !head::is_stream(&head) {
            return Err(Refused);
        }
        reader.column().link = Link::Open;
        let mut splitter = Splitter::new(FRAME);
        while let Some(Ok(piece)) = body.frame().await {
            let Some(bytes) = piece.data_ref() else { continue };
            let fed = splitter.feed(bytes, |frame| {
                if let Some(number) = self.take(&frame).as_deref().and_then(number) {
                    reader.column().receive(number);
                }
            });
            if fed.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn connect(&self) -> Result<Response<Incoming>, BoxError> {
        let socket = TcpStream::connect(self.address).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        // It ends with the body.
        tokio::spawn(connection);
        Ok(sender.send_request(self.request()?).await?)
    }

    fn request(&self) -> io::Result<Request<Empty<Bytes>>> {
        let mut request = Request::get(legacy::PATH)
            .header(header::HOST, self.address.to_string())
            .header(header::ACCEPT, "text/event-stream")
            .header(header::CACHE_CONTROL, "no-cache");
        if !self.last_id.is_empty() {
            let id = HeaderValue::from_bytes(&self.last_id).map_err(io::Error::other)?;
            request = request.header(LAST_EVENT_ID, id);
        }
        request.body(Empty::new()).map_err(io::Error::other)
    }

    /// Takes over what a frame says to an `EventSource`; the data, if it is an event.
    fn take(&mut self, frame: &Frame<'_>) -> Option<String> {
        if let Some(id) = frame.id() {
            self.last_id = id.to_vec();
        }
        let digits = frame.retry().and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(retry) = digits.and_then(|digits| digits.parse().ok()) {
            self.retry = Duration::from_millis(retry);
        }
        frame.is_event().then(|| data(frame))
    }
}

/// The values of all data lines, joined by line feeds.
fn data(frame: &Frame<'_>) -> String {
    let lines = frame.bytes().split(|byte| matches!(byte, b'\r' | b'\n'));
    let data = lines.filter(|line| Field::of(line) == Field::Data);
    let values: Vec<_> = data.map(|line| String::from_utf8_lossy(Field::value(line))).collect();
    values.join("\n")
}

/// The number that an event of the legacy server's carries.
fn number(data: &str) -> Option<u64> {
    data.strip_prefix("{\"n\":")?.strip_suffix('}')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds a stream; the events' data, the id to come back with, and when.
    #[track_caller]
    fn check(stream: &str, events: &[&str], id: &str, retry: Duration) {
        let mut source =
            Source { address: ([127, 0, 0, 1], 1).into(), last_id: b"old".to_vec(), retry: RETRY };
        let mut had = Vec::new();
        Splitter::new(FRAME).feed(stream.as_bytes(), |frame| had.extend(source.take(&frame))).unwrap();
        assert_eq!(
            (had, source.retry),
            (events.iter().map(ToString::to_string).collect(), retry),
            "{stream:?}"
        );
        assert_eq!(String::from_utf8(source.last_id).unwrap(), id);
    }

    #[test]
    fn events_are_dispatched_at_blank_lines() {
        check("data: a\r\ndata:b\r\n\r\ndata: c\n", &["a\nb"], "old", RETRY);
        check(": hi\n\nevent: x\n\n", &[], "old", RETRY);
    }

    #[test]
    fn ids_and_times_are_kept() {
        check("id: 7\n\n", &[], "7", RETRY);
        check("data: a\nid: 8\n\ndata: b\nid: 9\n", &["a"], "8", RETRY);
        check("id\ndata\n\n", &[""], "", RETRY);
        check("retry: 500\n\n", &[], "old", Duration::from_millis(500));
    }

    #[test]
    fn the_request_is_an_event_sources() {
        let mut source = Source { address: ([127, 0, 0, 1], 80).into(), last_id: Vec::new(), retry: RETRY };
        let first = source.request().unwrap().into_parts().0;
        assert!(head::is_event_source(&first) && !first.headers.contains_key(LAST_EVENT_ID));
        source.last_id = b"r1-2".to_vec();
        assert_eq!(source.request().unwrap().headers()[LAST_EVENT_ID], "r1-2");
    }

    #[test]
    fn a_number_is_an_events_data() {
        assert_eq!(number("{\"n\":17}"), Some(17));
        assert_eq!(number("17"), None);
    }
}
