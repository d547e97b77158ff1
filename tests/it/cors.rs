//! A page of another origin that may ask with an id: `cors_allow_cursor`.

use crate::support::world::{Client, World};

const ALLOWED: &str = "[[route]]\npath = '/e'\ncors_allow_cursor = true\n";

/// A page asks whether it may; what the upstream is asked, and how it answers.
async fn asks(config: &str, method: &str, wants: &str, answer: &str) -> (Vec<String>, Client) {
    let mut world = World::new(config);
    let mut client = world
        .send(&format!(
            "{method} /e HTTP/1.1\nHost: h\nOrigin: http://page\nAccess-Control-Request-Method: GET\n\
             Access-Control-Request-Headers: {wants}"
        ))
        .await;
    let mut upstream = world.origin.accept().await;
    let asked = upstream.header("access-control-request-headers").map(str::to_owned);
    upstream.raw(answer).await;
    client.read().await;
    (asked.into_iter().collect(), client)
}

const STRICT: &str = "HTTP/1.1 204 OK\r\nAccess-Control-Allow-Origin: http://page\r\n\
                      Access-Control-Allow-Headers: Content-Type\r\nVary: Origin\r\n\r\n";

fn allowed(client: &Client) -> Option<&str> {
    client.headers.get("access-control-allow-headers").map(String::as_str)
}

#[tokio::test(start_paused = true)]
async fn a_page_that_may_ask_may_ask_with_an_id_where_the_route_says_so() {
    let (asked, client) = asks(ALLOWED, "OPTIONS", "content-type,last-event-id", STRICT).await;
    assert_eq!((asked, client.status), (vec!["content-type".to_owned()], 204));
    assert_eq!(allowed(&client), Some("Content-Type, Last-Event-ID"));
    assert_eq!(client.headers["access-control-allow-origin"], "http://page");
    let (asked, client) = asks(ALLOWED, "OPTIONS", "last-event-id", STRICT).await;
    assert_eq!((asked, allowed(&client)), (vec![], Some("Content-Type, Last-Event-ID")));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_added_that_the_upstream_did_not_send_unless_a_route_asks_for_it() {
    for config in ["", "[[route]]\npath = '/e'\n", "[[route]]\npath = '/other'\ncors_allow_cursor = true\n"] {
        let (asked, client) = asks(config, "OPTIONS", "last-event-id", STRICT).await;
        assert_eq!((asked, allowed(&client)), (vec!["last-event-id".to_owned()], Some("Content-Type")));
    }
    // Nor where the upstream says no, or was not asked about an id.
    let no = "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno";
    let (_, client) = asks(ALLOWED, "OPTIONS", "last-event-id", no).await;
    assert_eq!((client.status, allowed(&client), client.text()), (403, None, "no".to_owned()));
    let unknown = "HTTP/1.1 204 OK\r\nAccess-Control-Allow-Headers: Content-Type\r\n\r\n";
    assert_eq!(allowed(&asks(ALLOWED, "OPTIONS", "last-event-id", unknown).await.1), Some("Content-Type"));
    let (asked, client) = asks(ALLOWED, "OPTIONS", "content-type", STRICT).await;
    assert_eq!((asked, allowed(&client)), (vec!["content-type".to_owned()], Some("Content-Type")));
}
