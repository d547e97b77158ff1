//! Which paths a route takes, and whether an earlier route leaves it any.

use globset::GlobBuilder;
use http::uri::PathAndQuery;

use super::fault::{Wrong, wrong};
use crate::route::Paths;

/// What makes a path a glob.
const SPECIAL: [char; 7] = ['*', '?', '[', ']', '{', '}', '\\'];

/// The matcher of a path as written; refused if no request's path could ever match it.
pub(super) fn glob(path: &str) -> Result<Paths, Wrong> {
    if !path.starts_with('/') && !path.starts_with("**") {
        return Err(wrong(format!("`{path}` matches no path"), "a path starts with `/`"));
    }
    if path.contains('?') && path.contains('=') {
        let remedy = "leave out `?` and what follows; `key` says which parameters count";
        return Err(wrong(format!("`{path}` has a query, and routes are found by path alone"), remedy));
    }
    if let Some(odd) = path.chars().find(|odd| odd.is_whitespace() || odd.is_control() || *odd == '#') {
        let remedy = "write it as clients send it, percent-encoded";
        return Err(wrong(format!("a path never has {odd:?}"), remedy));
    }
    if let Some(part) = path.split('/').find(|part| unreachable(part)) {
        let remedy = "leave it out: requests with dot segments, encoded dots or slashes match no route";
        return Err(wrong(format!("`{path}` can never match, because of `{part}`"), remedy));
    }
    let glob = GlobBuilder::new(path).literal_separator(true).build().map_err(|error| {
        let remedy = "write `*` for a part of a segment, `**` for any number of segments, `{a,b}` or `[ab]` for a choice";
        wrong(format!("`{path}` is no glob: {}", error.kind()), remedy)
    })?;
    Ok(glob.compile_matcher().into())
}

/// What makes a request's path match no route, since a server might read it as another one.
fn unreachable(segment: &str) -> bool {
    let segment = segment.to_ascii_lowercase();
    segment == "." || segment == ".." || ["%2f", "%2e", "%5c", "%00"].iter().any(|odd| segment.contains(odd))
}

/// The one path that is meant, or none where it is a glob.
pub(super) fn single(path: &str) -> Option<PathAndQuery> {
    if path.contains(SPECIAL) { None } else { path.parse().ok() }
}

/// Whether `earlier` surely takes every path that `later` could. Says no where it cannot tell.
pub(super) fn takes_all(earlier: (&str, &Paths), later: &str) -> bool {
    let (text, matcher) = earlier;
    if text == later || text == "**" || text == "/**" {
        return true;
    }
    if !later.contains(SPECIAL) {
        return matcher.is_match(later);
    }
    let Some(below) =
        text.strip_suffix("**").filter(|below| below.ends_with('/') && !below.contains(SPECIAL))
    else {
        return false;
    };
    let literal = later.split(SPECIAL).next().unwrap_or(later);
    literal.starts_with(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn takes(earlier: &str, later: &str, all: bool) {
        let matcher = glob(earlier).unwrap();
        assert_eq!(takes_all((earlier, &matcher), later), all, "{earlier} before {later}");
    }

    #[test]
    fn an_earlier_route_takes_what_it_matches() {
        takes("/a", "/a", true);
        takes("/**", "/a/*", true);
        takes("**", "/a", true);
        takes("/a/*", "/a/b", true);
        takes("/a/**", "/a/*/c", true);
        takes("/a/**", "/a/b*", true);
    }

    #[test]
    fn a_later_route_keeps_what_is_left() {
        takes("/a/*", "/a/*/c", false);
        takes("/a/*", "/a/b/c", false);
        takes("/a/**", "/a", false);
        takes("/a/**", "/ab/*", false);
        takes("/a", "/a*", false);
        takes("/*/x", "/a/*", false);
    }

    #[test]
    fn one_path_is_no_glob() {
        assert!(single("/a/b").is_some());
        assert!(single("/a/*").is_none());
        assert!(single("**").is_none());
    }
}
