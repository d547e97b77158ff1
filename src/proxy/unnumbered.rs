//! A stream that passes without ids: byte for byte, at once, and in a drain cut between frames, as all streams are.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tracing::Span;

use super::stream::CutShort;
use crate::{
    body::{BoxError, Relay},
    metrics::{Cut, RouteMetrics},
    net::BoxFuture,
    registry::Registry,
};

/// The body of an event stream that nothing is kept of. Once a drain has begun it fails, at a moment of its own and
/// between frames; one whose frame does not end is left to the drain's end.
pub(super) fn unnumbered(body: Relay, registry: &Registry, metrics: Arc<RouteMetrics>, span: Span) -> Relay {
    let due = Some(due(registry.clone()));
    Unnumbered { body, due, ending: Ending::default(), metrics, _span: span }.boxed_unsync()
}

/// When the client is cut. It cannot come back for what it misses: an answer that would end by itself has the first half
/// of the time to do so.
fn due(registry: Registry) -> BoxFuture<()> {
    Box::pin(async move {
        let half: Duration = registry.drained().await / 2;
        tokio::time::sleep(half + registry.dice().up_to(half)).await;
    })
}

struct Unnumbered {
    body: Relay,
    /// Gone once it is time.
    due: Option<BoxFuture<()>>,
    ending: Ending,
    metrics: Arc<RouteMetrics>,
    /// The client's, which is over with this.
    _span: Span,
}

impl Unnumbered {
    fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        if self.due.as_mut().is_some_and(|due| due.as_mut().poll(cx).is_ready()) {
            self.due = None;
        }
        self.due.is_none()
    }
}

impl HttpBody for Unnumbered {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let is_due = this.is_due(cx);
        if is_due && this.ending.is_of_a_frame() {
            this.metrics.cuts.count(Cut::Drain);
            return Poll::Ready(Some(Err(CutShort(Cut::Drain).into())));
        }
        let mut frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let Some(Ok(frame)) = &mut frame
            && let Some(bytes) = frame.data_mut()
        {
            if is_due {
                bytes.truncate(this.ending.last_frames_end(bytes));
            }
            this.ending.pass(bytes);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        // Once it is due, what has ended may be short of half a frame.
        self.due.is_some() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What a stream has ended in so far: as much of it as it takes to know whether that is the end of a frame.
#[derive(Clone, Copy, Debug)]
struct Ending([u8; 3]);

impl Default for Ending {
    /// Where a stream begins, a blank line is no part of a frame.
    fn default() -> Self {
        Self(*b"\n\n\n")
    }
}

impl Ending {
    fn pass(&mut self, bytes: &[u8]) {
        for byte in bytes.last_chunk::<3>().map_or(bytes, |last| last) {
            let [_, before, last] = self.0;
            self.0 = [before, last, *byte];
        }
    }

    /// A blank line was the last thing: one line end behind another, each of them CR, LF or both.
    fn is_of_a_frame(self) -> bool {
        let is_line_end = |byte| matches!(byte, b'\r' | b'\n');
        match self.0 {
            [before, b'\r', b'\n'] => is_line_end(before),
            [_, before, last] => is_line_end(before) && is_line_end(last),
        }
    }

    /// Where the last frame ends within the bytes that come next; all of them, where none does.
    fn last_frames_end(self, bytes: &[u8]) -> usize {
        let ends_one = |at: &usize| {
            let mut ending = self;
            ending.pass(bytes.get(..*at).unwrap_or(bytes));
            ending.is_of_a_frame()
        };
        (1..=bytes.len()).rev().find(ends_one).unwrap_or(bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `|` wherever a frame has ended.
    #[track_caller]
    fn check(marked: &str) {
        let bytes = marked.replace('|', "");
        let (mut ending, mut seen) = (Ending::default(), String::new());
        for byte in bytes.bytes() {
            ending.pass(&[byte]);
            seen.push(char::from(byte));
            if ending.is_of_a_frame() {
                seen.push('|');
            }
        }
        assert_eq!(seen, marked);
    }

    #[test]
    fn a_frame_ends_with_a_blank_line() {
        check("data: a\n\n|data: b\n\n|");
        check("data: a\n\ndata: b\n".replace("\n\n", "\n\n|").as_str());
        check("data: a\r\r|:b\r\r|");
        check("data: a\r\n\r|\n|data: b\r\n");
        check("data: a\n\r|\n|d");
        check("data: a\r\n\n|");
        check("\n|\n|data: a\n\n|\n|");
    }

    #[test]
    fn the_last_frames_end_is_found_in_any_piece() {
        for (before, bytes, end) in [
            ("", "data: a\n\ndata: b\n\ndata: ", 18),
            ("data: a\n", "\ndata: b", 1),
            ("data: a", "\n\n", 2),
            ("data: a\r\n\r", "\ndata", 1),
            ("data: a", "b\nc", 3),
            ("", "", 0),
        ] {
            let mut ending = Ending::default();
            ending.pass(before.as_bytes());
            assert_eq!(ending.last_frames_end(bytes.as_bytes()), end, "{before:?} {bytes:?}");
        }
    }
}
