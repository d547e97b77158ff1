//! Chat completions and the like: a question is put once, however often its answer is cut.

use std::time::Duration;

use tokio::time::sleep;

use crate::support::world::{Client, Ended, Exchange, World, settle};

const PRESET: &str = "[[route]]\npreset = 'openai'\n";
const BODY: &str = "{\"model\":\"m\",\"stream\":true,\"messages\":[]}";

fn token(n: u32) -> String {
    format!("{{\"object\":\"chat.completion.chunk\",\"choices\":[{{\"delta\":{{\"content\":\"{n}\"}}}}]}}")
}

fn framed(data: &str) -> String {
    format!("data: {data}\n\n")
}

/// Puts the question, with the last id that it has.
async fn ask(world: &World, path: &str, id: &str) -> Client {
    let id = if id.is_empty() { String::new() } else { format!("\nLast-Event-ID: {id}") };
    let length = BODY.len();
    let head =
        format!("POST {path} HTTP/1.1\nHost: h\nAuthorization: Bearer k\nContent-Length: {length}{id}");
    let mut client = world.send(&head).await;
    client.write(BODY.as_bytes()).await;
    client
}

/// A question that is being answered.
async fn asked(world: &mut World, path: &str) -> (Client, Exchange) {
    let client = ask(world, path, "").await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    (client, upstream)
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_an_answer_is_read_on_and_the_question_is_not_put_again() {
    for path in ["/v1/chat/completions", "/v1/completions", "/v1/responses"] {
        let mut world = World::new(PRESET);
        let (mut client, mut upstream) = asked(&mut world, path).await;
        upstream.send(framed(&token(1))).await;
        assert_eq!(client.data().await, [token(1)]);
        assert_eq!((client.status, client.resume()), (200, "fresh"));
        let id = client.id().await;
        drop(client);
        settle().await;
        upstream.send(framed(&token(2)) + &framed(&token(3)) + &framed("[DONE]")).await;
        upstream.finish().await;
        let mut client = ask(&world, path, &id).await;
        assert_eq!(client.data().await, [token(2), token(3), "[DONE]".to_owned()], "{path}");
        assert_eq!((client.status, client.resume()), (200, "resumed; missed=3"));
        assert_eq!((client.end, world.origin.dials()), (Some(Ended::Properly), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn all_tokens_of_the_time_that_it_waits_are_kept() {
    let mut world = World::new(PRESET);
    let (mut client, mut upstream) = asked(&mut world, "/v1/responses").await;
    upstream.send(framed(&token(0))).await;
    let id = client.id().await;
    drop(client);
    settle().await;
    let missed: Vec<String> = (1..=6000).map(token).collect();
    upstream.events(&missed).await;
    let mut client = ask(&world, "/v1/responses", &id).await;
    assert_eq!(client.data().await, missed);
    assert_eq!((client.status, client.resume()), (200, "resumed; missed=6000"));
}

/// A user who pressed stop looks like a lost connection, and pays for what is still made.
#[tokio::test(start_paused = true)]
async fn nobody_is_waited_for_longer_than_half_a_minute() {
    let mut world = World::new(PRESET);
    let (mut client, mut upstream) = asked(&mut world, "/v1/chat/completions").await;
    upstream.send(framed(&token(1))).await;
    client.read().await;
    drop(client);
    sleep(Duration::from_secs(29)).await;
    assert!(!upstream.is_closed().await);
    sleep(Duration::from_secs(2)).await;
    assert!(upstream.is_closed().await);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_stream_passes_as_it_is() {
    let mut world = World::new(PRESET);
    let mut client = ask(&world, "/v1/chat/completions", "").await;
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    world.origin.accept().await.raw(answer).await;
    client.read().await;
    assert_eq!((client.status, client.resume(), &*client.text()), (200, "", "{}"));
}
