//! An upstream that does exactly as its script says, on real sockets.

use std::{
    net::SocketAddr,
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::{net::TcpListener, task::AbortHandle, time::Instant};

use super::Wire;

/// An upstream. Its connections are played by a script; dropping it stops listening.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
    task: AbortHandle,
}

#[derive(Default)]
struct Seen {
    heads: Mutex<Vec<Vec<String>>>,
    connections: AtomicUsize,
    open: AtomicUsize,
}

/// One connection to it.
pub(crate) struct Visit {
    wire: Wire,
    /// When it was opened.
    pub(crate) opened: Instant,
    /// The head of its last request.
    head: Vec<String>,
    seen: Arc<Seen>,
}

impl Origin {
    /// Plays `script` on each connection; the connection is closed when the script ends.
    pub(crate) async fn start<F, R>(script: F) -> Self
    where
        F: Fn(Visit) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let visits = seen.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                visits.connections.fetch_add(1, SeqCst);
                visits.open.fetch_add(1, SeqCst);
                let (wire, opened) = (Wire::new(stream), Instant::now());
                tokio::spawn(script(Visit { wire, opened, head: Vec::new(), seen: visits.clone() }));
            }
        });
        Self { address, seen, task: task.abort_handle() }
    }

    /// Answers each request, of which it reads the head only, with these bytes.
    pub(crate) async fn saying(answer: impl AsRef<[u8]>) -> Self {
        let answer: Arc<[u8]> = answer.as_ref().into();
        Self::start(move |mut visit| {
            let answer = answer.clone();
            async move {
                while visit.request().await {
                    visit.send(&answer).await;
                }
            }
        })
        .await
    }

    /// The heads of all requests so far.
    pub(crate) fn heads(&self) -> Vec<Vec<String>> {
        self.seen.heads.lock().unwrap().clone()
    }

    /// How many connections were made to it.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(SeqCst)
    }

    /// How many of them its script has not left.
    pub(crate) fn open(&self) -> usize {
        self.seen.open.load(SeqCst)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Visit {
    /// Reads the head of the next request, if there is one.
    pub(crate) async fn request(&mut self) -> bool {
        let head = self.wire.try_head().await;
        let there = head.is_some();
        self.head = head.clone().unwrap_or_default();
        self.seen.heads.lock().unwrap().extend(head);
        there
    }

    /// The head of its last request, line by line.
    pub(crate) fn head_of_request(&self) -> String {
        self.head.join("\n")
    }
}

impl Deref for Visit {
    type Target = Wire;
    fn deref(&self) -> &Wire {
        &self.wire
    }
}

impl DerefMut for Visit {
    fn deref_mut(&mut self) -> &mut Wire {
        &mut self.wire
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.seen.open.fetch_sub(1, SeqCst);
    }
}
