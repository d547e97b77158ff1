//! A connection of HTTP/1: by turns hyper's, and, while an event stream is written, nobody's but the stream's.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tower::Service;

use super::{
    Server,
    handler::{Handler, Whence},
    handover::{Handed, Slot, Writer},
    note,
};
use crate::{
    body::BoxError,
    net::{BoxFuture, Client, Control, Socket},
};

/// What hyper has given up.
struct Left<T: Socket, K, B> {
    client: Box<Client<T, K>>,
    /// What was read of the client's next request.
    ahead: Bytes,
    handed: Handed<B>,
}

impl<S, B> Server<S>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    /// Serves a client until its connection ends, or the drain is over.
    pub(super) async fn http1<T, K>(&self, mut client: Box<Client<T, K>>, control: &Control, whence: Whence)
    where
        T: Socket,
        K: Unpin + Send + 'static,
    {
        loop {
            // Boxed: all of it is gone while there is nothing for hyper to do.
            let Some(left) = Box::pin(self.by_hyper(client, control, whence)).await else { return };
            client = left.client;
            let Handed { body, lives_on } = left.handed;
            let (mut writer, mut over) = (Writer::new(&mut client, left.ahead, body), None);
            let written = poll_fn(|cx| self.poll_until_over(&mut writer, &mut over, cx)).await;
            match written {
                Some(Ok(())) => {}
                Some(Err(fault)) => return tracing::debug!(error = %fault, "a connection broke"),
                None => return,
            }
            let ahead = writer.into_ahead();
            if !lives_on || self.drain.is_draining() {
                return Box::pin(self.close(&mut client)).await;
            }
            control.note_idle();
            client.unread(ahead);
        }
    }

    /// Ready with what comes of a writer, or with nothing once the drain is over. To wait for that takes room only where the
    /// body does not hear that the drain has begun, or when it has.
    fn poll_until_over<T: Socket, K: Unpin>(
        &self,
        writer: &mut Writer<'_, T, K, B>,
        over: &mut Option<BoxFuture<()>>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<(), BoxError>>> {
        if let Poll::Ready(written) = Pin::new(&mut *writer).poll(cx) {
            return Poll::Ready(Some(written));
        }
        if !writer.is_deaf() && !self.drain.is_draining() {
            *over = None;
            return Poll::Pending;
        }
        let over = over.get_or_insert_with(|| Box::pin(self.drain.over()));
        over.as_mut().poll(cx).map(|()| None)
    }

    /// Ends a connection behind its last answer.
    async fn close<T: Socket, K: Unpin>(&self, client: &mut Client<T, K>) {
        tokio::select! {
            _ = client.shutdown() => {}
            () = self.drain.over() => {}
        }
    }

    /// hyper's turn: until the connection has ended, or one of its answers is to be written without hyper.
    async fn by_hyper<T, K>(
        &self,
        client: Box<Client<T, K>>,
        control: &Control,
        whence: Whence,
    ) -> Option<Left<T, K, B>>
    where
        T: Socket,
        K: Unpin + Send + 'static,
    {
        let slot = Slot::new();
        let handler = Handler::new(self.service.clone(), control.clone(), whence, slot.clone());
        let mut connection = self.http.serve_connection(TokioIo::new(client), handler).with_upgrades();
        let (mut begun, mut over) = (pin!(self.drain.begun()), pin!(self.drain.over()));
        let mut draining = false;
        loop {
            let turn = poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
                Poll::Pending if slot.is_awaited() && control.is_flushed() => Poll::Ready(None),
                polled => polled.map(Some),
            });
            tokio::select! {
                ended = turn => match ended {
                    Some(ended) => {
                        // What of a head is there is with hyper still.
                        let has_begun = || connection.into_parts().is_some_and(|parts| !parts.read_buf.is_empty());
                        if ended.as_ref().is_err_and(hyper::Error::is_timeout) && has_begun() {
                            self.overuses.note_head(self.limits.header_timeout);
                        }
                        note(ended);
                        return None;
                    }
                    None => break,
                },
                () = &mut begun, if !draining => {
                    // Ends keep-alive only. A stream's body, which would never end, sees the drain for itself.
                    Pin::new(&mut connection).graceful_shutdown();
                    draining = true;
                }
                () = &mut over => return None,
            }
        }
        let parts = connection.into_parts()?;
        // An empty one would keep all that hyper had made room for.
        let ahead = if parts.read_buf.is_empty() { Bytes::new() } else { parts.read_buf };
        let client = parts.io.into_inner();
        // An answer is under way still, whoever writes it.
        control.note_request();
        Some(Left { client, ahead, handed: slot.take()? })
    }
}
