//! The upstream's answer as the network may bring it: torn at every byte, by an end or by a reset; byte by byte; all at once.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{
    load::serve,
    support::{Answer, End, Wire, reader, within, world::event_source},
};

const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
/// Frames that are split over chunks, several in one, and one with other line ends.
const CHUNKS: [&str; 4] = ["data: a\n\nda", "ta: b\n\nevent: c\ndata: c\n\n", ": beat\n", "data: d\r\n\r\n"];
const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";
const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n";

fn stream() -> String {
    let chunks = CHUNKS.map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).concat();
    format!("{STREAM}{chunks}0\r\n\r\n")
}

/// How the bytes come: so many, then the end of the connection; so many, then its reset; each alone; all together.
#[derive(Clone, Copy, Debug)]
enum How {
    End(usize),
    Reset(usize),
    Each,
    Together,
}

/// An upstream that does to each path what it says, the first time; then it answers as it should.
async fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(BTreeSet::new())));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(answer(socket, seen.clone()));
        }
    });
    address
}

async fn answer(mut socket: TcpStream, seen: Arc<Mutex<BTreeSet<String>>>) -> Option<()> {
    socket.set_nodelay(true).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    let path = String::from_utf8(head).unwrap().split(' ').nth(1)?.to_owned();
    let is_first = seen.lock().unwrap().insert(path.clone());
    let mut parts = path.split('/').skip(1);
    let text = match parts.next()? {
        "stream" => stream(),
        "page" => PAGE.to_owned(),
        _ => CHUNKED.to_owned(),
    };
    let how = parts.next()?;
    let at: usize = parts.next().and_then(|at| at.parse().ok()).unwrap_or(text.len());
    match how {
        "each" => {
            for byte in text.as_bytes() {
                socket.write_all(&[*byte]).await.ok()?;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        _ => socket.write_all(&text.as_bytes()[..if is_first { at } else { text.len() }]).await.ok()?,
    }
    if is_first && how == "reset" {
        socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
    } else if !is_first || !matches!(how, "end") {
        // Until the other side has enough of it.
        let _ = socket.read_u8().await;
    }
    None
}

fn path(of: &str, how: How) -> String {
    match how {
        How::End(at) => format!("/{of}/end/{at}"),
        How::Reset(at) => format!("/{of}/reset/{at}"),
        How::Each => format!("/{of}/each"),
        How::Together => format!("/{of}/together"),
    }
}

/// The answer to each of these at the same time.
async fn answers(of: &'static str, hows: &[How]) -> Vec<Option<Answer>> {
    let proxy = serve("[outage]\nhold = '30s'\n", upstream().await);
    let ask = |how: &How| {
        let path = path(of, *how);
        tokio::spawn(async move {
            let request = match of {
                "stream" => event_source(&path, "").replace('\n', "\r\n"),
                _ => format!("GET {path} HTTP/1.1\r\nHost: h"),
            };
            let mut client = Wire::to(proxy).await;
            client.send(format!("{request}\r\n\r\n")).await;
            client.try_answer(false).await
        })
    };
    let mut all = Vec::new();
    for asked in hows.iter().map(ask).collect::<Vec<_>>() {
        all.push(asked.await.unwrap());
    }
    all
}

fn every(length: usize) -> Vec<How> {
    let torn = (0..=length).flat_map(|at| [How::End(at), How::Reset(at)]);
    torn.chain([How::Each, How::Together]).collect()
}

fn sent(how: How, all: usize) -> usize {
    match how {
        How::End(at) | How::Reset(at) => at,
        How::Each | How::Together => all,
    }
}

/// What of a chunked body has come, with so many bytes of it.
fn come(chunked: &[u8], body: &mut Vec<u8>) {
    let Some(line) = chunked.windows(2).position(|end| end == b"\r\n") else { return };
    let size = usize::from_str_radix(std::str::from_utf8(&chunked[..line]).unwrap(), 16).unwrap();
    let rest = &chunked[line + 2..];
    body.extend_from_slice(&rest[..size.min(rest.len())]);
    if rest.len() > size + 2 {
        come(&rest[size + 2..], body);
    }
}

fn body_of(text: &str, sent: usize) -> Vec<u8> {
    let head = text.find("\r\n\r\n").unwrap() + 4;
    let (mut body, came) = (Vec::new(), text.as_bytes()[..sent].get(head..).unwrap_or_default());
    if text.contains("chunked") {
        come(came, &mut body)
    } else {
        body.extend_from_slice(came)
    }
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_torn_at_every_byte_is_whole_events_and_a_cut_or_is_asked_for_again() {
    within(async {
        let (text, head) = (stream(), STREAM.len());
        let hows = every(text.len());
        for (how, answer) in hows.iter().zip(answers("stream", &hows).await) {
            let answer = answer.unwrap_or_else(|| panic!("no answer: {how:?}"));
            let sent = sent(*how, text.len());
            // Without a head it is as if the upstream were away: it is asked again, and answers.
            let again = sent < head;
            // What ends in half a line end is not known to be whole, in a stream whose line ends have two bytes.
            let came = body_of(&text, if again { text.len() } else { sent });
            let wanted = reader::read(came.strip_suffix(b"\r").unwrap_or(&came), "");
            let held = reader::read(&answer.body, "");
            assert_eq!(held.data(), wanted.data(), "{how:?}");
            let whole = again || sent == text.len();
            assert_eq!(
                (answer.status(), answer.end),
                (200, if whole { End::Whole } else { End::Cut }),
                "{how:?}"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_torn_at_every_byte_is_a_502_or_what_came_and_a_cut() {
    within(async {
        for (of, text) in [("page", PAGE), ("chunked", CHUNKED)] {
            let head = text.find("\r\n\r\n").unwrap() + 4;
            let hows = every(text.len());
            for (how, answer) in hows.iter().zip(answers(of, &hows).await) {
                let sent = sent(*how, text.len());
                let answer = answer.unwrap_or_else(|| panic!("no answer: {of} {how:?}"));
                if sent < head {
                    assert_eq!(answer.status(), 502, "{of} {how:?}");
                    continue;
                }
                let end = if sent == text.len() { End::Whole } else { End::Cut };
                let came = body_of(text, sent);
                assert_eq!((answer.body, answer.end), (came, end), "{of} {how:?}");
            }
        }
    })
    .await;
}
