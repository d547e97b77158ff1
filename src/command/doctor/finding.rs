//! What can be wrong on the way, what it means, and what to do about it.

use std::time::Duration;

use serde::Serialize;

use crate::plain;

/// Something that was found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Finding {
    /// What, in a word that stays the same.
    pub(super) code: &'static str,
    /// It is wrong, and not only worth knowing.
    pub(super) wrong: bool,
    /// What was seen.
    pub(super) seen: String,
    /// What it means for clients.
    pub(super) means: &'static str,
    /// What to do.
    pub(super) remedy: &'static str,
    /// The lines that do it, in what may stand on the way.
    pub(super) lines: &'static [Lines],
}

/// Lines of somebody's configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Lines {
    /// Whose.
    pub(super) of: &'static str,
    pub(super) lines: &'static [&'static str],
}

/// All that is known of a kind of finding beforehand.
#[derive(Debug)]
pub(super) struct Kind {
    code: &'static str,
    wrong: bool,
    means: &'static str,
    remedy: &'static str,
    lines: &'static [Lines],
}

impl Kind {
    /// It was found: this is what was seen, on one line.
    pub(super) fn seen(&self, seen: impl Into<String>) -> Finding {
        let Self { code, wrong, means, remedy, lines } = *self;
        Finding { code, wrong, seen: plain::line(&seen.into()).into_owned(), means, remedy, lines }
    }
}

const fn wrong(
    code: &'static str,
    means: &'static str,
    remedy: &'static str,
    lines: &'static [Lines],
) -> Kind {
    Kind { code, wrong: true, means, remedy, lines }
}

const fn note(code: &'static str, means: &'static str, remedy: &'static str) -> Kind {
    Kind { code, wrong: false, means, remedy, lines: &[] }
}

/// A time as people read it.
pub(super) fn seconds(time: Duration) -> String {
    match time.as_secs_f64() {
        short if short < 0.995 => format!("{} ms", time.as_millis()),
        long => format!("{long:.1} s"),
    }
}

/// So many of something.
pub(super) fn count(number: impl Into<u64>, what: &str) -> String {
    let number = number.into();
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

const fn lines(of: &'static str, lines: &'static [&'static str]) -> Lines {
    Lines { of, lines }
}

pub(super) const UNREACHABLE: Kind = wrong(
    "unreachable",
    "no client can connect",
    "see that something listens there and that this machine may connect to it",
    &[],
);
pub(super) const UNANSWERED: Kind = wrong(
    "unanswered",
    "something listens there, but has nobody behind it who answers: respool does so when it cannot reach its event server",
    "see that the event server runs, and that what listens there has its right address: of respool, `upstream` and its log say \
     where it looks, and why it finds nobody",
    &[],
);
pub(super) const UNTRUSTED: Kind = wrong(
    "untrusted",
    "only clients that trust somebody else than this machine does, or ask by another name, can connect",
    "if its certificate is the right one, set SSL_CERT_FILE to a file with its authority, or give a URL with a name that it is for",
    &[],
);
pub(super) const NO_STREAM: Kind = wrong(
    "no-stream",
    "an EventSource gives up for good on any answer but 200 with Content-Type: text/event-stream",
    "give the URL that clients use, with the --header lines that they need; where a page redirects, the URL that it leads to",
    &[],
);
pub(super) const REFUSED: Kind = wrong(
    "refused",
    "a client that comes back and gets such an answer gives up for good",
    "see why the server or something on the way refuses a second request; limits of connections or of requests a minute do",
    &[],
);
pub(super) const COMPRESSED: Kind = wrong(
    "compressed",
    "what compresses holds events until it has enough to compress, and a stream that is compressed cannot be given ids",
    "leave event streams uncompressed on the way",
    &[
        lines("nginx", &["gzip off;"]),
        lines(
            "HAProxy",
            &["compression type text/html text/css application/json  # without text/event-stream"],
        ),
        lines("Caddy", &["@pages not header Accept text/event-stream", "encode @pages gzip"]),
    ],
);
const UNBUFFERED: &[Lines] = &[
    lines("nginx", &["proxy_http_version 1.1;", "proxy_buffering off;", "gzip off;"]),
    lines(
        "HAProxy",
        &["option http-no-delay", "# and no `filter compression`, no `http-response wait-for-body`"],
    ),
    lines("Caddy", &["reverse_proxy 127.0.0.1:8080 {", "    flush_interval -1", "}"]),
];
pub(super) const BUFFERS: Kind = wrong(
    "buffers",
    "events reach clients late and several at a time",
    "have everything on the way hand on what comes at once; X-Accel-Buffering: no, which respool sends, must not be removed",
    UNBUFFERED,
);
pub(super) const HOLDS_HEAD: Kind = wrong(
    "holds-head",
    "a page is told that it is connected only with the first event, and may take a quiet stream for a dead one",
    "have the head handed on at once; where the event server itself keeps it, it must flush its headers",
    UNBUFFERED,
);
pub(super) const ENDS_IDLE: Kind = wrong(
    "ends-idle",
    "clients are cut whenever nothing happens for so long, and come back for nothing",
    "raise the read timeout on the way, and set respool's `heartbeat` well below it",
    &[
        lines("nginx", &["proxy_read_timeout 1h;", "proxy_send_timeout 1h;"]),
        lines("HAProxy", &["timeout client 1h", "timeout server 1h"]),
        lines(
            "Caddy",
            &["# neither `read_timeout` below `transport http` nor `write` below `servers > timeouts`"],
        ),
        lines("respool", &["heartbeat = \"15s\"  # in the route; shorter than every timeout on the way"]),
    ],
);
pub(super) const STRIPS_CURSOR: Kind = wrong(
    "strips-last-event-id",
    "a client that comes back is taken for a new one, and what it missed is lost",
    "have the request header Last-Event-ID passed on",
    &[
        lines("nginx", &["proxy_set_header Last-Event-ID $http_last_event_id;"]),
        lines("HAProxy", &["# no `http-request del-header Last-Event-ID`"]),
        lines("Caddy", &["# no `header_up -Last-Event-ID` below `reverse_proxy`"]),
    ],
);
pub(super) const GAP: Kind = wrong(
    "gap",
    "a client that came back was told that what it missed is not to be had any more, and was served as a new one",
    "expired: a larger `window`; generation: respool was started again, or there are several and a client must come back to \
     the same one, or something on the way adds a header that changes and so makes another client of it (name what counts \
     in `key`)",
    &[],
);
pub(super) const LOST: Kind = wrong(
    "lost",
    "clients miss events when they lose their connection",
    "have clients go through respool; where they do, see the other findings first. With a `guard`, events that were answered \
     meanwhile are left out on purpose",
    &[],
);
pub(super) const REPEATED: Kind = wrong(
    "repeated",
    "clients get events a second time when they come back",
    "where the event server repeats its ids, or sends events without, write `ids = \"replace\"` in the route",
    &[],
);
pub(super) const REORDERED: Kind = wrong(
    "reordered",
    "clients get events in another order than they were sent in",
    "see that there is one event server, or that clients stay with one of several",
    &[],
);
pub(super) const NO_IDS: Kind = wrong(
    "no-ids",
    "no client can say where it was, and each loses what is sent while it is away",
    "see that this is respool's address and not the event server's own, and that no route says `mode = \"pass\"` or \
     `stamp = \"never\"`; with credentials or CORS, that the request is what an EventSource sends",
    &[],
);
pub(super) const IDS_COUNTED: Kind = wrong(
    "ids-counted",
    "the event server counts its ids for each connection, so that they are no places in the stream: who comes back with one \
     gets what another connection had there",
    "write `ids = \"replace\"` in the route",
    &[],
);
pub(super) const IDS_RANDOM: Kind = wrong(
    "ids-random",
    "the event server gives the same event another id on each connection, so that they are no places in the stream",
    "write `ids = \"replace\"` in the route",
    &[],
);
pub(super) const IDS_REPEATED: Kind = wrong(
    "ids-repeated",
    "the event server gives several events the same id: who comes back with it may get events again",
    "write `ids = \"replace\"` in the route",
    &[],
);
pub(super) const SILENT: Kind = wrong(
    "silent",
    "no event came, so that nothing was proven",
    "make events happen, or give a longer --for; if there were some, something on the way keeps them: give --direct URL with \
     the event server's own address to see",
    UNBUFFERED,
);
pub(super) const UNCUT: Kind = wrong(
    "uncut",
    "the connection was never cut, so that nothing was proven",
    "give a longer --for, or --cuts above zero",
    &[],
);

pub(super) const IS_RESPOOL: Kind = wrong(
    "is-respool",
    "this is respool's answer, and what is behind it cannot be watched through it",
    "give the address of the bare event server",
    &[],
);

pub(super) const FOREIGN: Kind = note(
    "foreign",
    "the event server was asked with its own id; whether it goes on from there is up to it",
    "where the comparison shows losses, write `ids = \"replace\"` in the route",
);
pub(super) const NOT_RESPOOL: Kind = note(
    "not-respool",
    "the answers do not say Respool-Resume: either this is not respool, or its route passes this stream, or the header is \
     removed on the way; the comparison alone was judged",
    "give the address by which clients reach respool",
);
pub(super) const ENDED: Kind = note(
    "ended",
    "connections were ended that nobody cut, and not for being idle",
    "a server that ends its streams does this; so does a limit on the lifetime of connections on the way",
);
pub(super) const UNEVEN: Kind = note(
    "uneven",
    "the same events came by the two connections at other times: either something on the way buffers, or the event server \
     serves each connection in its own time",
    "give --direct URL with the event server's own address: it tells which",
);
pub(super) const SHUFFLED: Kind = note(
    "shuffled",
    "the event server tells its connections of the same events in different orders",
    "nothing need be done: each client has the order of its own connection",
);
pub(super) const UNPROVEN: Kind = note(
    "nothing-missed",
    "nothing happened while the connection was cut, so that there was nothing to make up for",
    "try again while more happens, or give a longer --for",
);
