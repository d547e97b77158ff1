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
