//! An event stream is written without hyper, and its connection lives on behind it.

use tokio::sync::watch;

use crate::support::{Binary, End, Origin, Wire, moment, until, within};

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

fn stream(path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{more}\r\n")
}

/// An upstream that says an event at once, and ten more and the end when it is told to; and `ok` to other requests.
async fn talker() -> (Origin, watch::Sender<bool>) {
    let (go, gone) = watch::channel(false);
    let origin = Origin::start(move |mut visit| {
        let mut gone = gone.clone();
        async move {
            while visit.request().await {
                if visit.head_of_request().starts_with("GET /next ") {
                    visit.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
                    continue;
                }
                visit.send(format!("{HEAD}9\r\ndata: 0\n\n\r\n")).await;
                let _ = gone.wait_for(|go| *go).await;
                for n in 1..=10 {
                    let event = format!("data: {n}\n\n");
                    visit.send(format!("{:x}\r\n{event}\r\n", event.len())).await;
                }
                visit.send("0\r\n\r\n").await;
            }
        }
    })
    .await;
    (origin, go)
}

/// What an answer's events say, in order.
fn said(text: &str) -> Vec<u32> {
    text.lines().filter_map(|line| line.strip_prefix("data: ")?.parse().ok()).collect()
}

#[tokio::test]
async fn behind_an_event_stream_its_connection_serves_the_next_request() {
    within(async {
        let (origin, go) = talker().await;
        let binary = Binary::to(origin.address).await;
        // Sent behind the stream's end, together with its request, and while it goes on: at once, and piece by piece.
        for (together, meanwhile) in
            [("", &[][..]), (NEXT, &[]), ("", &[NEXT]), ("GET /nex", &["t HTTP/1.1\r\n", "Host: a\r\n\r\n"])]
        {
            go.send_replace(false);
            let mut client = binary.connect().await;
            let before = origin.heads().len();
            client.send(stream("/e", "") + together).await;
            until(|| origin.heads().len() > before).await;
            moment().await;
            for piece in meanwhile {
                client.send(piece).await;
                moment().await;
            }
            assert_eq!(origin.heads().len(), before + 1, "nothing is asked before the stream has ended");
            go.send_replace(true);
            let answer = client.answer(false).await;
            assert_eq!((said(&answer.text()), answer.end), ((0..=10).collect(), End::Whole));
            let next = match (together, meanwhile) {
                ("", []) => client.ask(NEXT).await,
                _ => client.answer(false).await,
            };
            assert_eq!((next.text().as_str(), next.end), ("ok", End::Whole));
            // And a stream after that.
            let again = client.ask(stream("/e", "")).await;
            assert_eq!(said(&again.text()), (0..=10).collect::<Vec<_>>());
        }
    })
    .await;
}

#[tokio::test]
async fn who_asks_for_a_close_has_one_behind_the_streams_end() {
    within(async {
        let (origin, go) = talker().await;
        let binary = Binary::to(origin.address).await;
        go.send_replace(true);
        let mut client = binary.connect().await;
        let answer = client.ask(stream("/e", "Connection: close\r\n")).await;
        assert_eq!((said(&answer.text()), answer.end), ((0..=10).collect(), End::Whole));
        assert_eq!(answer.header("connection"), Some("close"));
        assert_eq!(client.rest().await, (Vec::new(), End::Closed));
    })
    .await;
}

#[tokio::test]
async fn what_is_no_request_behind_a_stream_is_told_so_by_us() {
    within(async {
        let (origin, go) = talker().await;
        let binary = Binary::to(origin.address).await;
        go.send_replace(true);
        for together in [true, false] {
            let mut client = binary.connect().await;
            let wrong = "GET / HTTP/1.1\r\nHost : a\r\n\r\n";
            client.send(stream("/e", "") + if together { wrong } else { "" }).await;
            assert_eq!(client.answer(false).await.end, End::Whole);
            if !together {
                client.send(wrong).await;
            }
            let refusal = client.answer(false).await;
            assert_eq!((refusal.status(), refusal.header("connection")), (400, Some("close")));
            assert!(refusal.text().starts_with("respool: "), "{refusal:?}");
        }
    })
    .await;
}

/// Whether each of these has come whole, in chunks of their length.
async fn whole(mut client: Wire, events: u32) {
    let answer = client.answer(false).await;
    assert_eq!((said(&answer.text()), answer.end), ((0..events).collect(), End::Whole));
}

#[tokio::test]
async fn events_of_any_size_are_in_chunks_of_their_length() {
    within(async {
        let event = |n: u32| format!("data: {n}\n: {}\n\n", "x".repeat(1 << n));
        let said: String = (0..20).map(event).collect();
        let origin = Origin::saying(format!("{HEAD}{:x}\r\n{said}\r\n0\r\n\r\n", said.len())).await;
        let binary = Binary::to(origin.address).await;
        for n in 0..10 {
            let mut client = binary.connect().await;
            client.send(stream(&format!("/{n}"), "")).await;
            whole(client, 20).await;
        }
    })
    .await;
}
