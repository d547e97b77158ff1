//! Event servers, of the kinds that there are.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::{sync::watch, time::sleep};

use crate::support::Origin;

/// What there is to know of a connection when it is told something.
pub(super) struct Asker {
    /// The first is 1.
    pub(super) number: usize,
    /// Its request's head, in lower case.
    pub(super) head: String,
    /// What had happened when it came.
    pub(super) from: u64,
}

impl Asker {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

type Says<T> = Arc<dyn Fn(&Asker, u64) -> T + Send + Sync>;

/// A server to which something happens again and again, and what it tells of it.
#[derive(Clone)]
pub(super) struct Server {
    every: Duration,
    status: Says<u16>,
    hello: Says<String>,
    event: Says<String>,
    heartbeat: Option<(Duration, Says<String>)>,
    resumes: bool,
}

impl Server {
    /// Something happens so often, and every connection is told so in these words.
    pub(super) fn new(every: u64, event: impl Fn(&Asker, u64) -> String + Send + Sync + 'static) -> Self {
        Self {
            every: Duration::from_millis(every),
            status: Arc::new(|_, _| 200),
            hello: Arc::new(|_, _| String::new()),
            event: Arc::new(event),
            heartbeat: None,
            resumes: false,
        }
    }

    /// Each connection is greeted.
    pub(super) fn hello(self, hello: impl Fn(&Asker, u64) -> String + Send + Sync + 'static) -> Self {
        Self { hello: Arc::new(hello), ..self }
    }

    /// Each connection has a heartbeat of its own.
    pub(super) fn heartbeat(
        self,
        every: u64,
        heartbeat: impl Fn(&Asker, u64) -> String + Send + Sync + 'static,
    ) -> Self {
        Self { heartbeat: Some((Duration::from_millis(every), Arc::new(heartbeat))), ..self }
    }

    /// Not everybody is answered.
    pub(super) fn status(self, status: impl Fn(&Asker, u64) -> u16 + Send + Sync + 'static) -> Self {
        Self { status: Arc::new(status), ..self }
    }

    /// Who comes back with the number of an event is told of all that came after it.
    pub(super) fn resuming(self) -> Self {
        Self { resumes: true, ..self }
    }

    /// Begins, on a port of its own.
    pub(super) async fn start(self) -> (Origin, SocketAddr) {
        let (tell, told) = watch::channel(0_u64);
        let every = self.every;
        tokio::spawn(async move {
            while !tell.is_closed() {
                sleep(every).await;
                tell.send_modify(|number| *number += 1);
            }
        });
        let connections = Arc::new(AtomicUsize::new(0));
        let origin = Origin::start(move |mut visit| {
            let (server, mut told, connections) = (self.clone(), told.clone(), connections.clone());
            async move {
                if !visit.request().await {
                    return;
                }
                let head = visit.head_of_request().to_lowercase();
                let number = connections.fetch_add(1, SeqCst) + 1;
                let asker = Asker { number, head, from: *told.borrow_and_update() };
                let status = (server.status)(&asker, 0);
                if status != 200 {
                    let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nno");
                    drop(visit.try_send(answer).await);
                    return;
                }
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
                let first = head.to_owned() + &chunk(&(server.hello)(&asker, 0));
                if visit.try_send(first).await.is_err() {
                    return;
                }
                let had = asker.header("last-event-id").and_then(|id| id.parse().ok());
                let mut said = had.filter(|_| server.resumes).unwrap_or(asker.from);
                let mut beats = 0;
                loop {
                    let now = *told.borrow_and_update();
                    let news: String = (said + 1..=now).map(|number| chunk(&(server.event)(&asker, number))).collect();
                    said = said.max(now);
                    if visit.try_send(news).await.is_err() {
                        return;
                    }
                    let Some((every, heartbeat)) = &server.heartbeat else {
                        if told.changed().await.is_err() {
                            return;
                        }
                        continue;
                    };
                    // Its own clock, whatever happens meanwhile.
                    let due = visit.opened + *every * (beats + 1);
                    tokio::select! {
                        changed = told.changed() => if changed.is_err() { return },
                        () = tokio::time::sleep_until(due) => {
                            beats += 1;
                            if visit.try_send(chunk(&heartbeat(&asker, u64::from(beats)))).await.is_err() {
                                return;
                            }
                        }
                    }
                }
            }
        })
        .await;
        let address = origin.address;
        (origin, address)
    }
}

fn chunk(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{:x}\r\n{text}\r\n", text.len()) }
}
