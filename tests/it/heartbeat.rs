//! What is sent when nothing was for a while.

use std::time::Duration;

use tokio::time::sleep;

use crate::support::world::{Client, Exchange, World, event_source};

const SECOND: Duration = Duration::from_secs(1);
const AGENT: &str = "\nUser-Agent: python-httpx/0.28.1";

/// A client that was sent one event, and half of another; and all that it was sent in half a minute after that.
async fn idle(config: &str, agent: &str) -> (String, Client, Exchange) {
    let mut world = World::new(&format!("[[route]]\npath = '/e'\nprime = false\n{config}"));
    let mut client = world.send(&(event_source("/e", "") + agent)).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    upstream.send("data: a\n\ndata: half").await;
    client.read().await;
    let before = client.body.len();
    sleep(31 * SECOND).await;
    client.read().await;
    (String::from_utf8_lossy(&client.body[before..]).into_owned(), client, upstream)
}

#[tokio::test(start_paused = true)]
async fn pitfall_no_shape_suits_every_client_so_a_route_chooses() {
    let padded = format!(":{}\n", " ".repeat(98));
    for (config, sent, stumbling) in [
        ("", ":\n:\n", ":\n:\n"),
        ("heartbeat_shape = 'comment'", ":\n:\n", ":\n:\n"),
        ("heartbeat_shape = 'comment-frame'", ":\n\n:\n\n", ":\n:\n"),
        (
            "heartbeat_shape = 'event:beat'\nheartbeat = '20s'",
            "event: beat\ndata: \n\n",
            "event: beat\ndata: \n\n",
        ),
        ("heartbeat_pad = '100B'\nheartbeat = '20s'", &padded, &padded),
        ("heartbeat = 'none'", "", ""),
    ] {
        assert_eq!(idle(config, "").await.0, sent, "{config}");
        assert_eq!(idle(config, AGENT).await.0, stumbling, "{config}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_is_an_event_stands_between_frames_and_has_no_id() {
    let (_, mut client, mut upstream) = idle("heartbeat_shape = 'event:beat'\n", "").await;
    upstream.send(" whole\n\n").await;
    client.read().await;
    let held = client.held();
    let seen: Vec<_> = held.events.iter().map(|event| (event.kind.as_str(), event.data.as_str())).collect();
    assert_eq!(seen, [("message", "a"), ("beat", ""), ("beat", ""), ("message", "half whole")]);
    assert_eq!(held.events[1].id, held.events[0].id, "its place is where it was");
    assert_ne!(held.events[3].id, held.events[0].id);
}

#[tokio::test(start_paused = true)]
async fn pitfall_a_heartbeat_is_never_written_into_a_frame() {
    for shape in ["comment", "comment-frame", "event:beat"] {
        let (sent, mut client, mut upstream) = idle(&format!("heartbeat_shape = '{shape}'\n"), "").await;
        assert!(!sent.is_empty() && !sent.contains("half"), "{shape}: {sent:?}");
        upstream.send(" whole\n\n").await;
        client.read().await;
        let held = client.held();
        let messages = held.events.iter().filter(|event| event.kind == "message");
        assert_eq!(
            messages.map(|event| event.data.as_str()).collect::<Vec<_>>(),
            ["a", "half whole"],
            "{shape}"
        );
        assert!(
            client.text().contains("\n\ndata: half whole\nid: r")
                || client.text().contains(":\ndata: half whole\nid: r")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn pitfall_a_heartbeat_is_as_large_as_what_holds_small_writes_wants_it() {
    let (sent, ..) =
        idle("heartbeat_pad = '64KiB'\nheartbeat_shape = 'event:beat'\nheartbeat = '20s'\n", "").await;
    assert_eq!(sent.len(), 64 << 10);
    assert!(sent.starts_with(":   ") && sent.ends_with("  \nevent: beat\ndata: \n\n"));
}
