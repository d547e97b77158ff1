use std::time::Duration;

use tokio::time::sleep;

use super::{OWN, World, header, text};
use crate::support::world::{Ended, settle};

const SHARED: &str = "[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\nadmit = 'none'\n";
const ALLOWED: &str = "admin_actions = ['purge', 'drain']\n";
const BROWSER: &[(&str, &str)] = &[("host", "127.0.0.1:9911"), ("origin", "http://127.0.0.1:9911")];

async fn post(w: &World, path: &str) -> (u16, String) {
    let answer = w.send("POST", path, BROWSER).await;
    (answer.status().as_u16(), text(answer).await)
}

#[tokio::test(start_paused = true)]
async fn nothing_is_done_unless_the_configuration_allows_it() {
    for (file, purge, drain) in [
        ("", 403, 403),
        ("admin_actions = []\n", 403, 403),
        ("admin_actions = ['purge']\n", 200, 403),
        ("admin_actions = ['drain']\n", 403, 200),
    ] {
        let mut w = World::new(&format!("{file}{SHARED}"));
        let (_client, mut upstream) = w.world.open("/e").await;
        upstream.events(["a", "b"]).await;
        for (path, expected) in [("/purge/1", purge), ("/drain", drain)] {
            let (code, said) = post(&w, path).await;
            assert_eq!(code, expected, "{file}: {said}");
            assert_eq!(code == 403, said.contains("admin_actions = ["), "{said}");
        }
        let status = w.status().await;
        let events = status["streams"][0]["window"]["events"].as_u64();
        assert_eq!(events, Some(if purge == 200 { 0 } else { 2 }));
        assert_eq!(status["drain"]["draining"], drain == 200);
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_page_itself_asks_for_it() {
    let w = World::new(&format!("{ALLOWED}{SHARED}"));
    let host = ("host", "127.0.0.1:9911");
    for headers in [
        vec![host],
        vec![host, ("origin", "http://evil.example")],
        vec![host, ("origin", "null")],
        vec![host, ("origin", "http://127.0.0.1:9911"), ("sec-fetch-site", "cross-site")],
        vec![("origin", "http://127.0.0.1:9911")],
        vec![("host", "localhost"), ("origin", "http://127.0.0.1:9911")],
    ] {
        for path in ["/drain", "/purge/1"] {
            let answer = w.send("POST", path, &headers).await;
            assert_eq!(answer.status(), 403, "{headers:?}");
            assert_eq!(header(&answer, "access-control-allow-origin"), "");
        }
    }
    let rebound = [("host", "evil.example"), ("origin", "http://evil.example")];
    assert_eq!(w.send("POST", "/drain", &rebound).await.status(), 421);
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        let answer = w.send(method, "/drain", BROWSER).await;
        assert_eq!((answer.status().as_u16(), header(&answer, "allow")), (405, "POST"), "{method}");
    }
    assert!(!w.world.app.drain().is_draining());
}

#[tokio::test(start_paused = true)]
async fn after_a_purge_a_resume_is_a_gap_and_who_has_everything_goes_on() {
    let mut w = World::new(&format!("{ALLOWED}{SHARED}"));
    let (mut first, mut upstream) = w.world.open("/e").await;
    upstream.events(["a"]).await;
    let early = first.id().await;
    upstream.events(["b", "c"]).await;
    let late = first.id().await;
    assert_eq!(w.world.event_source("/e", &early).await.resume(), "resumed; missed=2");
    let number = w.status().await["streams"][0]["number"].as_u64().unwrap();
    let (code, said) = post(&w, &format!("/purge/{number}")).await;
    assert_eq!(code, 200, "{said}");
    assert_eq!(w.world.event_source("/e", &early).await.resume(), "gap; reason=expired");
    assert_eq!(w.world.event_source("/e", &late).await.resume(), "resumed; missed=0");
    upstream.events(["d"]).await;
    assert_eq!(first.data().await, ["a", "b", "c", "d"], "who was there has lost nothing");
    assert_eq!(w.world.event_source("/e", &late).await.resume(), "resumed; missed=1");
    let seen = w.status().await["streams"][0]["window"].clone();
    assert_eq!((&seen["low"], &seen["tail"], &seen["events"]), (&4.into(), &4.into(), &1.into()));
}

#[tokio::test(start_paused = true)]
async fn a_session_is_purged_by_its_number_and_no_other_is() {
    let mut w = World::new(ALLOWED);
    let mut ids = Vec::new();
    let mut kept = Vec::new();
    for _ in 0..2 {
        let (mut client, mut upstream) = w.world.open("/p").await;
        upstream.events(["a"]).await;
        ids.push(client.id().await);
        upstream.events(["b"]).await;
        client.read().await;
        kept.push(upstream);
    }
    settle().await;
    let status = w.status().await;
    let second =
        status["streams"].as_array().unwrap().iter().map(|stream| stream["number"].as_u64().unwrap()).max();
    assert_eq!(post(&w, &format!("/purge/{}", second.unwrap())).await.0, 200);
    assert_eq!(w.world.event_source("/p", &ids[0]).await.resume(), "resumed; missed=1");
    let again = w.world.send(&crate::support::world::event_source("/p", &ids[1])).await;
    let mut upstream = w.world.origin.accept().await;
    upstream.begin().await;
    let mut again = again;
    again.read().await;
    assert_eq!(again.resume(), "gap; reason=expired");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_cannot_be_purged() {
    let w = World::new(ALLOWED);
    for path in
        ["/purge/1", "/purge/", "/purge/x", "/purge/-1", "/purge/99999999999999999999999", "/purge/1/2"]
    {
        let (code, said) = post(&w, path).await;
        assert_eq!(code, 404, "{path}");
        assert!(said.contains("no stream"), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_cuts_everybody_and_shows() {
    let mut w = World::new(&format!("{ALLOWED}{SHARED}"));
    let (mut client, mut upstream) = w.world.open("/e").await;
    upstream.events(["a"]).await;
    assert_eq!(w.status().await["drain"]["seconds"], serde_json::Value::Null);
    assert_eq!(post(&w, "/drain").await, (200, "draining\n".to_owned()));
    assert_eq!(post(&w, "/drain").await, (200, "draining already\n".to_owned()));
    assert_eq!(w.code("GET", "/ready", OWN).await, 503);
    sleep(Duration::from_secs(9)).await;
    client.read().await;
    assert_eq!((client.held().data(), client.end), (vec!["a"], Some(Ended::Cut)));
    let status = w.status().await;
    assert_eq!(status["drain"]["draining"], true);
    assert!(status["drain"]["seconds"].as_f64().unwrap() >= 9.0);
    assert_eq!(status["counts"]["cuts"]["drain"], 1);
}
