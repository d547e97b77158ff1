//! What the admin's listener answers, and to whom.

/// What is done when a button is pressed, and who may press it.
mod actions;
/// The page's files.
mod page;
/// What the status says.
mod status;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use respool::{
    admin::{Admin, Parts},
    body::Relay,
    config::{Config, Flags},
};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::support::world;

/// A world, and the admin that tells of it.
struct World {
    world: world::World,
    admin: Admin,
    ready: Arc<AtomicBool>,
}

const OWN: &[&str] = &["127.0.0.1:9911"];

impl World {
    fn new(file: &str) -> Self {
        let flags = Flags { upstream: Some("http://origin:80".into()), ..Flags::default() };
        let config = Config::resolve(&flags, &|_| None, Some(("test.toml", file))).unwrap();
        let world = world::World::new(file);
        let ready = Arc::new(AtomicBool::new(true));
        let admin = Admin::new(Parts {
            metrics: world.app.metrics().clone(),
            registry: world.app.registry().clone(),
            drain: world.app.drain().clone(),
            record: world.app.record().clone(),
            upstream: config.upstream.to_string(),
            ready: ready.clone(),
            settings: config.admin_settings,
        });
        Self { world, admin, ready }
    }

    async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Response<Relay> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.admin.clone().oneshot(request.body(()).unwrap()).await.unwrap()
    }

    async fn ask(&self, method: &str, target: &str, hosts: &[&str]) -> Response<Relay> {
        let hosts: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
        self.send(method, target, &hosts).await
    }

    async fn code(&self, method: &str, target: &str, hosts: &[&str]) -> u16 {
        self.ask(method, target, hosts).await.status().as_u16()
    }

    async fn status_text(&self) -> String {
        text(self.ask("GET", "/status", OWN).await).await
    }

    async fn status(&self) -> Value {
        serde_json::from_str(&self.status_text().await).unwrap()
    }
}

async fn text(response: Response<Relay>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn header<'a>(response: &'a Response<Relay>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test(start_paused = true)]
async fn live_is_live_and_ready_is_what_it_is_told() {
    let w = World::new("");
    assert_eq!(w.code("GET", "/live", OWN).await, 200);
    assert_eq!(w.code("GET", "/ready", OWN).await, 200);
    w.ready.store(false, Ordering::Relaxed);
    assert_eq!(w.code("GET", "/ready", OWN).await, 503);
    assert_eq!(w.code("GET", "/live", OWN).await, 200);
    w.ready.store(true, Ordering::Relaxed);
    w.world.app.drain().begin();
    assert_eq!(w.code("GET", "/ready", OWN).await, 503);
}

#[tokio::test(start_paused = true)]
async fn metrics_are_open_metrics() {
    let response = World::new("").ask("GET", "/metrics", &["localhost"]).await;
    let kind = header(&response, "content-type").to_owned();
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    assert!(text(response).await.ends_with("# EOF\n"));
}

#[tokio::test(start_paused = true)]
async fn nothing_else_is_there_and_nothing_is_changed() {
    let w = World::new("");
    for other in
        ["/live/", "/status/", "/status/event", "/purge", "/drain/", "/../etc/passwd", "/favicon.ico"]
    {
        assert_eq!(w.code("GET", other, OWN).await, 404, "{other}");
        assert_eq!(w.code("POST", other, OWN).await, 404, "{other}");
    }
    for path in ["/", "/live", "/ready", "/metrics", "/status", "/status/events", "/status.js"] {
        let head = w.ask("HEAD", path, OWN).await;
        assert_eq!(head.status(), 200, "{path}");
        assert_eq!(header(&head, "content-type"), header(&w.ask("GET", path, OWN).await, "content-type"));
        let refused = w.ask("POST", path, OWN).await;
        assert_eq!((refused.status().as_u16(), header(&refused, "allow")), (405, "GET, HEAD"), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn case_19_a_page_cannot_ask_under_its_own_name() {
    let w = World::new("");
    for own in
        ["localhost", "LOCALHOST:1", "localhost.:9911", "127.0.0.1", "10.2.3.4:80", "[::1]:9911", "[fe80::1]"]
    {
        for path in ["/metrics", "/", "/status", "/status/events"] {
            assert_eq!(w.code("GET", path, &[own]).await, 200, "{own}");
        }
    }
    let others = [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example:9911",
        "a@localhost",
        "a@localhost@b",
        "",
        "a b",
    ];
    for other in others {
        for path in
            ["/live", "/metrics", "/", "/status", "/status/events", "/status.js", "/drain", "/nothing"]
        {
            assert_eq!(w.code("GET", path, &[other]).await, 421, "{other} {path}");
            assert_eq!(w.code("POST", path, &[other]).await, 421, "{other} {path}");
        }
    }
    assert_eq!(w.code("GET", "/metrics", &["localhost", "evil.example"]).await, 421);
    assert_eq!(w.code("GET", "http://evil.example/metrics", &["localhost"]).await, 421);
    let refused = text(w.ask("GET", "/status", &["evil.example"]).await).await;
    assert!(refused.contains("admin_hosts"), "{refused}");
    // No browser sends a request without a host, and some probes do.
    assert_eq!(w.code("GET", "/live", &[]).await, 200);
}

#[tokio::test(start_paused = true)]
async fn names_that_the_operator_gives_are_answered_too() {
    let w = World::new("admin_hosts = ['respool.internal', 'Status.Example.']");
    for own in
        ["respool.internal", "respool.internal:9911", "RESPOOL.internal.", "status.example", "localhost"]
    {
        assert_eq!(w.code("GET", "/status", &[own]).await, 200, "{own}");
    }
    for other in ["internal", "a.respool.internal", "respool.internal.evil.example", "respool-internal"] {
        assert_eq!(w.code("GET", "/status", &[other]).await, 421, "{other}");
    }
}
