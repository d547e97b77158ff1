//! What can go wrong with a request, whose fault it is, and what the client is told.

use std::time::Instant;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use crate::{
    body::{self, BoxError, Relay},
    seldom::Seldom,
};

/// Why a request has no answer of the upstream's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The client's: the request breaks a rule of HTTP that a proxy has to insist on.
    #[error("bad request: {0}")]
    Request(&'static str),
    /// The client's: its request body was cut or malformed.
    #[error("bad request: the body was cut or malformed")]
    Body(#[source] BoxError),
    /// The client's: it sent nothing of its request body for a minute.
    #[error("the request body did not come")]
    Slow,
    /// The client's: a method that a reverse proxy has no use for.
    #[error("CONNECT is not served here")]
    Method,
    /// The client's: the target is longer than 8 KiB.
    #[error("the request target is longer than 8 KiB")]
    Target,
    /// The client's: there is more head than we take.
    #[error("the request head is too large")]
    Head,
    /// The upstream's: there is nobody to talk to.
    #[error("the upstream cannot be reached")]
    Unreachable(#[source] BoxError),
    /// The upstream's: nobody accepted a connection in time.
    #[error("the upstream did not accept a connection in time")]
    Unaccepted(#[source] BoxError),
    /// Ours: there is no file descriptor left for a connection to the upstream.
    #[error("there is no file descriptor left for a connection to the upstream")]
    Descriptors(#[source] BoxError),
    /// The upstream's: it took the request and closed the connection without an answer.
    #[error("the upstream closed the connection before it answered")]
    Lost(#[source] BoxError),
    /// The upstream's: it answered a request for an event stream with a status that stands for nobody there.
    #[error("the upstream answered with {0}, which is taken for no answer")]
    Absent(StatusCode),
    /// The upstream's: what it answered is not HTTP, or not for the request that it got.
    #[error("the upstream's answer makes no sense: {reason}")]
    Nonsense {
        /// What is wrong with it.
        reason: String,
        /// How it began: at most one line, escaped.
        said: String,
    },
    /// The upstream's: it could not be reached for as long as an event stream is held. No answer is made of it: the
    /// connection is cut, since an `EventSource` comes back after that and after nothing else.
    #[error("the upstream could not be reached for as long as an event stream is held")]
    Outage(#[source] Box<Fault>),
}

impl Fault {
    /// The status that says whose fault it is. `Outage` has none of its own.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Request(_) | Self::Body(_) => StatusCode::BAD_REQUEST,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Target => StatusCode::URI_TOO_LONG,
            Self::Head => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Unreachable(_)
            | Self::Descriptors(_)
            | Self::Lost(_)
            | Self::Absent(_)
            | Self::Nonsense { .. }
            | Self::Outage(_) => StatusCode::BAD_GATEWAY,
            Self::Unaccepted(_) => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Whether the upstream could not be reached or was lost before it answered, so that a later attempt may do
    /// better.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        use Fault::{Absent, Descriptors, Lost, Unaccepted, Unreachable};
        matches!(self, Unreachable(_) | Unaccepted(_) | Descriptors(_) | Lost(_) | Absent(_))
    }

    /// The answer: one line of text that repeats nothing of the request. A client's fault also ends the
    /// connection: what follows on it may not be what it seems.
    #[must_use]
    pub fn into_response(self) -> Response<Relay> {
        let mut response = Response::new(body::full(self.text()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status().is_client_error() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if matches!(self, Self::Method) {
            // A 405 has to say what would be allowed; that is the upstream's to know.
            headers.insert(header::ALLOW, HeaderValue::from_static(""));
        }
        response
    }

    /// The same answer as it is on the wire, for a client whose request never became one.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        let text = self.text();
        let response = self.into_response();
        let status = response.status();
        let mut wire = format!(
            "HTTP/1.1 {} {}\r\ncontent-length: {}\r\n",
            status.as_str(),
            status.canonical_reason().unwrap_or_default(),
            text.len()
        )
        .into_bytes();
        for (name, value) in response.headers() {
            wire.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        wire.extend([b"\r\n", text.as_bytes()].concat());
        wire.into()
    }

    fn text(&self) -> String {
        format!("respool: {self}\n")
    }

    /// One line for the log; the client's faults are not worth one. Of an upstream that is away there is one in some
    /// seconds, which says how many requests it stands for.
    pub fn log(&self) {
        static UNANSWERED: Seldom = Seldom::new();
        static ABSENT: Seldom = Seldom::new();
        static CUT: Seldom = Seldom::new();
        static SHORT: Seldom = Seldom::new();
        let now = Instant::now();
        match self {
            Self::Request(_) | Self::Slow | Self::Method | Self::Target | Self::Head => {
                tracing::debug!(reason = %self, "a request was refused");
            }
            Self::Body(cause) => tracing::debug!(%cause, "a request body was cut or malformed"),
            Self::Nonsense { reason, said } => {
                tracing::warn!(%reason, %said, "the upstream's answer makes no sense");
            }
            Self::Unreachable(cause) | Self::Unaccepted(cause) | Self::Lost(cause) => {
                let Some(times) = UNANSWERED.again(now) else { return };
                let cause = deepest(cause.as_ref());
                tracing::warn!(reason = %self, %cause, times, "the upstream did not answer");
            }
            Self::Descriptors(cause) => {
                let Some(times) = SHORT.again(now) else { return };
                let (cause, setting) = (deepest(cause.as_ref()), "limits.connections");
                tracing::error!(
                    %cause,
                    setting,
                    times,
                    "the upstream was not asked: there are too few file descriptors; raise them (ulimit -n, LimitNOFILE=) or lower limits.connections"
                );
            }
            Self::Absent(status) => {
                let Some(times) = ABSENT.again(now) else { return };
                tracing::warn!(status = status.as_u16(), times, "the upstream's answer is taken for none");
            }
            Self::Outage(last) => {
                let Some(times) = CUT.again(now) else { return };
                let setting = "outage.hold";
                tracing::warn!(%last, setting, times, "an event stream was cut: the upstream is away");
            }
        }
    }
}

/// The innermost cause: the outer ones only say where it happened.
pub(crate) fn deepest<'a>(
    mut fault: &'a (dyn std::error::Error + 'static),
) -> &'a (dyn std::error::Error + 'static) {
    while let Some(cause) = fault.source() {
        fault = cause;
    }
    fault
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn an_answer_is_one_line_and_says_whose_fault_it_is() {
        let refused = || BoxError::from("refused");
        for (fault, status, line) in [
            (Fault::Request("no Host"), 400, "respool: bad request: no Host\n"),
            (Fault::Unreachable(refused()), 502, "respool: the upstream cannot be reached\n"),
            (
                Fault::Descriptors(refused()),
                502,
                "respool: there is no file descriptor left for a connection to the upstream\n",
            ),
            (
                Fault::Unaccepted(refused()),
                504,
                "respool: the upstream did not accept a connection in time\n",
            ),
        ] {
            let response = fault.into_response();
            assert_eq!(response.status(), status);
            assert_eq!(response.headers().contains_key(header::CONNECTION), status < 500);
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), line);
        }
    }
}
