//! Cookies one by one: for requests whose cookies the upstream has replaced since.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use http::{HeaderMap, HeaderValue, Request, Uri, header, request::Parts};

use super::{
    Key, KeyPart, Keyer, Mode, Route,
    key::{self, Sum, host},
    rotation::Rotations,
    set_cookie::{cookie_set, split_at},
};

/// A request with more cookies than that is found by its key alone.
const MOST: usize = 64;

/// A cookie of a host, its name and its value: a keyed hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Crumb(pub(super) u128);

/// What a key is made of that counts cookies: each of them, and all else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Jar {
    /// The key of the same request without cookies.
    rest: Key,
    cookies: Box<[Crumb]>,
}

/// The cookies that the upstream replaces in its answers. Clones know of the same.
#[derive(Clone)]
pub struct Cookies(Arc<Known>);

struct Known {
    keyer: Keyer,
    rotations: Mutex<Rotations>,
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookies")
    }
}

/// The cookies that a request carries to the upstream.
#[derive(Debug)]
pub struct Carried {
    host: String,
    lines: Vec<HeaderValue>,
}

impl Cookies {
    /// A replaced cookie counts as the former one for this time. The secret must come from a cryptographic source.
    #[must_use]
    pub fn new(secret: u128, time: Duration) -> Self {
        let (keyer, rotations) = (Keyer::new(secret), Mutex::new(Rotations::new(time)));
        Self(Arc::new(Known { keyer, rotations }))
    }

    /// A replaced cookie counts for this time from now on, if it still does.
    pub fn set_time(&self, time: Duration) {
        self.0.rotations.lock().unwrap_or_else(PoisonError::into_inner).set_time(time);
    }

    /// The cookies that count for the key of a request, if there are any, and every server reads them as we do.
    #[must_use]
    pub fn jar(&self, route: &Route, request: &Parts) -> Option<Jar> {
        // Of cookies that some server may read in another way all count for the key, as they stand.
        if !request.headers.contains_key(header::COOKIE) || has_odd_cookie(route, request) {
            return None;
        }
        let (host, lines) = (host(&request.uri, &request.headers), lines(&request.headers));
        let counted = pairs(&lines).filter(|(name, _)| counts(route, name)).take(MOST + 1);
        let cookies: Box<[_]> = counted.map(|(name, value)| self.crumb(&host, name, value)).collect();
        let few = !cookies.is_empty() && cookies.len() <= MOST;
        few.then(|| Jar { rest: self.0.keyer.own_key(route, &without_cookies(request)), cookies })
    }

    /// Whether these are the cookies of a former request, or have come of them, in a request that is the same otherwise.
    #[must_use]
    pub fn came_of(&self, jar: &Jar, former: &Jar, now: Instant) -> bool {
        let mut rotations = self.0.rotations.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pairs = jar.cookies.iter().zip(&former.cookies);
        let same = jar.rest == former.rest && jar.cookies.len() == former.cookies.len();
        same && pairs.all(|(new, old)| rotations.came_of(*new, *old, now))
    }

    /// The cookies of a request, if it has any, for when it is answered.
    #[must_use]
    pub fn carried<B>(request: &Request<B>) -> Option<Carried> {
        let lines = lines(request.headers());
        (!lines.is_empty()).then(|| Carried { host: host(request.uri(), request.headers()), lines })
    }

    /// Notes which of them an answer replaces.
    pub fn answered(&self, carried: &Carried, answer: &HeaderMap, now: Instant) {
        let set = answer.get_all(header::SET_COOKIE);
        let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let clock = clock.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        for (name, new) in set.iter().take(MOST).filter_map(|line| cookie_set(line.as_bytes(), clock)) {
            let mut old = pairs(&carried.lines).filter(|(known, _)| *known == name);
            // Of two with one name it cannot be told which is replaced.
            if let (Some((_, old)), None) = (old.next(), old.next()) {
                let [old, new] = [old, new].map(|value| self.crumb(&carried.host, name, value));
                self.0.rotations.lock().unwrap_or_else(PoisonError::into_inner).note(old, new, now);
            }
        }
    }

    fn crumb(&self, host: &str, name: &[u8], value: &[u8]) -> Crumb {
        let mut sum = Sum::new(&self.0.keyer);
        sum.add(b"cookie");
        [host.as_bytes(), name, value].into_iter().for_each(|part| sum.add(part));
        Crumb(sum.finish())
    }
}

/// The cookie counts for the keys of a route.
fn counts(route: &Route, cookie: &[u8]) -> bool {
    let counted = |part: &KeyPart| match part {
        KeyPart::Header(name) => *name == header::COOKIE,
        KeyPart::Cookie(name) => name.as_bytes() == cookie,
        _ => false,
    };
    // As for `Keyer::own_key`.
    route.mode == Mode::Shared || route.key.as_ref().is_none_or(|parts| parts.iter().any(counted))
}

fn has_odd_cookie(route: &Route, request: &Parts) -> bool {
    let mut parts = route.key.iter().flatten();
    parts.any(|part| matches!(part, KeyPart::Cookie(name) if key::has_odd_cookie(&request.headers, name)))
}

fn lines(headers: &HeaderMap) -> Vec<HeaderValue> {
    headers.get_all(header::COOKIE).iter().cloned().collect()
}

/// Names and values, in order.
fn pairs(lines: &[HeaderValue]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let pairs = lines.iter().flat_map(|line| line.as_bytes().split(|&b| b == b';')).map(<[u8]>::trim_ascii);
    pairs.filter(|pair| !pair.is_empty()).map(|pair| split_at(pair, b'=').unwrap_or((b"", pair)))
}

fn without_cookies(request: &Parts) -> Parts {
    let mut parts = Request::new(()).into_parts().0;
    parts.uri = Uri::clone(&request.uri);
    parts.headers = request.headers.clone();
    parts.headers.remove(header::COOKIE);
    parts
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::{
        super::key::tests::{request, route},
        *,
    };

    const TIME: Duration = Duration::from_secs(10);

    fn private(key: Option<Vec<KeyPart>>) -> Route {
        Route { mode: Mode::Private, ..route(key) }
    }

    fn by_cookie(name: &str) -> Route {
        private(Some(vec![KeyPart::Path, KeyPart::Cookie(name.to_owned())]))
    }

    fn jar(cookies: &Cookies, route: &Route, line: &str) -> Option<Jar> {
        cookies.jar(route, &request("/e", &[("host", "h"), ("cookie", line)]))
    }

    /// Whether a client with `new` is the one that had `old`, to which the upstream has answered with `set` at the start.
    fn comes(cookies: &Cookies, route: &Route, [old, set, new]: [&str; 3], after: Duration) -> bool {
        let start = Instant::now();
        let first = Request::from_parts(request("/e", &[("host", "h"), ("cookie", old)]), ());
        let mut answer = HeaderMap::new();
        for line in set.split('|').filter(|line| !line.is_empty()) {
            answer.append(header::SET_COOKIE, HeaderValue::from_str(line).unwrap());
        }
        cookies.answered(&Cookies::carried(&first).unwrap(), &answer, start);
        let [new, former] = [new, old].map(|line| jar(cookies, route, line).unwrap());
        cookies.came_of(&new, &former, start + after)
    }

    #[track_caller]
    fn check(route: &Route, lines: [&str; 3], expected: bool) {
        let is = comes(&Cookies::new(7, TIME), route, lines, Duration::ZERO);
        assert_eq!(is, expected, "{lines:?}");
    }

    #[test]
    fn a_client_is_the_one_that_had_the_cookies_which_the_upstream_replaced() {
        let all = private(None);
        check(&all, ["a=1", "", "a=1"], true);
        check(&all, ["a=1", "", "a=2"], false);
        check(&all, ["a=1", "a=2; Path=/", "a=2"], true);
        check(&all, ["a=1", "a=2", "a=3"], false);
        check(&all, ["a=1; b=1", "b=2", "a=1; b=2"], true);
        check(&all, ["a=1; b=1", "a=2|b=2", " a=2 ;b=2;"], true);
        check(&all, ["a=1; b=1", "b=2", "a=2; b=2"], false);
        check(&all, ["a=1", "b=2", "b=2"], false);
        check(&all, ["a=1", "a=2", "a=2; b=1"], false);
        check(&all, ["a=1; b=1", "", "a=1"], false);
        check(&all, ["a=1; b=1", "", "b=1; a=1"], false);
        // It cannot be told which of them is replaced.
        check(&all, ["a=1; a=3", "a=2", "a=2; a=3"], false);
    }

    #[test]
    fn only_those_cookies_count_that_the_route_counts() {
        let whole = private(Some(vec![KeyPart::Header(header::COOKIE)]));
        for (route, other_counts) in [(by_cookie("a"), false), (whole, true), (private(None), true)] {
            check(&route, ["a=1; b=1", "a=2", "a=2; b=1"], true);
            check(&route, ["a=1; b=1", "a=2", "a=2; b=2"], !other_counts);
        }
        // A shared stream's clients are asked about one by one; one that has its own stream is told from others by all.
        check(&route(Some(vec![KeyPart::Path])), ["a=1; b=1", "a=2", "a=2; b=2"], false);
        let (cookies, header) = (Cookies::new(7, TIME), KeyPart::Header(HeaderName::from_static("x-a")));
        assert_eq!(jar(&cookies, &private(Some(vec![KeyPart::Path, header])), "a=1"), None);
    }

    #[test]
    fn all_else_must_be_the_same() {
        let (cookies, now) = (Cookies::new(7, TIME), Instant::now());
        let jar = |uri, headers: &[(&str, &str)]| {
            let headers = [headers, &[("cookie", "a=1")]].concat();
            cookies.jar(&private(None), &request(uri, &headers)).unwrap()
        };
        let plain = jar("/e", &[("host", "h")]);
        for (uri, headers, same) in [
            ("/e", &[("host", "h"), ("user-agent", "x")][..], true),
            ("/f", &[("host", "h")], false),
            ("/e?a", &[("host", "h")], false),
            ("/e", &[("host", "g")], false),
            ("/e", &[("host", "h"), ("authorization", "x")], false),
        ] {
            assert_eq!(cookies.came_of(&jar(uri, headers), &plain, now), same, "{uri} {headers:?}");
        }
    }

    #[test]
    fn a_replaced_cookie_counts_for_its_time() {
        let lines = ["a=1", "a=2", "a=2"];
        let cookies = Cookies::new(7, TIME);
        let second = Duration::from_secs(1);
        assert!(comes(&cookies, &private(None), lines, TIME - second));
        assert!(!comes(&cookies, &private(None), lines, TIME));
        cookies.set_time(second);
        assert!(!comes(&cookies, &private(None), lines, second));
    }

    #[test]
    fn there_is_a_jar_where_cookies_count_and_every_server_sees_the_same_ones() {
        let (cookies, all) = (Cookies::new(7, TIME), private(None));
        let many = |count: usize| (0..count).map(|n| format!("c{n}=1")).collect::<Vec<_>>().join("; ");
        for (route, line, is) in [
            (&all, "a=1", true),
            (&all, "a", true),
            (&all, "", false),
            (&all, " ; ", false),
            (&all, &many(MOST), true),
            (&all, &many(MOST + 1), false),
            (&by_cookie("a"), "b=1; a=1", true),
            (&by_cookie("a"), "b=1", false),
            (&by_cookie("a"), "a=1; A=2", false),
            (&by_cookie("b"), "b=1; a=1; A=2", true),
        ] {
            assert_eq!(jar(&cookies, route, line).is_some(), is, "{line}");
        }
        assert_eq!(cookies.jar(&all, &request("/e", &[])), None);
        assert!(Cookies::carried(&Request::from_parts(request("/e", &[("x-a", "a=1")]), ())).is_none());
        let (full, other) = (many(MOST), format!("{}; last=1", many(MOST - 1)));
        check(&all, [&full, "", &full], true);
        check(&all, [&full, "", &other], false);
    }

    #[test]
    fn nothing_of_a_cookie_is_shown() {
        assert_eq!(format!("{:?}", Cookies::new(7, TIME)), "Cookies");
    }
}
