//! What the admin's listener answers, and to whom.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use respool::{admin::Admin, body::Relay, metrics::Metrics};
use tower::ServiceExt as _;

struct World {
    admin: Admin,
    ready: Arc<AtomicBool>,
}

fn world() -> World {
    let ready = Arc::new(AtomicBool::new(true));
    World { admin: Admin::new(Metrics::new(), ready.clone()), ready }
}

impl World {
    async fn ask(&self, method: &str, target: &str, hosts: &[&str]) -> Response<Relay> {
        let mut request = Request::builder().method(method).uri(target);
        for host in hosts {
            request = request.header("host", *host);
        }
        self.admin.clone().oneshot(request.body(()).unwrap()).await.unwrap()
    }

    async fn status(&self, method: &str, target: &str, hosts: &[&str]) -> u16 {
        self.ask(method, target, hosts).await.status().as_u16()
    }
}

#[tokio::test]
async fn live_is_live_and_ready_is_what_it_is_told() {
    let w = world();
    assert_eq!(w.status("GET", "/live", &["127.0.0.1:9911"]).await, 200);
    assert_eq!(w.status("GET", "/ready", &["127.0.0.1:9911"]).await, 200);
    w.ready.store(false, Ordering::Relaxed);
    assert_eq!(w.status("GET", "/ready", &["127.0.0.1:9911"]).await, 503);
    assert_eq!(w.status("GET", "/live", &["127.0.0.1:9911"]).await, 200);
}

#[tokio::test]
async fn metrics_are_open_metrics() {
    let response = world().ask("GET", "/metrics", &["localhost"]).await;
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    let text = response.into_body().collect().await.unwrap().to_bytes();
    assert!(text.ends_with(b"# EOF\n"));
}

#[tokio::test]
async fn nothing_else_is_there_and_nothing_is_changed() {
    let w = world();
    assert_eq!(w.status("GET", "/", &["localhost"]).await, 404);
    assert_eq!(w.status("GET", "/live/", &["localhost"]).await, 404);
    assert_eq!(w.status("HEAD", "/live", &["localhost"]).await, 200);
    let refused = w.ask("POST", "/ready", &["localhost"]).await;
    assert_eq!((refused.status().as_u16(), refused.headers()["allow"].to_str().unwrap()), (405, "GET, HEAD"));
}

#[tokio::test]
async fn case_19_a_page_cannot_ask_under_its_own_name() {
    let w = world();
    for own in
        ["localhost", "LOCALHOST:1", "localhost.:9911", "127.0.0.1", "10.2.3.4:80", "[::1]:9911", "[fe80::1]"]
    {
        assert_eq!(w.status("GET", "/metrics", &[own]).await, 200, "{own}");
    }
    let others =
        ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:9911", "a@localhost@b", "", "a b"];
    for other in others {
        assert_eq!(w.status("GET", "/metrics", &[other]).await, 421, "{other}");
    }
    assert_eq!(w.status("GET", "/metrics", &["localhost", "evil.example"]).await, 421);
    assert_eq!(w.status("GET", "http://evil.example/metrics", &["localhost"]).await, 421);
    // No browser sends a request without a host, and some probes do.
    assert_eq!(w.status("GET", "/live", &[]).await, 200);
}
