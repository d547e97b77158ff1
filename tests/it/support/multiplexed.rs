//! A client of HTTP/2, which takes from each stream only what it is told to take.

use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, RecvStream, client::SendRequest};
use http::{HeaderMap, Request, Response, StatusCode};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
    time::timeout,
};

use super::reader::{self, Held};

/// A connection. Dropping it closes it.
pub(crate) struct Multiplexed {
    pub(crate) requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

/// An answer, and the rest of its stream.
pub(crate) struct Stream {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Once it has ended: properly, or with a reset.
    pub(crate) end: Option<Result<(), Reason>>,
    pub(crate) trailers: Option<HeaderMap>,
    rest: RecvStream,
}

impl Multiplexed {
    pub(crate) async fn over(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self::with(h2::client::Builder::new(), io).await
    }

    pub(crate) async fn with(
        builder: h2::client::Builder,
        io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Self {
        let (requests, connection) = builder.handshake(io).await.unwrap();
        Self { requests, connection: tokio::spawn(connection) }
    }

    /// A request without a body, and the head of its answer.
    pub(crate) async fn ask(&mut self, request: Request<()>) -> Result<Stream, h2::Error> {
        self.send(request, None).await
    }

    pub(crate) async fn send(
        &mut self,
        request: Request<()>,
        body: Option<&[u8]>,
    ) -> Result<Stream, h2::Error> {
        let mut requests = self.requests.clone().ready().await?;
        let (answer, mut to) = requests.send_request(request, body.is_none())?;
        if let Some(body) = body {
            to.send_data(Bytes::copy_from_slice(body), true)?;
        }
        answer.await.map(Stream::new)
    }

    pub(crate) async fn get(&mut self, uri: &str) -> Stream {
        self.ask(Request::get(uri).body(()).unwrap()).await.unwrap()
    }

    /// An `EventSource`'s request.
    pub(crate) async fn events(&mut self, path: &str, last_event_id: &str) -> Stream {
        let mut request = Request::get(format!("http://h{path}")).header("accept", "text/event-stream");
        if !last_event_id.is_empty() {
            request = request.header("last-event-id", last_event_id);
        }
        self.ask(request.body(()).unwrap()).await.unwrap()
    }

    /// Waits until the other side has ended the connection: with a reason other than that it was time to, or not.
    pub(crate) async fn ended(&mut self) -> Result<(), h2::Error> {
        (&mut self.connection).await.unwrap()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.connection.is_finished()
    }
}

impl Drop for Multiplexed {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Stream {
    fn new(answer: Response<RecvStream>) -> Self {
        let (head, rest) = answer.into_parts();
        Self { status: head.status, headers: head.headers, body: Vec::new(), end: None, trailers: None, rest }
    }

    /// Reads until nothing more comes within this time.
    pub(crate) async fn read_for(&mut self, time: Duration) {
        while self.end.is_none() {
            match timeout(time, self.rest.data()).await {
                Err(_) => return,
                Ok(Some(Ok(bytes))) => {
                    self.body.extend_from_slice(&bytes);
                    self.rest.flow_control().release_capacity(bytes.len()).unwrap();
                }
                Ok(Some(Err(fault))) => self.end = Some(Err(fault.reason().unwrap_or(Reason::NO_ERROR))),
                Ok(None) => {
                    self.trailers = self.rest.trailers().await.unwrap();
                    self.end = Some(Ok(()));
                }
            }
        }
    }

    /// Takes one piece.
    pub(crate) async fn read_one(&mut self) {
        if let Some(Ok(bytes)) = self.rest.data().await {
            self.body.extend_from_slice(&bytes);
            self.rest.flow_control().release_capacity(bytes.len()).unwrap();
        }
    }

    /// Reads what comes before anybody would wait; for a clock that is stopped.
    pub(crate) async fn read(&mut self) {
        self.read_for(Duration::from_millis(1)).await;
    }

    /// Reads to its end.
    pub(crate) async fn rest(mut self) -> Self {
        self.read_for(Duration::from_secs(60)).await;
        assert!(self.end.is_some(), "the stream does not end");
        self
    }

    /// What a page would have by now.
    pub(crate) fn held(&self) -> Held {
        reader::read(&self.body, "")
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
