//! Cursors in the query: clients that cannot set a header bring the last id that they saw as a parameter.

use std::borrow::Cow;

use http::{Uri, uri::PathAndQuery};

/// The names of the parameters that may carry a cursor. They are compared without regard to case, and after what is
/// encoded in the query was decoded, as servers do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CursorQuery(Vec<String>);

impl Default for CursorQuery {
    /// The names that polyfills use.
    fn default() -> Self {
        Self::new(vec![
            // Yaffle's EventSource (npm: event-source-polyfill), unless its page names another.
            "lastEventId".to_owned(),
            // amvtek's EventSource (npm: eventsource-polyfill).
            "evs_last_event_id".to_owned(),
            // What Mercure's hubs first listened to, and what pages make Yaffle's use. Today's name there,
            // `lastEventID`, is the first one in another case.
            "Last-Event-ID".to_owned(),
        ])
    }
}

impl CursorQuery {
    /// These names; none turns it off.
    #[must_use]
    pub fn new(names: Vec<String>) -> Self {
        Self(names)
    }

    /// The parameter of this name carries a cursor.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    /// What the query asks for: the last value that is not empty, of whatever name, decoded.
    #[must_use]
    pub fn cursor(&self, query: &str) -> Option<Vec<u8>> {
        let values = query.split('&').rev().filter_map(|pair| self.value(pair));
        values.map(Cow::into_owned).find(|value| !value.is_empty())
    }

    /// The query as it counts for a key: without cursors. A client that appends one may leave an empty pair behind,
    /// which no server takes for anything.
    pub(super) fn without<'a>(&self, query: &'a str) -> Cow<'a, str> {
        let counts = |pair: &&str| !pair.is_empty() && self.value(pair).is_none();
        if self.0.is_empty() || query.split('&').all(|pair| counts(&pair)) {
            return Cow::Borrowed(query);
        }
        Cow::Owned(query.split('&').filter(counts).collect::<Vec<_>>().join("&"))
    }

    /// The address without those cursors that `goes` says it of; `None` where there are none. Everything else stays
    /// as it stands, but a `?` behind which nothing is left.
    #[must_use]
    pub fn strip(&self, uri: &Uri, goes: impl Fn(&[u8]) -> bool) -> Option<Uri> {
        let query = uri.query()?;
        let stays = |pair: &&str| self.value(pair).is_none_or(|value| !goes(&value));
        if query.split('&').all(|pair| stays(&pair)) {
            return None;
        }
        let rest = query.split('&').filter(stays).collect::<Vec<_>>().join("&");
        let target = if rest.is_empty() { uri.path().to_owned() } else { format!("{}?{rest}", uri.path()) };
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
        Uri::from_parts(parts).ok()
    }

    /// The decoded value of a pair, if its name is one of these.
    fn value<'a>(&self, pair: &'a str) -> Option<Cow<'a, [u8]>> {
        // Some servers read another parameter behind a `;`.
        if self.0.is_empty() || pair.is_empty() || pair.contains(';') {
            return None;
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decoded(name.as_bytes());
        let is_own = self.0.iter().any(|own| own.as_bytes().eq_ignore_ascii_case(&name));
        is_own.then(|| decoded(value.as_bytes()))
    }
}

/// What a server reads: `+` is a space, and what is no escape stays as it is.
pub(super) fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, behind)) = rest.split_first() {
        let escaped = behind.get(..2).filter(|_| first == b'%').and_then(escape);
        bytes.push(match first {
            b'+' => b' ',
            _ => escaped.unwrap_or(first),
        });
        rest = behind.get(2..).filter(|_| escaped.is_some()).unwrap_or(behind);
    }
    Cow::Owned(bytes)
}

fn escape(digits: &[u8]) -> Option<u8> {
    let value = |digit: &u8| char::from(*digit).to_digit(16);
    let (high, low) = (value(digits.first()?)?, value(digits.get(1)?)?);
    u8::try_from(high << 4 | low).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn asks(query: &str, cursor: Option<&str>) {
        let found = CursorQuery::default().cursor(query);
        assert_eq!(found.as_deref(), cursor.map(str::as_bytes), "{query}");
    }

    #[test]
    fn the_last_value_that_is_not_empty_is_the_cursor() {
        asks("", None);
        asks("a=1", None);
        asks("lastEventId=7", Some("7"));
        asks("a=1&evs_last_event_id=7&b", Some("7"));
        asks("Last-Event-ID=7&lastEventID=8", Some("8"));
        asks("lastEventId=7&lastEventId=", Some("7"));
        asks("lastEventId&lastEventId=", None);
        asks("xlastEventId=7&lastEventIdx=7", None);
        asks("lastEventId=a%20b%2bc+d", Some("a b+c d"));
        asks("last%45vent%49d=7", Some("7"));
        asks("lastEventId=%zz%4", Some("%zz%4"));
        asks("lastEventId=a=b", Some("a=b"));
        asks("lastEventId=a;b=c", None);
        assert_eq!(CursorQuery::new(Vec::new()).cursor("lastEventId=7"), None);
    }

    #[test]
    fn what_counts_for_a_key_is_the_same_with_and_without_a_cursor() {
        let query = CursorQuery::default();
        for (written, counts) in [
            ("a=1&b", "a=1&b"),
            ("a=1&lastEventId=7&b", "a=1&b"),
            ("&lastEventId=7", ""),
            ("lastEventId=", ""),
            ("&a=1&last%45ventId=7", "a=1"),
            ("a=1&", "a=1"),
        ] {
            assert_eq!(query.without(written), counts, "{written}");
        }
        assert_eq!(CursorQuery::new(Vec::new()).without("&lastEventId=7"), "&lastEventId=7");
    }

    #[test]
    fn only_what_goes_is_taken_out_of_an_address() {
        let query = CursorQuery::default();
        for (written, left) in [
            ("/e?lastEventId=ours", Some("/e")),
            ("/e?&lastEventId=ours", Some("/e")),
            ("/e?a=1&lastEventId=ours&&b=%20", Some("/e?a=1&&b=%20")),
            ("/e?lastEventId=ours&lastEventId=7", Some("/e?lastEventId=7")),
            ("http://h/e?lastEventId=our%73", Some("http://h/e")),
            ("/e?lastEventId=7", None),
            ("/e?", None),
            ("/e", None),
        ] {
            let stripped = query.strip(&written.parse().unwrap(), |value| value == b"ours");
            assert_eq!(stripped.map(|uri| uri.to_string()).as_deref(), left, "{written}");
        }
    }
}
