//! Who asks: a page on the web can have a browser ask anything of this address, and must get nothing by it.

use http::{
    HeaderMap, HeaderName, Uri,
    header::{HOST, ORIGIN},
    uri::Authority,
};
use std::net::IpAddr;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The names by which the admin is asked.
///
/// A page can be served under a name that later means this address (DNS rebinding), and would then be of the same origin
/// as the admin: only known names are answered. An IP address is nobody's name, so that any is right: probes and
/// scrapers ask by a pod's. `localhost` is this machine's wherever it is resolved. A request without a host is no browser's.
#[derive(Clone, Default, Debug)]
pub(super) struct Hosts(Vec<String>);

impl Hosts {
    /// `localhost`, addresses, and these names.
    pub(super) fn new(names: &[String]) -> Self {
        Self(names.iter().map(|name| plain(name)).collect())
    }

    /// Whether every host that a request names is one of ours.
    pub(super) fn are_named(&self, target: &Uri, headers: &HeaderMap) -> bool {
        let hosts = headers.get_all(HOST).iter();
        let named = hosts.into_iter().all(|host| {
            Authority::try_from(host.as_bytes())
                .is_ok_and(|host| !host.as_str().contains('@') && self.has(&host))
        });
        named && target.authority().is_none_or(|host| self.has(host))
    }

    fn has(&self, authority: &Authority) -> bool {
        let host = authority.host();
        let is_address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
        let host = plain(host);
        is_address || host == "localhost" || self.0.contains(&host)
    }
}

/// A name as it is compared.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Whether a request says that it comes from a page of the same host, as a browser does with every POST. Who says nothing
/// is no browser of today, and has to say it, too.
pub(super) fn is_same_origin(headers: &HeaderMap, uri: &Uri) -> bool {
    let site = all_of(headers, &SEC_FETCH_SITE);
    // By HTTP/2 the host is where the address is.
    let host = all_of(headers, &HOST).or_else(|| uri.authority().map(Authority::as_str));
    let origin = all_of(headers, &ORIGIN);
    let own_site = site.is_none_or(|site| site == "same-origin");
    let own_origin = origin.is_none_or(|origin| {
        let origin = origin.to_ascii_lowercase();
        let of = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        of.is_some() && of == host.map(str::to_ascii_lowercase).as_deref()
    });
    own_site && own_origin && (site.is_some() || origin.is_some())
}

/// A header's value; of several lines none is right.
fn all_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    Some(if lines.next().is_none() { first.to_str().unwrap_or_default() } else { "" })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(headers: &[(&'static str, &'static str)], expected: bool) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        assert_eq!(is_same_origin(&map, &Uri::from_static("/drain")), expected, "{headers:?}");
    }

    #[test]
    fn a_browsers_post_says_where_it_comes_from() {
        let host = ("host", "127.0.0.1:9911");
        check(&[host, ("origin", "http://127.0.0.1:9911")], true);
        check(&[("host", "Status.example"), ("origin", "https://status.example")], true);
        check(&[host, ("sec-fetch-site", "same-origin")], true);
        check(&[host, ("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:9911")], true);
        check(&[host], false);
        check(&[("origin", "http://127.0.0.1:9911")], false);
        for origin in [
            "null",
            "http://evil.example",
            "http://127.0.0.1",
            "http://127.0.0.1:9912",
            "ftp://127.0.0.1:9911",
            "127.0.0.1:9911",
            "",
        ] {
            check(&[host, ("origin", origin)], false);
            check(&[host, ("origin", origin), ("sec-fetch-site", "same-origin")], false);
        }
        for site in ["same-site", "cross-site", "none", ""] {
            check(&[host, ("sec-fetch-site", site)], false);
            check(&[host, ("sec-fetch-site", site), ("origin", "http://127.0.0.1:9911")], false);
        }
        check(&[host, ("origin", "http://127.0.0.1:9911"), ("origin", "http://evil.example")], false);
        check(&[host, ("host", "evil.example"), ("origin", "http://127.0.0.1:9911")], false);
    }
}
