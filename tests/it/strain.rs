//! The whole program under what should be too much for its memory. Bytes are held here;
//! latencies are the benchmark's.
//!
//! Sizes are small by default. `RESPOOL_STRAIN=whole` has them as large as the documentation says that they were,
//! `RESPOOL_STRAIN=nightly` those that take long.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::world::event_source;

mod crowd;
mod descriptors;
mod ending;
mod follower;
mod memory;
mod silent;
mod slow;
mod soak;
mod storm;

const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// How much of something there is: in a test among others, where it is asked for, and where there is a night for it.
fn sized<T>(small: T, whole: T, nightly: T) -> T {
    match std::env::var("RESPOOL_STRAIN").as_deref() {
        Ok("whole") => whole,
        Ok("nightly") => nightly,
        _ => small,
    }
}

/// What must be through before this is over, however slow the machine is.
async fn in_time<T>(test: impl Future<Output = T>) -> T {
    let most = Duration::from_secs(sized(60, 900, 3600));
    tokio::time::timeout(most, test).await.expect("the test hangs")
}

/// These bytes as a chunk.
fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// Asks for a stream, as an `EventSource` does.
async fn ask(address: SocketAddr, path: &str, id: &str) -> TcpStream {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = event_source(path, id).replace('\n', "\r\n");
    connection.write_all(format!("{head}\r\n\r\n").as_bytes()).await.unwrap();
    connection
}

/// Reads until this is there; all that was read.
async fn read_until(connection: &mut TcpStream, wanted: &str) -> Vec<u8> {
    let mut had = Vec::new();
    while !had.windows(wanted.len()).any(|window| window == wanted.as_bytes()) {
        let read = connection.read_buf(&mut had).await.unwrap();
        assert!(read > 0, "it ended before {wanted}: {}", String::from_utf8_lossy(&had));
    }
    had
}

/// Reads and forgets until the connection ends; how much that was.
async fn read_all(connection: &mut TcpStream) -> usize {
    let (mut buffer, mut all) = (vec![0; 16 << 10], 0);
    while let Ok(read @ 1..) = connection.read(&mut buffer).await {
        all += read;
    }
    all
}
