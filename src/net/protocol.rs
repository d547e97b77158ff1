//! What a client speaks, told by its first bytes.

/// With which a client says that it knows HTTP/2 to be spoken here (RFC 9113, 3.4). No request of HTTP/1 begins so.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is spoken on a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// HTTP/1.0 or HTTP/1.1; also what is no HTTP, and is answered as if it were.
    Http1,
    /// HTTP/2.
    Http2,
}

impl Protocol {
    /// What these first bytes tell; nothing, as long as it could be either.
    pub(super) fn told_by(first: &[u8]) -> Option<Self> {
        if first.starts_with(PREFACE) {
            return Some(Self::Http2);
        }
        if PREFACE.starts_with(first) { None } else { Some(Self::Http1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(first: &str, told: Option<Protocol>) {
        assert_eq!(Protocol::told_by(first.as_bytes()), told, "{first:?}");
    }

    #[test]
    fn the_first_bytes_tell_what_is_spoken() {
        let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        for length in 0..preface.len() {
            check(preface.get(..length).unwrap(), None);
        }
        check(preface, Some(Protocol::Http2));
        check(&format!("{preface}\0\0\0"), Some(Protocol::Http2));
        for other in ["G", "GET / HTTP/1.1\r\n", "POST", "PUT", "PRI * HTTP/2.0\r\n\r\nA", "\x16\x03\x01"] {
            check(other, Some(Protocol::Http1));
        }
    }
}
