//! The hello of a connection: events that a server sends to each new one, and that belong to it.
//!
//! It is read off a connection before anything else: off a client's own, when it is admitted, and off the pump's,
//! where only what precedes the first other event is hello. What was read beyond it is not lost.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame as BodyFrame};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use super::now;
use crate::{
    body::{BoxError, Relay},
    id::Position,
    metrics::{self, RouteMetrics},
    route::Ids,
    rules::Hello,
    seldom::Seldom,
    sse::{Frame, Splitter, TooLong, carrier, stamp},
};

/// Reads the hello of one connection.
pub struct Greeter {
    hello: Hello,
    ids: Ids,
    splitter: Splitter,
    /// Hello events and the control frames around them, as they came.
    hail: Vec<u8>,
    /// How many events of it are hello.
    events: usize,
    /// Whole frames behind the hello.
    rest: Vec<u8>,
    limit: usize,
    done: bool,
    end: Option<Result<(), BoxError>>,
}

impl Greeter {
    /// Reads by this rule, and gives ids in this mode; no frame may be longer than `limit` bytes, and what is longer than
    /// that altogether is not waited for.
    #[must_use]
    pub fn new(hello: &Hello, ids: Ids, limit: usize) -> Self {
        Self {
            hello: hello.clone(),
            ids,
            splitter: Splitter::new(limit),
            hail: Vec::new(),
            events: 0,
            rest: Vec::new(),
            limit,
            done: false,
            end: None,
        }
    }

    /// Reads until the hello is complete, another event comes, or the connection ends. Cancel-safe: what was read
    /// until then is kept.
    pub async fn read(&mut self, body: &mut Relay) {
        while !self.done {
            match body.frame().await {
                Some(Ok(frame)) => {
                    let Ok(chunk) = frame.into_data() else { continue };
                    if let Err(fault) = self.feed(&chunk) {
                        self.end(Err(fault.into()));
                    }
                }
                Some(Err(fault)) => self.end(Err(fault)),
                None => self.end(Ok(())),
            }
        }
    }

    /// The same, for as long as the rule says; counts how much of it came.
    pub async fn read_in_time(&mut self, body: &mut Relay, metrics: &RouteMetrics) {
        let limit = self.hello.wait;
        if timeout(limit, self.read(body)).await.is_err() {
            tell_of_late(limit);
        }
        metrics.hellos.count(match self.events {
            0 => metrics::Hello::None,
            events if events < self.hello.events => metrics::Hello::Partial,
            _ => metrics::Hello::Complete,
        });
    }

    fn end(&mut self, end: Result<(), BoxError>) {
        self.end = Some(end);
        self.done = true;
    }

    fn feed(&mut self, chunk: &[u8]) -> Result<(), TooLong> {
        let mut splitter = std::mem::replace(&mut self.splitter, Splitter::new(0));
        let fed = splitter.feed(chunk, |frame| self.take(&frame));
        self.splitter = splitter;
        fed
    }

    fn take(&mut self, frame: &Frame<'_>) {
        if self.done {
            self.rest.extend_from_slice(frame.bytes());
        } else if !frame.is_event() || self.hello.is(frame) {
            self.hail.extend_from_slice(frame.bytes());
            self.events += usize::from(frame.is_event());
            self.done = self.events == self.hello.events || self.hail.len() > self.limit;
        } else {
            self.done = true;
            self.rest.extend_from_slice(frame.bytes());
        }
    }

    /// What was said, its last event with the fence as its id, and all that came behind it. Nothing, where no hello
    /// event came.
    #[must_use]
    pub fn finish(mut self, fence: Position, rest: Relay) -> (Option<Bytes>, Relay) {
        let said = (self.events > 0).then(|| self.said(fence));
        if said.is_none() {
            // Comments and the like are no hello, and whoever reads on has not seen them.
            self.hail.append(&mut self.rest);
            self.rest = self.hail;
        }
        self.rest.extend_from_slice(self.splitter.carried());
        let rest = Behind { first: self.rest.into(), end: self.end, rest };
        (said, rest.boxed_unsync())
    }

    fn said(&self, fence: Position) -> Bytes {
        let (mut said, mut left, ids) = (Vec::with_capacity(self.hail.len()), self.events, self.ids);
        let mut say = |frame: Frame<'_>| {
            let is_last = frame.is_event() && left == 1;
            left -= usize::from(frame.is_event());
            // An id of the upstream's means the then tail, here as elsewhere.
            let given = is_last || (ids == Ids::Keep && frame.id().is_some());
            write(&frame, given.then_some(fence), ids, &mut said);
        };
        // They were frames within the limit before.
        let mut whole = Splitter::new(usize::MAX);
        let _ = whole.feed(&self.hail, &mut say);
        let _ = whole.finish(say);
        said.into()
    }
}

/// Writes a frame of the hello, with an id of ours or without.
fn write(frame: &Frame<'_>, id: Option<Position>, ids: Ids, said: &mut Vec<u8>) {
    let text = id.map(|id| id.to_string());
    if ids == Ids::Hidden && frame.is_event() {
        // A page that comes back has one of ours, and is to see none.
        let page = frame.id().is_none().then_some(&b""[..]);
        stamp(frame, true, page, said);
        text.iter().for_each(|id| carrier(id, said));
    } else {
        stamp(frame, ids == Ids::Keep, text.as_deref().map(str::as_bytes), said);
    }
}

/// A body of which something was read already.
struct Behind {
    first: Bytes,
    end: Option<Result<(), BoxError>>,
    rest: Relay,
}

impl Body for Behind {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, BoxError>>> {
        if !self.first.is_empty() {
            return Poll::Ready(Some(Ok(BodyFrame::data(std::mem::take(&mut self.first)))));
        }
        match &mut self.end {
            None => Pin::new(&mut self.rest).poll_frame(cx),
            Some(end) => Poll::Ready(std::mem::replace(end, Ok(())).err().map(Err)),
        }
    }
}

fn tell_of_late(limit: Duration) {
    static LATE: Seldom = Seldom::new();
    let Some(times) = LATE.again(now()) else { return };
    let setting = "hello_wait";
    tracing::info!(?limit, setting, times, "a hello did not come in time");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Generation;

    fn hello(events: usize) -> Hello {
        let types = crate::rules::Globs::new(["hi*"]).unwrap();
        Hello { types, kind: crate::rules::Kind::Event, events, wait: std::time::Duration::ZERO }
    }

    /// What is said and what is behind, of this stream in chunks of any size.
    fn check(events: usize, stream: &'static str, said: Option<&str>, behind: &str) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let fence = Position { generation: Generation::Shared(0), seq: 7 };
        for size in [1, 2, 5, 1000] {
            let (got, rest) = runtime.block_on(async {
                let chunks: Vec<Result<_, BoxError>> = stream
                    .as_bytes()
                    .chunks(size)
                    .map(|chunk| Ok(BodyFrame::data(Bytes::from_static(chunk))))
                    .collect();
                let mut body = Chunks(chunks.into()).boxed_unsync();
                let mut greeter = Greeter::new(&hello(events), Ids::Keep, 99);
                greeter.read(&mut body).await;
                let (said, rest) = greeter.finish(fence, body);
                (said, rest.collect().await.unwrap().to_bytes())
            });
            let got =
                got.map(|said| String::from_utf8(said.to_vec()).unwrap().replace("r0000000000000-7", "F"));
            assert_eq!((got.as_deref(), &*rest), (said, behind.as_bytes()), "{stream:?} by {size}");
        }
    }

    /// A stream of what there is.
    struct Chunks(std::collections::VecDeque<Result<BodyFrame<Bytes>, BoxError>>);

    impl Body for Chunks {
        type Data = Bytes;
        type Error = BoxError;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<BodyFrame<Bytes>, BoxError>>> {
            Poll::Ready(self.0.pop_front())
        }
    }

    #[test]
    fn the_last_hello_event_carries_the_fence() {
        let one = "event: hi\ndata: 1\n\n";
        check(
            1,
            "event: hi\ndata: 1\n\ndata: x\n\ndata: half",
            Some("event: hi\ndata: 1\nid: F\n\n"),
            "data: x\n\ndata: half",
        );
        check(
            2,
            "event: hi\ndata: 1\n\n: c\n\nevent: hi2\ndata: 2\n\n",
            Some("event: hi\ndata: 1\n\n: c\n\nevent: hi2\ndata: 2\nid: F\n\n"),
            "",
        );
        check(2, "event: hi\ndata: 1\n\ndata: x\n\n", Some("event: hi\ndata: 1\nid: F\n\n"), "data: x\n\n");
        check(1, "id: 3\nevent: hi\ndata: 1\n\n", Some("event: hi\ndata: 1\nid: 3\nid: F\n\n"), "");
        check(1, one, Some("event: hi\ndata: 1\nid: F\n\n"), "");
    }

    #[test]
    fn where_there_is_no_hello_nothing_is_lost() {
        check(1, "data: x\n\nevent: hi\ndata: 1\n\n", None, "data: x\n\nevent: hi\ndata: 1\n\n");
        check(1, ": c\n\nretry: 5\n\ndata: x\n\n", None, ": c\n\nretry: 5\n\ndata: x\n\n");
        check(1, "", None, "");
        check(1, "data: half", None, "data: half");
    }
}
