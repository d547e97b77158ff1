//! Which requests share a stream, and which never may.

use crate::support::world::{Client, Exchange, World, event_source, settle};

const SHARED: &str = "[[route]]\npath = '/e*'\nmode = 'shared'\n";

/// A tenant: its request, and what tells it from others.
struct Tenant {
    request: String,
    client: Client,
    upstream: Exchange,
}

impl Tenant {
    async fn enter(world: &mut World, path: &str, headers: &str) -> Self {
        let request = event_source(path, "") + headers;
        let client = world.send(&request).await;
        let mut upstream = world.origin.accept().await;
        upstream.begin().await;
        Self { request, client, upstream }
    }
}

/// Two tenants, each with an event of its own; then each comes with the other's id.
async fn apart(config: &str, one: (&str, &str), other: (&str, &str)) {
    let mut world = World::new(config);
    let mut one = Tenant::enter(&mut world, one.0, one.1).await;
    let mut other = Tenant::enter(&mut world, other.0, other.1).await;
    one.upstream.events(["one's"]).await;
    other.upstream.events(["other's"]).await;
    assert_eq!(one.client.data().await, ["one's"], "{config}");
    assert_eq!(other.client.data().await, ["other's"]);
    let id = one.client.id().await;
    one.upstream.events(["one's secret"]).await;
    let before_the_secret = id.replace("-1", "-0");
    for id in [&id, &before_the_secret] {
        let mut thief = world.send(&format!("{}\nLast-Event-ID: {id}", other.request)).await;
        settle().await;
        // Private: a connection of its own; shared: its own request is asked for.
        if !world.origin.is_quiet().await {
            let mut upstream = world.origin.accept().await;
            assert_eq!(upstream.header("last-event-id"), None);
            upstream.begin().await;
        }
        thief.read().await;
        assert_eq!(thief.resume(), "gap; reason=generation", "{config}");
        assert!(!thief.text().contains("one's"), "{}", thief.text());
    }
}

#[tokio::test(start_paused = true)]
async fn pitfall_an_id_of_one_session_shows_nothing_of_anothers() {
    for config in ["", SHARED] {
        for (one, other) in [
            (("/e", "\nAuthorization: Bearer 1"), ("/e", "\nAuthorization: Bearer 2")),
            (("/e", "\nCookie: sid=1"), ("/e", "\nCookie: sid=2")),
            (("/e", "\nX-Api-Key: 1"), ("/e", "\nX-Api-Key: 2")),
            (("/e?token=1", ""), ("/e?token=2", "")),
            (("/e1", ""), ("/e2", "")),
            (("/e", "\nX-Whatever: 1"), ("/e", "")),
            (("/e", "\nOrigin: http://one"), ("/e", "\nOrigin: http://other")),
        ] {
            apart(config, one, other).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_anonymous_clients_share_nothing_by_default() {
    let mut world = World::new("");
    let mut one = Tenant::enter(&mut world, "/e", "").await;
    let mut other = Tenant::enter(&mut world, "/e", "").await;
    one.upstream.events(["one's"]).await;
    other.upstream.events(["other's"]).await;
    assert_eq!(one.client.data().await, ["one's"]);
    assert_eq!(other.client.data().await, ["other's"]);
    assert_ne!(one.client.id().await, other.client.id().await);
}

/// What cannot be known is answered alike: forged, another's, ended.
#[tokio::test(start_paused = true)]
async fn pitfall_forged_anothers_and_ended_ids_are_answered_alike() {
    let mut world = World::new("");
    let mut other = Tenant::enter(&mut world, "/e", "\nCookie: a=1").await;
    other.upstream.events(["a"]).await;
    let anothers = other.client.id().await;
    let mut ended = Tenant::enter(&mut world, "/e", "").await;
    ended.upstream.events(["a"]).await;
    let end = ended.client.id().await;
    drop(ended);
    tokio::time::sleep(std::time::Duration::from_secs(999)).await;
    let forged = "r000000000000000000000000-1".to_owned();
    let shared = "r0000000000000-1".to_owned();
    let mut answers = Vec::new();
    for id in [anothers, end, forged, shared] {
        let mut client = world.send(&event_source("/e", &id)).await;
        let mut upstream = world.origin.accept().await;
        assert_eq!(upstream.header("last-event-id"), None);
        upstream.begin().await;
        upstream.events(["b"]).await;
        client.read().await;
        assert_eq!(client.held().data(), ["b"]);
        answers.push((client.head.clone(), client.text().len()));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_means_the_same_resumes_although_its_harmless_headers_changed() {
    let mut world = World::new("");
    let mut tenant = Tenant::enter(&mut world, "/e?a=1", "\nCookie: sid=1\nUser-Agent: one").await;
    tenant.upstream.events(["a"]).await;
    let id = tenant.client.id().await;
    let request =
        event_source("/e?a=1", &id) + "\nUser-Agent: other\nCookie: sid=1\nOrigin: http://h\nTraceparent: 0";
    assert_eq!(world.request(&request).await.resume(), "resumed; missed=0");
}

#[tokio::test(start_paused = true)]
async fn a_key_of_parts_lets_those_share_who_have_them_in_common() {
    let mut world =
        World::new("[[route]]\npath = '/e'\nmode = 'shared'\nadmit = 'none'\nkey = ['path', 'query:room']\n");
    let mut one = Tenant::enter(&mut world, "/e?room=1&x=1", "\nCookie: a=1").await;
    let mut other = Tenant::enter(&mut world, "/e?room=2", "").await;
    let mut third = world.event_source("/e?x=2&room=1", "").await;
    one.upstream.events(["1"]).await;
    other.upstream.events(["2"]).await;
    assert_eq!((one.client.data().await, third.data().await), (vec!["1".to_owned()], vec!["1".to_owned()]));
    assert_eq!(other.client.data().await, ["2"]);
    assert_eq!(world.origin.dials(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_path_that_could_be_read_as_another_is_nobodys_shared_stream() {
    let mut world =
        World::new("[[route]]\npath = '/e/**'\nmode = 'shared'\nkey = ['path']\nadmit = 'none'\n");
    for path in ["/e/../secret", "/e/%2e%2e/secret", "/e/a%2Fb"] {
        for _ in 0..2 {
            let _ = Tenant::enter(&mut world, path, "").await;
        }
    }
    assert_eq!(world.origin.dials(), 6, "each has a connection of its own");
}

#[tokio::test(start_paused = true)]
async fn after_a_credential_is_revoked_a_resume_gets_the_upstreams_no_and_no_event() {
    let mut world = World::new("[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\n");
    let mut revoked = Tenant::enter(&mut world, "/e", "\nAuthorization: x").await;
    revoked.upstream.events(["a"]).await;
    let id = revoked.client.id().await;
    drop(revoked.client);
    settle().await;
    revoked.upstream.events(["not for them any more"]).await;
    let mut back = world.send(&format!("{}\nLast-Event-ID: {id}", revoked.request)).await;
    let mut asked = world.origin.accept().await;
    asked.raw("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 2\r\n\r\nno").await;
    back.read().await;
    assert_eq!((back.status, back.text().as_str()), (401, "no"));
    assert_eq!(back.headers["www-authenticate"], "Bearer");
}

/// Whether a client is given what another one's request on a shared route brings.
async fn meets(key: &str, one: (&str, &str), other: (&str, &str)) -> bool {
    let mut world = World::new(&format!("{SHARED}{key}\n"));
    let _one = Tenant::enter(&mut world, one.0, one.1).await;
    let mut both = world.send(&(event_source(other.0, "") + other.1)).await;
    let mut asked = world.origin.accept().await;
    asked.begin().await;
    asked.events(["its own"]).await;
    both.data().await != ["its own"]
}

/// The upstream says yes to what it reads, and a key is what we read.
#[tokio::test(start_paused = true)]
async fn who_may_mean_something_else_to_some_server_shares_nothing() {
    const ROOM: &str = "key = ['path', 'query:room']";
    const COOKIE: &str = "key = ['path', 'cookie:room']";
    const HEADER: &str = "key = ['path', 'header:x-dir']";
    for (key, one, other) in [
        (ROOM, ("/e?room=s", ""), ("/e?Room=s", "")),
        (ROOM, ("/e?room=", ""), ("/e?room", "")),
        (ROOM, ("/e?room=s", ""), ("/e?room=s&lastEventId=x;room=p", "")),
        ("", ("/e", ""), ("/e?lastEventId=x;token=p", "")),
        (COOKIE, ("/e", "\nCookie: room=s"), ("/e", "\nCookie: x=\"; room=s; y=\"")),
        (COOKIE, ("/e", "\nCookie: room=s"), ("/e", "\nCookie: r%6fom=p; room=s")),
        (COOKIE, ("/e", "\nCookie: room=s"), ("/e", "\nCookie: a=1, room=p; room=s")),
        (HEADER, ("/e", "\nX-Dir: s"), ("/e", "\nX-Dir: s\nX_Dir: p")),
    ] {
        assert!(!meets(key, one, other).await, "{key} {other:?}");
        assert!(meets(key, one, one).await, "{key} {one:?}");
    }
}

/// Where the key of a shared route leaves credentials out, the upstream is asked about each client; about one that comes
/// back to a stream of its own nobody is.
#[tokio::test(start_paused = true)]
async fn a_stream_of_ones_own_on_a_shared_route_is_for_nobody_else() {
    for admit in ["upstream", "none"] {
        let route = "key = ['path']\nstamp = 'always'\nids = 'replace'\n";
        let mut world = World::new(&format!("{SHARED}{route}admit = '{admit}'\n"));
        for request in ["POST /e HTTP/1.1\nHost: h\nContent-Length: 0", &event_source("/e", "17")] {
            let mut owner = world.send(&format!("{request}\nAuthorization: me")).await;
            let mut upstream = world.origin.accept().await;
            upstream.begin().await;
            upstream.events(["a"]).await;
            let id = owner.id().await;
            upstream.events(["the owner's"]).await;
            for (credentials, its_own) in
                [("", false), ("\nAuthorization: you", false), ("\nAuthorization: me", true)]
            {
                let mut client = world.send(&(event_source("/e", &id) + credentials)).await;
                settle().await;
                if let Some(mut asked) = world.origin.waiting().await {
                    asked.refuse(403).await;
                }
                client.read().await;
                assert_eq!(client.status, if its_own { 200 } else { 403 }, "{credentials}");
                assert_eq!(client.text().contains("the owner's"), its_own, "{credentials}");
            }
        }
    }
}
