//! Proxies on the way that do what proxies should not.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::{Instant, sleep_until, timeout},
};

/// What one does.
#[derive(Clone, Copy)]
pub(super) enum Way {
    /// Hands on so many bytes at a time.
    BuffersBytes(usize),
    /// Hands on what has come, so often.
    BuffersTime(Duration),
    /// Compresses for who takes it.
    Compresses,
    /// Ends a connection on which nothing came for so long.
    EndsIdle(Duration),
    /// Hands on the head with the first bytes that follow it.
    HoldsHead,
    /// Removes a header of the request.
    Strips(&'static str),
}

impl Way {
    /// A proxy that does so, before `to`; where it listens.
    pub(super) async fn to(self, to: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                client.set_nodelay(true).unwrap();
                tokio::spawn(self.carry(client, to));
            }
        });
        address
    }

    /// Carries one request and its answer; it ends with either side.
    async fn carry(self, client: TcpStream, to: SocketAddr) {
        let (mut client, mut answer) = client.into_split();
        let Some(request) = head(&mut client).await else { return };
        let (mut from, mut server) = TcpStream::connect(to).await.unwrap().into_split();
        let kept: Vec<&str> = request.split("\r\n").filter(|line| !self.strips(line)).collect();
        server.write_all(kept.join("\r\n").as_bytes()).await.unwrap();
        let Some(head) = head(&mut from).await else { return };
        let head = match self {
            Self::Compresses if request.contains("gzip") => {
                head.replacen("\r\n", "\r\nContent-Encoding: gzip\r\n", 1)
            }
            _ => head,
        };
        tokio::select! {
            _ = self.back(head, &mut from, &mut answer) => {}
            // The client is gone.
            _ = client.read_u8() => {}
        }
    }

    fn strips(self, line: &str) -> bool {
        matches!(self, Self::Strips(name) if line.to_lowercase().starts_with(name))
    }

    /// The answer, as this one hands it on.
    async fn back(self, head: String, from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) -> Option<()> {
        let mut held = head.into_bytes();
        if !matches!(self, Self::HoldsHead) {
            to.write_all(&std::mem::take(&mut held)).await.ok()?;
        }
        let mut flush = Instant::now();
        loop {
            match self {
                Self::EndsIdle(time) => drop(timeout(time, from.read_buf(&mut held)).await.ok()?.ok()?),
                Self::BuffersTime(time) => {
                    flush += time;
                    while let Ok(read) = tokio::time::timeout_at(flush, from.read_buf(&mut held)).await {
                        read.ok().filter(|read| *read > 0)?;
                    }
                    sleep_until(flush).await;
                }
                _ => {
                    from.read_buf(&mut held).await.ok().filter(|read| *read > 0)?;
                }
            }
            let ready = match self {
                Self::BuffersBytes(size) => held.len() / size * size,
                _ => held.len(),
            };
            to.write_all(&held[..ready]).await.ok()?;
            held.drain(..ready);
        }
    }
}

/// Reads a head, and no more.
async fn head(from: &mut OwnedReadHalf) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(from.read_u8().await.ok()?);
    }
    Some(String::from_utf8(head).unwrap())
}
