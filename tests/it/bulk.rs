//! 100 MB each way through the binary, with flat memory.

use crate::support::{Binary, Origin, within};

const PIECE: usize = 1 << 20;
const PIECES: usize = 100;
/// The most memory that the binary may ever take, in KiB: far less than what passes, far more than it needs.
const PEAK: u64 = 32 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_download_passes_in_little_memory() {
    within(async {
        let origin = Origin::start(|mut visit| async move {
            visit.request().await;
            visit.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", PIECE * PIECES)).await;
            for piece in 0..PIECES {
                visit.send(vec![piece as u8; PIECE]).await;
            }
        })
        .await;
        let binary = Binary::to(origin.address).await;
        let mut client = binary.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.head().await;
        // All of it piles up somewhere if anything on the way reads ahead of the client.
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        for piece in 0..PIECES {
            let (bytes, _) = client.exactly(PIECE).await;
            assert!(bytes.len() == PIECE && bytes.iter().all(|byte| *byte == piece as u8), "piece {piece}");
        }
        assert!(binary.peak() < PEAK, "{} KiB", binary.peak());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_upload_passes_in_little_memory() {
    within(async {
        let origin = Origin::start(|mut visit| async move {
            visit.request().await;
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            for piece in 0..PIECES {
                let (bytes, _) = visit.exactly(PIECE).await;
                assert!(
                    bytes.len() == PIECE && bytes.iter().all(|byte| *byte == piece as u8),
                    "piece {piece}"
                );
            }
            visit.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        })
        .await;
        let binary = Binary::to(origin.address).await;
        let mut client = binary.connect().await;
        client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", PIECE * PIECES)).await;
        for piece in 0..PIECES {
            client.send(vec![piece as u8; PIECE]).await;
        }
        assert_eq!(client.answer(false).await.text(), "ok");
        assert!(binary.peak() < PEAK, "{} KiB", binary.peak());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_large_body_of_a_resume_is_dropped_as_it_comes() {
    within(async {
        let origin = Origin::start(|mut visit| async move {
            visit.request().await;
            visit.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: a\n\n").await;
            visit.unasked().await;
        })
        .await;
        let binary = Binary::to(origin.address).await;
        let mut client = binary.connect().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n").await;
        client.head().await;
        let (chunk, _) = client.exactly("30\r\ndata: a\nid: r".len() + 26).await;
        let text = String::from_utf8(chunk).unwrap();
        let id = text.split_once("id: ").unwrap().1.trim();
        let mut back = binary.connect().await;
        let length = PIECE * PIECES;
        back.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nLast-Event-ID: {id}\r\nContent-Length: {length}\r\n\r\n"
        ))
        .await;
        assert!(back.head().await.contains(&"respool-resume: resumed; missed=0".to_owned()));
        for piece in 0..PIECES {
            back.send(vec![piece as u8; PIECE]).await;
        }
        assert!(binary.peak() < PEAK, "{} KiB", binary.peak());
    })
    .await;
}
