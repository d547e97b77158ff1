//! A connection, read and written byte by byte, on either side.

use std::{fmt, io};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, ToSocketAddrs},
};

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// One side of a connection.
pub(crate) struct Wire {
    io: Box<dyn Io>,
    /// What was read but not asked for yet.
    ahead: Vec<u8>,
}

/// How a response ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// As its framing says, with the connection still open.
    Whole,
    /// With the connection.
    Closed,
    /// With the connection, before its framing said so.
    Cut,
    /// With a reset.
    Reset,
}

/// A response as it was on the wire.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) line: String,
    pub(crate) headers: Vec<String>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<String>,
    pub(crate) end: End,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.line.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Without what belongs to one connection, and in no particular order.
    pub(crate) fn end_to_end(mut self) -> Self {
        let hop = ["connection:", "keep-alive:", "transfer-encoding:"];
        self.headers.retain(|line| !hop.iter().any(|name| line.to_lowercase().starts_with(name)));
        self.headers.sort();
        self
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {:?} {:?} {:?}", self.line, self.headers, self.text(), self.trailers, self.end)
    }
}

fn header<'a>(lines: &'a [String], name: &str) -> Option<&'a str> {
    lines.iter().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

impl Wire {
    pub(crate) fn new(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self { io: Box::new(io), ahead: Vec::new() }
    }

    pub(crate) async fn to(address: impl ToSocketAddrs) -> Self {
        let stream = TcpStream::connect(address).await.expect("nobody listens");
        stream.set_nodelay(true).unwrap();
        Self::new(stream)
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.io.write_all(bytes.as_ref()).await.expect("the other side is gone");
    }

    /// Like `send`, to a side that may be gone.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.io.write_all(bytes.as_ref()).await
    }

    /// Closes our side, as who has said all and still listens.
    pub(crate) async fn shut(&mut self) {
        self.io.shutdown().await.unwrap();
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(&request).await;
        let is_head = request.as_ref().starts_with(b"HEAD ");
        self.answer(is_head).await
    }

    /// Reads a head: first line and headers, without the blank line. `None` if the connection ended before one
    /// began.
    pub(crate) async fn try_head(&mut self) -> Option<Vec<String>> {
        while !contains(&self.ahead, b"\r\n\r\n") {
            if self.more().await.unwrap_or(0) == 0 {
                assert!(self.ahead.is_empty(), "half a head: {}", String::from_utf8_lossy(&self.ahead));
                return None;
            }
        }
        let end = find(&self.ahead, b"\r\n\r\n").unwrap();
        let head: Vec<u8> = self.ahead.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head[..end]).into_owned();
        Some(head.split("\r\n").map(str::to_owned).collect())
    }

    pub(crate) async fn head(&mut self) -> Vec<String> {
        self.try_head().await.expect("the connection ended instead of a head")
    }

    /// Reads a whole response (an informational one counts as one).
    pub(crate) async fn answer(&mut self, to_head: bool) -> Answer {
        self.try_answer(to_head).await.expect("the connection ended instead of an answer")
    }

    /// The same; `None` if the connection ended before one began.
    pub(crate) async fn try_answer(&mut self, to_head: bool) -> Option<Answer> {
        let mut head = self.try_head().await?;
        let line = head.remove(0);
        let mut answer =
            Answer { line, headers: head, body: Vec::new(), trailers: Vec::new(), end: End::Whole };
        if to_head || answer.status() < 200 || matches!(answer.status(), 204 | 304) {
            return Some(answer);
        }
        if answer.header("transfer-encoding").is_some() {
            self.chunks(&mut answer).await;
        } else if let Some(length) = answer.header("content-length") {
            let length = length.parse().unwrap();
            (answer.body, answer.end) = self.exactly(length).await;
        } else {
            (answer.body, answer.end) = self.rest().await;
        }
        Some(answer)
    }

    async fn chunks(&mut self, answer: &mut Answer) {
        loop {
            let Some(line) = self.line().await else {
                answer.end = End::Cut;
                return;
            };
            let size = usize::from_str_radix(line.split(';').next().unwrap(), 16).expect("no chunk size");
            if size == 0 {
                break;
            }
            let (chunk, end) = self.exactly(size).await;
            answer.body.extend(chunk);
            if end != End::Whole || self.line().await.is_none() {
                answer.end = End::Cut;
                return;
            }
        }
        while let Some(line) = self.line().await.filter(|line| !line.is_empty()) {
            answer.trailers.push(line);
        }
    }

    /// A request's body in chunks, with its trailers: as it would read in a response.
    pub(crate) async fn chunked(&mut self) -> (Vec<u8>, Vec<String>, End) {
        let mut answer = Answer {
            line: String::new(),
            headers: Vec::new(),
            body: Vec::new(),
            trailers: Vec::new(),
            end: End::Whole,
        };
        self.chunks(&mut answer).await;
        (answer.body, answer.trailers, answer.end)
    }

    async fn line(&mut self) -> Option<String> {
        while !contains(&self.ahead, b"\r\n") {
            if self.more().await.unwrap_or(0) == 0 {
                return None;
            }
        }
        let end = find(&self.ahead, b"\r\n").unwrap();
        let line: Vec<u8> = self.ahead.drain(..end + 2).collect();
        Some(String::from_utf8_lossy(&line[..end]).into_owned())
    }

    /// So many bytes, or as many as there are.
    pub(crate) async fn exactly(&mut self, length: usize) -> (Vec<u8>, End) {
        while self.ahead.len() < length {
            if self.more().await.unwrap_or(0) == 0 {
                return (std::mem::take(&mut self.ahead), End::Cut);
            }
        }
        (self.ahead.drain(..length).collect(), End::Whole)
    }

    /// All that comes until the connection ends, and how it does.
    pub(crate) async fn rest(&mut self) -> (Vec<u8>, End) {
        let end = loop {
            match self.more().await {
                Ok(0) => break End::Closed,
                Ok(_) => {}
                Err(_) => break End::Reset,
            }
        };
        (std::mem::take(&mut self.ahead), end)
    }

    /// Reads until that is enough, or the connection ends, however it does. Cancel-safe: what came is kept.
    pub(crate) async fn rest_or(&mut self, is_enough: impl Fn(&[u8]) -> bool) {
        while !is_enough(&self.ahead) && self.more().await.unwrap_or(0) > 0 {}
    }

    /// What was read but not asked for yet.
    pub(crate) fn ahead(&self) -> &[u8] {
        &self.ahead
    }

    /// The same, and it is asked for now.
    pub(crate) fn take_ahead(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.ahead)
    }

    async fn more(&mut self) -> io::Result<usize> {
        self.io.read_buf(&mut self.ahead).await
    }

    /// What has come without being asked for, after a moment.
    pub(crate) async fn unasked(&mut self) -> Vec<u8> {
        let _ = tokio::time::timeout(std::time::Duration::from_millis(150), self.more()).await;
        self.ahead.clone()
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    find(bytes, wanted).is_some()
}
