//! What hyper refuses by itself, without asking anybody: it says no more than the status.

use std::{fmt, sync::Arc};

use bytes::{Buf, Bytes};
use http::StatusCode;

/// Makes the answer, head and body, that a client gets whose request hyper refused with a status.
#[derive(Clone)]
pub struct Refuse(Arc<dyn Fn(StatusCode) -> Bytes + Send + Sync>);

impl Refuse {
    /// By this function.
    pub fn new(answer: impl Fn(StatusCode) -> Bytes + Send + Sync + 'static) -> Self {
        Self(Arc::new(answer))
    }
}

impl fmt::Debug for Refuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refuse")
    }
}

/// Our answer in the place of hyper's. Says nothing unless hyper refuses.
#[derive(Debug)]
pub(super) struct Refusal {
    refuse: Option<Refuse>,
    /// What of it is not written yet.
    rest: Option<Bytes>,
}

impl Refusal {
    pub(super) fn new(refuse: Option<Refuse>) -> Self {
        Self { refuse, rest: None }
    }

    /// What is to be written instead of what hyper writes while nobody has asked for anything, if that is a refusal.
    /// hyper writes the same again until it is told that all of it was written.
    pub(super) fn instead_of(&mut self, head: &[u8]) -> Option<&[u8]> {
        if self.rest.is_none() {
            let refuse = self.refuse.as_ref()?;
            self.rest = Some((refuse.0)(refused(head)?));
        }
        self.rest.as_deref()
    }

    /// So much of it was written. Says whether that was the rest.
    pub(super) fn advance(&mut self, written: usize) -> bool {
        let Some(rest) = &mut self.rest else { return true };
        rest.advance(written.min(rest.len()));
        rest.is_empty()
    }
}

/// The status of a head of hyper's own, which has no more to say than that. Byte for byte, so that nothing else is
/// ever taken for one.
fn refused(head: &[u8]) -> Option<StatusCode> {
    let status = StatusCode::from_bytes(head.get(9..12)?).ok()?;
    let reason = status.canonical_reason()?;
    let modern =
        format!("HTTP/1.1 {} {reason}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", status.as_str());
    // After a request of HTTP/1.0 on the same connection.
    let old = format!("HTTP/1.0 {} {reason}\r\ncontent-length: 0\r\n\r\n", status.as_str());
    (status.is_client_error() && (head == modern.as_bytes() || head == old.as_bytes())).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(head: &str, status: Option<u16>) {
        assert_eq!(refused(head.as_bytes()).map(|status| status.as_u16()), status, "{head:?}");
    }

    #[test]
    fn only_what_hyper_says_by_itself_is_its_refusal() {
        let close = "connection: close\r\ncontent-length: 0\r\n\r\n";
        check(&format!("HTTP/1.1 400 Bad Request\r\n{close}"), Some(400));
        check(&format!("HTTP/1.1 431 Request Header Fields Too Large\r\n{close}"), Some(431));
        check(&format!("HTTP/1.1 414 URI Too Long\r\n{close}"), Some(414));
        check("HTTP/1.0 400 Bad Request\r\ncontent-length: 0\r\n\r\n", Some(400));
        check(&format!("HTTP/1.1 400 Bad Request\r\n{close}x"), None);
        check(&format!("HTTP/1.1 400 Oh no\r\n{close}"), None);
        check(&format!("HTTP/1.1 502 Bad Gateway\r\n{close}"), None);
        check("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", None);
        check("HTTP/1.1 100 Continue\r\n\r\n", None);
        check("HTTP/1.1 4", None);
        check("", None);
    }

    #[test]
    fn our_answer_is_written_to_its_end() {
        let mut refusal = Refusal::new(Some(Refuse::new(|_| Bytes::from_static(b"no!"))));
        let head = b"HTTP/1.0 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(refusal.instead_of(head), Some(&b"no!"[..]));
        assert!(!refusal.advance(2));
        assert_eq!(refusal.instead_of(head), Some(&b"!"[..]));
        assert!(refusal.advance(1));
        assert_eq!(Refusal::new(None).instead_of(head), None);
    }
}
