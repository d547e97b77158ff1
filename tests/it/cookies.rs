//! Cookies that the upstream replaces: a client that comes back with the new one is the one that had the former.

use std::time::Duration;

use tokio::time::sleep;

use crate::support::world::{Client, Exchange, World, event_source, settle};

const BY_COOKIE: &str = "[[route]]\npath = '/e'\nkey = ['path', 'cookie:sid']\n";

fn stream(cookie: &str, id: &str) -> String {
    format!("{}\nCookie: {cookie}", event_source("/e", id))
}

/// A session whose client had an event: what it would come back with.
async fn there(world: &mut World, cookie: &str) -> (Client, String, Exchange) {
    let mut client = world.send(&stream(cookie, "")).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    upstream.events(["a"]).await;
    let id = client.id().await;
    (client, id, upstream)
}

/// A request, and what its answer sets.
async fn answered(world: &mut World, request: &str, set: &[&str]) {
    let mut client = world.send(request).await;
    let mut asked = world.origin.accept().await;
    let lines: String = set.iter().map(|line| format!("Set-Cookie: {line}\r\n")).collect();
    asked.raw(format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n{lines}\r\n")).await;
    client.read().await;
    assert_eq!(client.status, 200);
}

async fn replaced(world: &mut World, cookie: &str, set: &str) {
    answered(world, &format!("GET /other HTTP/1.1\nHost: h\nCookie: {cookie}"), &[set]).await;
}

/// A client comes back, and finds its session or is new.
async fn comes_back(world: &mut World, request: &str, found: bool) {
    let mut client = world.send(request).await;
    settle().await;
    let asked = world.origin.waiting().await;
    assert_eq!(asked.is_none(), found, "{request}");
    if let Some(mut asked) = asked {
        asked.begin().await;
    }
    client.read().await;
    let expected = if found { "resumed; missed=0" } else { "gap; reason=generation" };
    assert_eq!(client.resume(), expected, "{request}");
}

/// A session of the first cookies, of which the upstream replaces some: is a client with the last ones its client?
async fn check(config: &str, had: &str, set: &[&str], has: &str, found: bool) {
    let mut world = World::new(config);
    let (client, id, _upstream) = there(&mut world, had).await;
    drop(client);
    answered(&mut world, &format!("GET /other HTTP/1.1\nHost: h\nCookie: {had}"), set).await;
    comes_back(&mut world, &stream(has, &id), found).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_with_a_replaced_cookie_is_the_one_that_had_the_former() {
    for (had, set, has) in [
        ("sid=a", &["sid=b"][..], "sid=b"),
        ("sid=a", &["sid=b; Path=/; HttpOnly; Max-Age=60"], "sid=b"),
        ("x=1; sid=a; y=2", &["sid=b"], "x=1; sid=b; y=2"),
        ("x=1; sid=a; y=2", &["y=3", "sid=b"], "x=1; sid=b; y=3"),
        ("sid=a", &["sid=; Path=/old; Max-Age=0", "sid=b; Path=/"], "sid=b"),
        ("sid=a", &["sid=b"], "sid=a"),
        ("sid=a", &[], "sid=a"),
    ] {
        for config in ["", "[[route]]\npath = '/e'\nkey = ['header:cookie']\n"] {
            check(config, had, set, has, true).await;
        }
        check(BY_COOKIE, had, set, has, true).await;
    }
    check(BY_COOKIE, "sid=a; x=1", &["sid=b"], "y=2; sid=b; z=3", true).await;
    check("[[route]]\npath = '/e'\nkey = ['path']\n", "sid=a", &[], "sid=b", true).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_with_any_other_cookie_is_another() {
    for (had, set, has) in [
        ("sid=a", &[][..], "sid=b"),
        ("sid=a", &["sid=b"], "sid=c"),
        ("sid=a", &["other=b"], "sid=b"),
        ("sid=a", &["sid=b"], "other=b"),
        // Deleted.
        ("sid=a", &["sid="], "sid="),
        ("sid=a", &["sid=b; Max-Age=0"], "sid=b"),
        ("sid=a", &["sid=b; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], "sid=b"),
        // New, and not replaced.
        ("x=1", &["sid=b"], "x=1; sid=b"),
        // Of two with one name it is not known which.
        ("sid=a; sid=a2", &["sid=b"], "sid=b; sid=a2"),
        ("sid=a", &["sid=b"], "sid=b; sid=a"),
    ] {
        for config in ["", BY_COOKIE] {
            if (config, had) != (BY_COOKIE, "x=1") {
                check(config, had, set, has, false).await;
            }
        }
    }
    // All others count, too.
    for has in ["sid=b; x=2", "sid=b", "x=1; sid=b; y=2", "x=1"] {
        check("", "x=1; sid=a", &["sid=b"], has, false).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_cookie_replaces_is_all_that_may_be_another() {
    let (client, id) = ("sid=b", "r000000000000000000000000-1");
    for (request, found) in [
        (stream(client, "%"), true),
        (stream(client, "%") + "\nUser-Agent: x", true),
        (stream(client, "%").replace("Host: h", "Host: g"), false),
        (stream(client, "%") + "\nAuthorization: x", false),
        (stream(client, "%").replace("/e ", "/e?x "), false),
        (stream(client, "%").replace("/e ", "/f "), false),
        (stream(client, id), false),
    ] {
        let mut world = World::new("");
        let (client, id, _upstream) = there(&mut world, "sid=a").await;
        drop(client);
        replaced(&mut world, "sid=a", "sid=b").await;
        comes_back(&mut world, &request.replace('%', &id), found).await;
    }
    // What another host replaces is another cookie.
    let mut world = World::new("");
    let (client, id, _upstream) = there(&mut world, "sid=a").await;
    drop(client);
    answered(&mut world, "GET /other HTTP/1.1\nHost: g\nCookie: sid=a", &["sid=b"]).await;
    comes_back(&mut world, &stream("sid=b", &id), false).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_the_answer_is_by_which_it_is_replaced() {
    const CONFIG: &str = "[[route]]\npath = '/pass/*'\nmode = 'pass'\n[[route]]\npath = '/s'\nmode = 'shared'\nkey = ['path']\n";
    let cookie = "Host: h\nCookie: sid=a";
    let events = "Accept: text/event-stream";
    for (request, answer) in [
        (format!("GET /other HTTP/1.1\n{cookie}"), "200 OK\r\nContent-Length: 0"),
        (format!("HEAD /other HTTP/1.1\n{cookie}"), "200 OK\r\nContent-Length: 5"),
        (format!("POST /other HTTP/1.1\nContent-Length: 0\n{cookie}"), "303 Other\r\nContent-Length: 0"),
        (format!("GET /pass/x HTTP/1.1\n{cookie}"), "200 OK\r\nContent-Length: 0"),
        (format!("GET /pass/x HTTP/1.1\n{cookie}"), "200 OK\r\nContent-Type: text/event-stream"),
        (format!("GET /e HTTP/1.1\n{events}\n{cookie}"), "401 No\r\nContent-Length: 0"),
        (format!("GET /e HTTP/1.1\n{events}\n{cookie}"), "200 OK\r\nContent-Type: text/event-stream"),
        (format!("GET /s HTTP/1.1\n{events}\n{cookie}"), "200 OK\r\nContent-Type: text/event-stream"),
        (
            format!("GET /ws HTTP/1.1\nConnection: upgrade\nUpgrade: x\n{cookie}"),
            "101 Up\r\nConnection: upgrade\r\nUpgrade: x",
        ),
    ] {
        // The first time it opens a shared stream, the second time it is an admission to it.
        for times in [1, 2] {
            let mut world = World::new(CONFIG);
            let (client, id, _upstream) = there(&mut world, "sid=a").await;
            drop(client);
            let mut all = Vec::new();
            for time in 1..=times {
                let mut client = world.send(&request).await;
                let mut asked = world.origin.accept().await;
                let set = if time == times { "Set-Cookie: sid=b\r\n" } else { "" };
                let close = if answer.contains("Length") { "Connection: close\r\n" } else { "" };
                asked.raw(format!("HTTP/1.1 {answer}\r\n{close}{set}\r\n")).await;
                client.read().await;
                assert_eq!(client.headers.contains_key("set-cookie"), time == times, "{request}");
                all.push((client, asked));
            }
            comes_back(&mut world, &stream("sid=b", &id), true).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_answer_that_begins_the_stream_may_replace_it() {
    let mut world = World::new("");
    let mut client = world.send(&stream("sid=a", "")).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin_with("Set-Cookie: sid=b\n").await;
    upstream.events(["a"]).await;
    let id = client.id().await;
    drop(client);
    comes_back(&mut world, &stream("sid=b", &id), true).await;
    // Both are its own, from whatever tab.
    comes_back(&mut world, &stream("sid=a", &id), true).await;
}

#[tokio::test(start_paused = true)]
async fn a_chain_of_replacements_counts_for_linger() {
    let mut world = World::new("");
    let (client, id, _upstream) = there(&mut world, "sid=a").await;
    replaced(&mut world, "sid=a", "sid=b").await;
    sleep(Duration::from_secs(60)).await;
    replaced(&mut world, "sid=b", "sid=c").await;
    drop(client);
    sleep(Duration::from_secs(59)).await;
    comes_back(&mut world, &stream("sid=c", &id), true).await;
    // It has come with that one: what it came of no longer matters.
    sleep(Duration::from_secs(100)).await;
    comes_back(&mut world, &stream("sid=c", &id), true).await;
    replaced(&mut world, "sid=c", "sid=d").await;
    sleep(Duration::from_secs(100)).await;
    comes_back(&mut world, &stream("sid=d", &id), true).await;
    comes_back(&mut world, &stream("sid=b", &id), false).await;
}

#[tokio::test(start_paused = true)]
async fn a_replacement_counts_for_the_longest_linger_and_no_longer() {
    let long = "[[route]]\npath = '/long'\nlinger = '10m'\n";
    for (config, counts) in [("", 120), (long, 600)] {
        for (after, found) in [(counts - 1, true), (counts + 1, false)] {
            let mut world = World::new(config);
            // Its client is there all the time.
            let (client, id, _upstream) = there(&mut world, "sid=a").await;
            replaced(&mut world, "sid=a", "sid=b").await;
            sleep(Duration::from_secs(after)).await;
            drop(client);
            comes_back(&mut world, &stream("sid=b", &id), found).await;
        }
    }
}

/// Many have one cookie before they are told apart. Each comes back by the id of its own session, as before.
#[tokio::test(start_paused = true)]
async fn a_cookie_that_several_sessions_share_is_replaced_for_each() {
    let mut world = World::new("");
    let (one, first, mut upstream) = there(&mut world, "sid=anon").await;
    let (two, second, _upstream) = there(&mut world, "sid=anon").await;
    drop((one, two));
    replaced(&mut world, "sid=anon", "sid=b1").await;
    replaced(&mut world, "sid=anon", "sid=b2").await;
    upstream.events(["b"]).await;
    let mut client = world.request(&stream("sid=b1", &first)).await;
    assert_eq!((client.data().await, client.resume()), (vec!["b".to_owned()], "resumed; missed=1"));
    comes_back(&mut world, &stream("sid=b2", &second), true).await;
    // A stream that one of them opens from then on is of its own cookie, and the other's has nothing to do with it.
    let (third, id, _upstream) = there(&mut world, "sid=b1").await;
    drop(third);
    comes_back(&mut world, &stream("sid=b2", &id), false).await;
    comes_back(&mut world, &stream("sid=anon", &id), false).await;
}

/// An id of ours cannot be guessed. By one of the upstream's, or by none, nobody is found with another cookie.
#[tokio::test(start_paused = true)]
async fn only_by_an_id_of_ours() {
    for conflict in [false, true] {
        let mut world = World::new("");
        world.peer = Some([10, 0, 0, 1].into());
        let mut client = world.send(&stream("sid=a", "")).await;
        let mut upstream = world.origin.accept().await;
        upstream.begin().await;
        upstream.send("id: 7\ndata: a\n\n").await;
        client.read().await;
        drop(client);
        replaced(&mut world, "sid=a", "sid=b").await;
        let mut client = world.send(&stream("sid=b", if conflict { "" } else { "7" })).await;
        let mut asked = world.origin.accept().await;
        if conflict {
            asked.refuse(409).await
        } else {
            asked.begin().await
        }
        client.read().await;
        let expected = if conflict { (409, "") } else { (200, "foreign") };
        assert_eq!((client.status, client.resume()), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn so_many_cookies_that_nobody_sends_them_are_found_by_their_key_alone() {
    let many = |last: &str| (0..64).map(|n| format!("c{n}={n}; ")).collect::<String>() + "sid=" + last;
    check("", &many("a"), &["sid=b"], &many("b"), false).await;
    check("", &many("a"), &[], &many("a"), true).await;
    check(BY_COOKIE, &many("a"), &["sid=b"], &many("b"), true).await;
}

/// Cookies of which some server may see others than we do: they count as they stand, and are nobody's former ones.
#[tokio::test(start_paused = true)]
async fn a_cookie_that_may_be_read_in_another_way_is_not_the_one_that_we_see() {
    let mut world = World::new("[[route]]\npath = '/e'\nkey = ['cookie:sid']\n");
    let mut owner = world.send(&(event_source("/e", "") + "\nCookie: sid=1; theme=dark")).await;
    let mut upstream = world.origin.accept().await;
    upstream.begin().await;
    upstream.events(["the owner's"]).await;
    let id = owner.id().await;
    upstream.events(["the owner's, too"]).await;
    for cookie in ["x=\"; sid=1; y=\"", "Sid=2; sid=1", "s%69d=2; sid=1"] {
        let mut other = world.send(&format!("{}\nCookie: {cookie}", event_source("/e", &id))).await;
        world.origin.accept().await.begin().await;
        other.read().await;
        assert_eq!(other.resume(), "gap; reason=generation", "{cookie}");
        assert!(!other.text().contains("the owner's"), "{cookie}");
    }
    let mut back = world.send(&(event_source("/e", &id) + "\nCookie: theme=light; sid=1")).await;
    assert_eq!(back.data().await, ["the owner's, too"]);
}
