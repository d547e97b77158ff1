//! The page, and what it needs; all of it is in the program.

use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{self, HeaderName},
    request::Parts,
    uri::Authority,
};

use super::network::Network;
use crate::{
    body::{self, Relay},
    route::has_own_origin,
};

const HTML: &str = include_str!("page.html");
const SCRIPT: &str = include_str!("page.js");
const STYLE: &str = include_str!("page.css");
const ICON: &str = include_str!("page.svg");

/// Answers for the page. Clones answer alike.
#[derive(Clone, Debug)]
pub(super) struct Page {
    html: String,
    /// The ports of the two relays.
    ports: [u16; 2],
    network: Network,
}

impl Page {
    /// A page that reads from the relays at these ports, on the host that it is itself asked from.
    pub(super) fn new(direct: u16, respool: u16, network: Network) -> Self {
        let html = HTML.replace("{direct}", &direct.to_string()).replace("{respool}", &respool.to_string());
        Self { html, ports: [direct, respool], network }
    }

    /// The answer to one request. A `POST /cut` from the page itself cuts the network.
    pub(super) fn answer<B>(&self, request: Request<B>) -> Response<Relay> {
        let request = request.into_parts().0;
        let Some(host) = host(&request) else {
            return said(StatusCode::BAD_REQUEST, "a host is needed, of letters, digits, dots and hyphens\n");
        };
        let mut answer = match (&request.method, request.uri.path()) {
            (&Method::GET | &Method::HEAD, path) => self.file(path),
            (&Method::POST, "/cut") => self.cut(&request),
            _ => said(StatusCode::METHOD_NOT_ALLOWED, "there is GET /, and POST /cut\n"),
        };
        if let Ok(policy) = HeaderValue::try_from(policy(host, self.ports)) {
            answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        answer
    }

    fn file(&self, path: &str) -> Response<Relay> {
        match path {
            "/" => typed("text/html; charset=utf-8", self.html.clone()),
            "/page.js" => typed("text/javascript; charset=utf-8", SCRIPT),
            "/page.css" => typed("text/css; charset=utf-8", STYLE),
            "/page.svg" => typed("image/svg+xml", ICON),
            _ => said(StatusCode::NOT_FOUND, "there is GET /, and POST /cut\n"),
        }
    }

    fn cut(&self, request: &Parts) -> Response<Relay> {
        // Any page on the web can have a browser send this.
        if !has_own_origin(request) {
            return said(StatusCode::FORBIDDEN, "only the demo's own page cuts the network\n");
        }
        let begun = self.network.cut();
        said(StatusCode::OK, if begun { "cut\n" } else { "not cut: it is cut already, or the demo ends\n" })
    }
}

/// The host that is asked, without its port; nothing that could mean something else in a policy.
fn host(request: &Parts) -> Option<String> {
    let authority = Authority::try_from(request.headers.get(header::HOST)?.as_bytes()).ok()?;
    let host = authority.host();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    (!host.is_empty() && host.bytes().all(plain)).then(|| host.to_owned())
}

/// What the page may load and reach: itself, and the two relays.
fn policy(host: String, ports: [u16; 2]) -> String {
    // The policy's grammar knows no IPv6 addresses.
    let host = if host.starts_with('[') { "*".to_owned() } else { host };
    let [direct, respool] = ports;
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
         connect-src 'self' http://{host}:{direct} http://{host}:{respool}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

fn said(status: StatusCode, text: &'static str) -> Response<Relay> {
    let mut answer = typed("text/plain; charset=utf-8", text);
    *answer.status_mut() = status;
    answer
}

fn typed(kind: &'static str, text: impl Into<bytes::Bytes>) -> Response<Relay> {
    let mut answer = Response::new(body::full(text));
    let headers: [(HeaderName, &'static str); 3] = [
        (header::CONTENT_TYPE, kind),
        // The ports are others each time.
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in headers {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn ask(page: &Page, method: &str, path: &str, headers: &[(&str, &str)]) -> Response<Relay> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        page.answer(request.body(()).unwrap())
    }

    #[tokio::test]
    async fn the_page_knows_its_ports_and_may_reach_nothing_else() {
        let page = Page::new(4001, 4002, Network::new());
        let answer = ask(&page, "GET", "/", &[("host", "localhost:8090")]);
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(
            policy.contains("connect-src 'self' http://localhost:4001 http://localhost:4002;"),
            "{policy}"
        );
        let html = answer.into_body().collect().await.unwrap().to_bytes();
        let html = std::str::from_utf8(&html).unwrap();
        assert!(html.contains("\"4001\"") && html.contains("\"4002\"") && !html.contains('{'), "{html}");
    }

    #[test]
    fn all_that_the_page_names_is_there() {
        let page = Page::new(1, 2, Network::new());
        let named = HTML.split(['"']).filter(|text| text.starts_with('/'));
        let missing: Vec<_> =
            named.filter(|path| ask(&page, "GET", path, &[("host", "h")]).status() != 200).collect();
        assert_eq!(missing, Vec::<&str>::new());
        assert_eq!(ask(&page, "GET", "/other", &[("host", "h")]).status(), 404);
        assert_eq!(ask(&page, "PUT", "/", &[("host", "h")]).status(), 405);
    }

    #[test]
    fn a_host_cannot_write_the_policy() {
        let page = Page::new(1, 2, Network::new());
        for bad in ["", "a;script-src", "a,b", "a b", "*"] {
            assert_eq!(ask(&page, "GET", "/", &[("host", bad)]).status(), 400, "{bad}");
        }
        assert_eq!(ask(&page, "GET", "/", &[]).status(), 400);
        let answer = ask(&page, "GET", "/", &[("host", "[::1]:8090")]);
        assert!(
            answer.headers()["content-security-policy"].to_str().unwrap().contains("http://*:1 http://*:2;")
        );
    }

    #[tokio::test]
    async fn only_its_own_page_cuts_the_network() {
        let network = Network::new();
        let page = Page::new(1, 2, network.clone());
        let from = |origin| [("host", "127.0.0.1:8090"), ("origin", origin)];
        for other in ["http://evil.example", "null", "http://127.0.0.1:9"] {
            assert_eq!(ask(&page, "POST", "/cut", &from(other)).status(), 403, "{other}");
        }
        assert_eq!(ask(&page, "GET", "/cut", &from("http://127.0.0.1:8090")).status(), 404);
        assert_eq!(network.cuts(), 0);
        for _ in 0..2 {
            assert_eq!(ask(&page, "POST", "/cut", &from("http://127.0.0.1:8090")).status(), 200);
        }
        assert_eq!(network.cuts(), 1);
    }
}
