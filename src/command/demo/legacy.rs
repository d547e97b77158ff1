//! The legacy event server: it counts, and tells whoever is connected. It gives no ids and never looks back.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;

use super::serve;
use crate::{
    body::{self, Relay},
    net::{Address, Listener},
};

/// Where the numbers are.
pub(super) const PATH: &str = "/events";
/// How often there is a number.
const EVERY: Duration = Duration::from_millis(100);
/// Browsers wait for some seconds before they come back, unless they are told to hurry.
const OPENING: &[u8] = b"retry: 500\n\n";
/// The numbers that a client may leave unread before it is thrown out, as such servers do.
const UNREAD: usize = 1024;

/// A running server. Clones are the same one.
#[derive(Clone, Default, Debug)]
pub(super) struct Legacy(Arc<Mutex<State>>);

#[derive(Default, Debug)]
struct State {
    clients: Vec<mpsc::Sender<Bytes>>,
    /// The number that was sent last.
    sent: u64,
    stopped: bool,
}

impl Legacy {
    /// Listens on a free port of this machine, and begins to count. Needs a runtime.
    pub(super) fn start() -> io::Result<(Self, SocketAddr)> {
        let legacy = Self::default();
        let answering = legacy.clone();
        let listener = Listener::bind(&Address::Tcp((Ipv4Addr::LOCALHOST, 0).into()))?;
        let address = serve(listener, move |request| answering.answer(&request))?;
        tokio::spawn(legacy.clone().count());
        Ok((legacy, address))
    }

    /// Counts no further, and says which number was the last.
    pub(super) fn stop(&self) -> u64 {
        let mut state = self.state();
        state.stopped = true;
        state.sent
    }

    async fn count(self) {
        let mut tick = tokio::time::interval(EVERY);
        loop {
            tick.tick().await;
            let State { clients, sent, stopped } = &mut *self.state();
            if *stopped {
                return;
            }
            *sent += 1;
            let event = Bytes::from(format!("data: {{\"n\":{sent}}}\n\n"));
            clients.retain(|client| client.try_send(event.clone()).is_ok());
        }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Relay> {
        let mut answer = Response::new(body::empty());
        if request.uri().path() != PATH {
            *answer.status_mut() = StatusCode::NOT_FOUND;
            return answer;
        }
        let headers = [
            (header::CONTENT_TYPE, "text/event-stream"),
            (header::CACHE_CONTROL, "no-cache"),
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        ];
        for (name, value) in headers {
            answer.headers_mut().insert(name, header::HeaderValue::from_static(value));
        }
        *answer.body_mut() = self.numbers().map_err(|never| match never {}).boxed_unsync();
        answer
    }

    /// The numbers from now on.
    fn numbers(&self) -> Numbers {
        let (client, numbers) = mpsc::channel(UNREAD);
        // It is empty, so there is room.
        let _ = client.try_send(Bytes::from_static(OPENING));
        self.state().clients.push(client);
        Numbers(numbers)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body that one client gets.
struct Numbers(mpsc::Receiver<Bytes>);

impl Body for Numbers {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn piece(numbers: &mut Numbers) -> Bytes {
        numbers.frame().await.unwrap().unwrap().into_data().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn everyone_gets_the_numbers_from_when_they_came() {
        let legacy = Legacy::default();
        let mut early = legacy.numbers();
        tokio::spawn(legacy.clone().count());
        assert_eq!(piece(&mut early).await, OPENING);
        assert_eq!(piece(&mut early).await, "data: {\"n\":1}\n\n");
        let mut late = legacy.numbers();
        assert_eq!(piece(&mut early).await, "data: {\"n\":2}\n\n");
        assert_eq!(piece(&mut late).await, OPENING);
        assert_eq!(piece(&mut late).await, "data: {\"n\":2}\n\n");
        assert_eq!(legacy.stop(), 2);
        tokio::time::sleep(EVERY * 3).await;
        assert_eq!(legacy.stop(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_gone_is_forgotten() {
        let legacy = Legacy::default();
        drop(legacy.numbers());
        tokio::spawn(legacy.clone().count());
        tokio::time::sleep(EVERY).await;
        assert!(legacy.state().clients.is_empty());
    }
}
