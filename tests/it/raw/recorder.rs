//! An upstream that writes down all that it is asked, and a relay that writes down what goes through it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

use super::strict::{Manner, Reading, Request, read};

/// What an upstream got on one of its connections.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Seen {
    /// A request, to its end, and the number in its answer's `X-Seen`.
    Whole(Request, u64),
    /// The head of one that never ended, when the connection did.
    Torn(Request),
    /// Something else.
    Wrong(String),
}

/// An upstream whose connections are read by the strict reader: every byte belongs to a request.
pub(super) struct Recorder {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: AbortHandle,
}

impl Recorder {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::default());
        let all = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                tokio::spawn(visited(stream, Arc::clone(&all)));
            }
        });
        Self { address, seen, task: task.abort_handle() }
    }

    /// What came since this was asked last.
    pub(super) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    pub(super) fn has_seen(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

static NEXT: AtomicU64 = AtomicU64::new(0);

async fn visited(mut stream: TcpStream, seen: Arc<Mutex<Vec<Seen>>>) {
    let note = |what: Seen| seen.lock().unwrap().push(what);
    let (mut ahead, mut told) = (Vec::new(), false);
    loop {
        match read(&ahead, Manner::Strict) {
            Reading::Whole(request) => {
                ahead.drain(..request.length);
                // Nobody can take it for the answer to something else.
                let number = NEXT.fetch_add(1, SeqCst);
                let answer = format!("HTTP/1.1 200 OK\r\nX-Seen: {number}\r\nContent-Length: 2\r\n\r\nok");
                note(Seen::Whole(request, number));
                told = false;
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
                continue;
            }
            Reading::Wrong(wrong) => {
                return note(Seen::Wrong(format!("{wrong}: {:?}", String::from_utf8_lossy(&ahead))));
            }
            Reading::Part(Some(head)) if head.expects_continue() && !told => {
                told = true;
                let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
            }
            Reading::Part(_) => {}
        }
        if stream.read_buf(&mut ahead).await.unwrap_or(0) == 0 {
            return match read(&ahead, Manner::Strict) {
                Reading::Part(Some(head)) => note(Seen::Torn(head)),
                _ if ahead.is_empty() => {}
                _ => note(Seen::Wrong(format!("half a head: {:?}", String::from_utf8_lossy(&ahead)))),
            };
        }
    }
}

/// A relay before respool: what it gets is written down, connection by connection.
pub(super) struct Tap {
    pub(super) address: SocketAddr,
    got: Arc<Mutex<Vec<Vec<u8>>>>,
    task: AbortHandle,
}

impl Tap {
    pub(super) async fn before(respool: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, got) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<Vec<u8>>>>::default());
        let all = got.clone();
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                near.set_nodelay(true).unwrap();
                let all = all.clone();
                tokio::spawn(async move {
                    let far = TcpStream::connect(respool).await.unwrap();
                    far.set_nodelay(true).unwrap();
                    let at = {
                        let mut all = all.lock().unwrap();
                        all.push(Vec::new());
                        all.len() - 1
                    };
                    relay(near, far, |bytes| all.lock().unwrap()[at].extend_from_slice(bytes)).await;
                });
            }
        });
        Self { address, got, task: task.abort_handle() }
    }

    /// All that went to respool so far, by connection.
    pub(super) fn got(&self) -> Vec<Vec<u8>> {
        self.got.lock().unwrap().clone()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(near: TcpStream, far: TcpStream, note: impl Fn(&[u8])) {
    let ((mut from, mut back), (mut answers, mut to)) = (near.into_split(), far.into_split());
    let answered = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut answers, &mut back).await;
        let _ = back.shutdown().await;
    });
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        // Before it is sent: who sees it further on finds it here.
        note(&buffer[..length]);
        if to.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
    let _ = answered.await;
}
