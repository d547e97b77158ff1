//! Which trace a request says that it is part of (W3C Trace Context). The headers pass untouched, as all others do;
//! this is for the log.

use std::fmt;

use http::HeaderMap;

const TRACEPARENT: &str = "traceparent";

/// The id of a trace: 32 hexadecimal digits, and nothing else that a client could put there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceId(u128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl TraceId {
    /// The trace of a request, if it names exactly one in the form that the standard gives it.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(TRACEPARENT).iter();
        let (line, None) = (lines.next()?, lines.next()) else { return None };
        Self::parse(line.as_bytes())
    }

    /// `version-trace-parent-flags`. A version after the first may have more behind it.
    fn parse(line: &[u8]) -> Option<Self> {
        let (fields, rest) = line.split_first_chunk::<55>()?;
        let separators = [2, 35, 52];
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_formed = fields.iter().enumerate().all(|(at, byte)| match separators.contains(&at) {
            true => *byte == b'-',
            false => is_digit(byte),
        });
        let is_whole = match fields {
            [b'0', b'0', ..] => rest.is_empty(),
            [b'f', b'f', ..] => false,
            _ => matches!(rest, [] | [b'-', ..]),
        };
        if !is_formed || !is_whole || fields.get(36..52)?.iter().all(|&byte| byte == b'0') {
            return None;
        }
        let id = u128::from_str_radix(std::str::from_utf8(fields.get(3..35)?).ok()?, 16).ok()?;
        (id != 0).then_some(Self(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0af7651916cd43dd8448eb211c80319c";

    #[track_caller]
    fn check(line: &str, expected: Option<&str>) {
        let had = TraceId::parse(line.as_bytes()).map(|id| id.to_string());
        assert_eq!(had.as_deref(), expected, "{line}");
    }

    #[test]
    fn a_trace_id_is_taken_from_what_is_well_formed_and_from_nothing_else() {
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Some(ID));
        check(
            "00-00000000000000000000000000000001-b7ad6b7169203331-00",
            Some("00000000000000000000000000000001"),
        );
        check("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Some(ID));
        check("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes-later", Some(ID));
        for wrong in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-secretsecretsecretsecretsecretse-b7ad6b7169203331-01",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn of_two_traces_none_is_taken() {
        let line = format!("00-{ID}-b7ad6b7169203331-01").parse::<http::HeaderValue>().unwrap();
        let mut headers = HeaderMap::new();
        assert_eq!(TraceId::of(&headers), None);
        headers.append(TRACEPARENT, line.clone());
        assert_eq!(TraceId::of(&headers).map(|id| id.to_string()).as_deref(), Some(ID));
        headers.append(TRACEPARENT, line);
        assert_eq!(TraceId::of(&headers), None);
    }
}
