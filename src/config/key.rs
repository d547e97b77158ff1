//! What counts for a key, as written, and what a key forgets.

use http::header::{AUTHORIZATION, COOKIE};

use super::fault::{Wrong, wrong};
use crate::route::{CursorQuery, KeyPart};

/// One entry of `key`.
pub(super) fn part(text: &str) -> Result<KeyPart, Wrong> {
    let (kind, name) = text.split_once(':').map_or((text, None), |(kind, name)| (kind, Some(name)));
    match (kind, name) {
        ("path", None) => Ok(KeyPart::Path),
        ("host", None) => Ok(KeyPart::Host),
        ("query", None) => Ok(KeyPart::Query),
        ("query", Some(name)) if has_none_of(name, "&=#") => Ok(KeyPart::Parameter(name.to_owned())),
        ("cookie", Some(name)) if has_none_of(name, ";=") => Ok(KeyPart::Cookie(name.to_owned())),
        ("header", Some(name)) => name.parse().map(KeyPart::Header).map_err(|_| {
            wrong(format!("`{text}` has no header's name"), "write one, such as \"header:authorization\"")
        }),
        _ => Err(wrong(
            format!("`{text}` is no part of a request"),
            "write \"path\", \"host\", \"query\", \"query:NAME\", \"header:NAME\" or \"cookie:NAME\"",
        )),
    }
}

/// A request may have something of this name. What none has would count for nothing, and all would share.
fn has_none_of(name: &str, ends: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || ends.contains(c))
}

/// One entry of `cursor_query`.
pub(super) fn cursor(text: &str) -> Result<String, Wrong> {
    if text.is_empty() {
        let remedy = "write a name, such as \"lastEventId\", or `cursor_query = []` for none";
        return Err(wrong("a parameter without a name", remedy));
    }
    if !has_none_of(text, "&=#") {
        let remedy = "write the name alone, such as \"lastEventId\"";
        return Err(wrong(format!("`{text}` is no parameter's name"), remedy));
    }
    Ok(text.to_owned())
}

/// The entry of `key` names what carries a cursor.
pub(super) fn is_cursor(text: &str, query: &CursorQuery) -> bool {
    match text.split_once(':') {
        Some(("query", name)) => query.has(name),
        Some(("header", name)) => name.eq_ignore_ascii_case("last-event-id"),
        _ => false,
    }
}

/// The headers with credentials that a key leaves out.
pub(super) fn forgotten(key: &[KeyPart]) -> Vec<&'static str> {
    let has =
        |name: &http::HeaderName| key.iter().any(|part| matches!(part, KeyPart::Header(had) if had == name));
    let cookie = has(&COOKIE) || key.iter().any(|part| matches!(part, KeyPart::Cookie(_)));
    [("authorization", has(&AUTHORIZATION)), ("cookie", cookie)]
        .into_iter()
        .filter_map(|(name, counts)| (!counts).then_some(name))
        .collect()
}
