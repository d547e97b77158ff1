//! What HTTP/2 gets that breaks its rules: each as it is on the wire, beside another request on the same connection, and
//! what becomes of it.

use super::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PREFACE, PRIORITY,
    PROMISE, RESET, SETTINGS, WINDOW, block, frame, settings,
};

/// The stream that a row is about; another one is open beside it.
pub(super) const STREAM: u32 = 3;
/// The other one.
pub(super) const BESIDE: u32 = 1;
/// One that is asked for behind all that.
pub(super) const BEHIND: u32 = 901;

pub(super) struct Row {
    /// As the docs have it.
    pub(super) name: &'static str,
    pub(super) sent: Vec<u8>,
    pub(super) gets: Gets,
    /// Whether nothing is sent before it, not even what a client says that it speaks.
    pub(super) is_first: bool,
}

/// What becomes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Gets {
    /// The end of its connection. Nothing of it reaches the upstream.
    Ended,
    /// The same, behind a request that was whole before it, and may have passed.
    EndedBehind,
    /// The end of its stream alone. What the upstream had of it never ended there.
    Reset,
    /// This status, on its stream. Nothing of it reaches the upstream.
    Status(u16),
    /// It reaches the upstream, as this request and no other.
    Passes(&'static str),
    /// Nothing: it asks for nothing, and does no harm.
    Nothing,
}

impl Gets {
    /// As the docs have it.
    pub(super) fn said(self) -> String {
        match self {
            Self::Ended => "the connection is ended".to_owned(),
            Self::EndedBehind => {
                "the connection is ended; what was whole before it may have passed".to_owned()
            }
            Self::Reset => "its stream is reset".to_owned(),
            Self::Status(status) => format!("{status}"),
            Self::Passes(_) => "passes".to_owned(),
            Self::Nothing => "nothing".to_owned(),
        }
    }
}

use Gets::{Ended, EndedBehind, Nothing, Passes, Reset, Status};

fn row(name: &'static str, sent: impl Into<Vec<u8>>, gets: Gets) -> Row {
    Row { name, sent: sent.into(), gets, is_first: false }
}

fn first(name: &'static str, sent: impl Into<Vec<u8>>) -> Row {
    Row { name, sent: sent.into(), gets: Ended, is_first: true }
}

/// A head as it is packed, of lines `NAME=VALUE` with a bar between.
fn head(lines: &str) -> Vec<u8> {
    let lines: Vec<_> = lines
        .split('|')
        .map(|line| {
            // A name may begin with a colon, and a value have one.
            let (name, value) = line.split_once('=').unwrap();
            (name.as_bytes(), value.as_bytes())
        })
        .collect();
    block(&lines)
}

/// What each request begins with.
const GET: &str = ":method=GET|:scheme=http|:path=/x|:authority=a";
const POST: &str = ":method=POST|:scheme=http|:path=/x|:authority=a";

const ALL: u8 = END_HEADERS | END_STREAM;

/// A request without a body, of this head alone.
fn of(lines: &str) -> Vec<u8> {
    frame(HEADERS, ALL, STREAM, &head(lines))
}

/// A GET with these lines, too.
fn get(lines: &str) -> Vec<u8> {
    of(&format!("{GET}|{lines}"))
}

/// A POST with these lines, too, and whatever is behind its head.
fn post(lines: &str, behind: &[Vec<u8>]) -> Vec<u8> {
    let bar = if lines.is_empty() { "" } else { "|" };
    let begun = frame(HEADERS, END_HEADERS, STREAM, &head(&format!("{POST}{bar}{lines}")));
    [begun, behind.concat()].concat()
}

/// A part of a body.
fn data(flags: u8, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, flags, STREAM, bytes)
}

/// A head of which only this is said, as it is.
fn packed(bytes: &[u8]) -> Vec<u8> {
    frame(HEADERS, ALL, STREAM, bytes)
}

/// The same behind all that a request needs.
fn packed_behind(bytes: &[u8]) -> Vec<u8> {
    packed(&[&head(GET), bytes].concat())
}

/// What is sent on the connection before a row: the head of another request.
pub(super) fn before() -> Vec<u8> {
    frame(HEADERS, END_HEADERS, BESIDE, &head(&POST.replace("/x", "/beside")))
}

/// What is sent behind it: the body of that one, and one more.
pub(super) fn behind() -> Vec<u8> {
    let canary = head(&GET.replace("/x", "/behind"));
    [frame(DATA, END_STREAM, BESIDE, b"ok"), frame(HEADERS, ALL, BEHIND, &canary)].concat()
}

/// All of them.
pub(super) fn rows() -> Vec<Row> {
    let groups =
        [beginnings, frames, sizes, pieces, streams, states, windows, paddings, packings, pseudo, paths];
    let more = [authorities, fields, values, lengths, trailers, tunnels, larges];
    groups.iter().chain(&more).flat_map(|group| group()).collect()
}

fn beginnings() -> Vec<Row> {
    let begun = |rest: &[u8]| [PREFACE, rest].concat();
    let canary = frame(HEADERS, ALL, 1, &head(GET));
    let ok = settings(&[]);
    vec![
        first("HTTP/2 begins: with a frame that is no SETTINGS", begun(&canary)),
        first("HTTP/2 begins: with a PING", begun(&frame(PING, 0, 0, &[0; 8]))),
        first("HTTP/2 begins: with SETTINGS that answer none", begun(&frame(SETTINGS, ACK, 0, &[]))),
        first("HTTP/2 begins: twice", begun(&[&ok[..], PREFACE, &canary].concat())),
        first("HTTP/2 begins: with a request of HTTP/1", begun(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")),
    ]
}

fn frames() -> Vec<Row> {
    vec![
        row("HTTP/2 frame: of a kind that nobody knows", frame(0xbb, 0xff, STREAM, b"x"), Nothing),
        row(
            "HTTP/2 frame: with flags that nobody knows",
            frame(HEADERS, ALL | 0xd0, STREAM, &head(GET)),
            Passes("GET /x"),
        ),
        row(
            "HTTP/2 frame: PUSH_PROMISE of a client",
            frame(PROMISE, END_HEADERS, STREAM, &[&[0, 0, 0, 4], &head(GET)[..]].concat()),
            Ended,
        ),
        row(
            "HTTP/2 frame: GOAWAY, and a request behind it",
            [frame(GOAWAY, 0, 0, &[0; 8]), of(GET)].concat(),
            Passes("GET /x"),
        ),
        row("HTTP/2 frame: GOAWAY on a stream", frame(GOAWAY, 0, STREAM, &[0; 8]), Ended),
        row("HTTP/2 frame: PING on a stream", frame(PING, 0, STREAM, &[0; 8]), Ended),
        row("HTTP/2 frame: SETTINGS on a stream", frame(SETTINGS, 0, STREAM, &[]), Ended),
        row("HTTP/2 frame: SETTINGS that answer with something", frame(SETTINGS, ACK, 0, &[0; 6]), Ended),
        row("HTTP/2 frame: a setting that nobody knows", settings(&[(0xbb, 7)]), Nothing),
        row("HTTP/2 frame: a setting ENABLE_PUSH of 2", settings(&[(2, 2)]), Ended),
        row("HTTP/2 frame: a setting of a window beyond 31 bits", settings(&[(4, 1 << 31)]), Ended),
        row("HTTP/2 frame: a setting of frames of less than 16 KiB", settings(&[(5, 16_383)]), Ended),
        row("HTTP/2 frame: a setting of frames of more than 24 bits", settings(&[(5, 1 << 24)]), Ended),
        row("HTTP/2 frame: a setting CONNECT_PROTOCOL of 2", settings(&[(8, 2)]), Ended),
        row("HTTP/2 frame: PRIORITY on no stream", frame(PRIORITY, 0, 0, &[0; 5]), Ended),
        row(
            "HTTP/2 frame: PRIORITY of a stream that depends on itself",
            frame(PRIORITY, 0, STREAM, &[0, 0, 0, 3, 0]),
            Reset,
        ),
        row(
            "HTTP/2 frame: HEADERS of a stream that depends on itself",
            frame(HEADERS, ALL | 0x20, STREAM, &[&[0, 0, 0, 3, 0], &head(GET)[..]].concat()),
            Reset,
        ),
        row(
            "HTTP/2 frame: HEADERS of a stream that depends on another",
            frame(HEADERS, ALL | 0x20, STREAM, &[&[0, 0, 0, 9, 0], &head(GET)[..]].concat()),
            Passes("GET /x"),
        ),
    ]
}

fn sizes() -> Vec<Row> {
    vec![
        row("HTTP/2 size: DATA of more than 16 KiB", post("", &[data(END_STREAM, &[b'x'; 16_385])]), Ended),
        row("HTTP/2 size: HEADERS of more than 16 KiB", get(&format!("x={}", "y".repeat(16_370))), Ended),
        row("HTTP/2 size: PING of seven bytes", frame(PING, 0, 0, &[0; 7]), Ended),
        row("HTTP/2 size: SETTINGS of five bytes", frame(SETTINGS, 0, 0, &[0; 5]), Ended),
        row("HTTP/2 size: a reset of three bytes", post("", &[frame(RESET, 0, STREAM, &[0; 3])]), Ended),
        row("HTTP/2 size: PRIORITY of four bytes", frame(PRIORITY, 0, STREAM, &[0; 4]), Ended),
        row("HTTP/2 size: a window of three bytes", frame(WINDOW, 0, 0, &[0; 3]), Ended),
        row("HTTP/2 size: GOAWAY of seven bytes", frame(GOAWAY, 0, 0, &[0; 7]), Ended),
        row(
            "HTTP/2 size: HEADERS with a priority of four bytes",
            frame(HEADERS, ALL | 0x20, STREAM, &[0; 4]),
            Ended,
        ),
    ]
}

fn pieces() -> Vec<Row> {
    let all = head(GET);
    let begun = frame(HEADERS, END_STREAM, STREAM, &all[..9]);
    let more = |flags: u8, stream: u32, bytes: &[u8]| frame(CONTINUATION, flags, stream, bytes);
    let then = |behind: Vec<u8>| [begun.clone(), behind].concat();
    vec![
        row("HTTP/2 head in pieces: two", then(more(END_HEADERS, STREAM, &all[9..])), Passes("GET /x")),
        row(
            "HTTP/2 head in pieces: of a byte each",
            then(
                all[9..20]
                    .iter()
                    .map(|byte| more(0, STREAM, &[*byte]))
                    .chain([more(END_HEADERS, STREAM, &all[20..])])
                    .collect::<Vec<_>>()
                    .concat(),
            ),
            Ended,
        ),
        row(
            "HTTP/2 head in pieces: with a PING between",
            then([frame(PING, 0, 0, &[0; 8]), more(END_HEADERS, STREAM, &all[9..])].concat()),
            Ended,
        ),
        row(
            "HTTP/2 head in pieces: with a frame between that nobody knows",
            then([frame(0xbb, 0, 0, b"x"), more(END_HEADERS, STREAM, &all[9..])].concat()),
            Ended,
        ),
        row("HTTP/2 head in pieces: with DATA behind the first", then(data(END_STREAM, b"x")), Ended),
        row(
            "HTTP/2 head in pieces: with another head behind the first",
            then(frame(HEADERS, ALL, 5, &head(GET))),
            Ended,
        ),
        row(
            "HTTP/2 head in pieces: the second of another stream",
            then(more(END_HEADERS, 5, &all[9..])),
            Ended,
        ),
        row("HTTP/2 head in pieces: the second alone", more(END_HEADERS, STREAM, &all), Ended),
        row(
            "HTTP/2 head in pieces: a third behind the last",
            [then(more(END_HEADERS, STREAM, &all[9..])), more(END_HEADERS, STREAM, &head("x=y"))].concat(),
            EndedBehind,
        ),
    ]
}

fn streams() -> Vec<Row> {
    let on = |stream: u32| frame(HEADERS, ALL, stream, &head(GET));
    vec![
        row("HTTP/2 stream: none", on(0), Ended),
        row("HTTP/2 stream: an even one", on(4), Ended),
        row(
            "HTTP/2 stream: before one that was",
            [frame(HEADERS, ALL, 7, &head(GET)), on(5)].concat(),
            EndedBehind,
        ),
        row(
            "HTTP/2 stream: some are left out, and the reserved bit is set",
            frame(HEADERS, ALL, STREAM | 1 << 31, &head(GET)),
            Passes("GET /x"),
        ),
        row("HTTP/2 stream: DATA on none", frame(DATA, 0, 0, b"x"), Ended),
        row("HTTP/2 stream: DATA on one that was not begun", data(END_STREAM, b"x"), Ended),
        row("HTTP/2 stream: DATA on an even one", frame(DATA, 0, 4, b"x"), Ended),
        row("HTTP/2 stream: a reset of none", frame(RESET, 0, 0, &[0; 4]), Ended),
        row("HTTP/2 stream: a reset of one that was not begun", frame(RESET, 0, STREAM, &[0; 4]), Ended),
        row(
            "HTTP/2 stream: a window for one that was not begun",
            frame(WINDOW, 0, STREAM, &[0, 0, 0, 1]),
            Ended,
        ),
    ]
}

/// What comes when its stream is past it.
fn states() -> Vec<Row> {
    vec![
        row("HTTP/2 stream: DATA behind its end", [of(GET), data(END_STREAM, b"x")].concat(), EndedBehind),
        row("HTTP/2 stream: a head behind its end", [of(GET), of(GET)].concat(), EndedBehind),
        row(
            "HTTP/2 stream: DATA behind a reset",
            post("", &[frame(RESET, 0, STREAM, &[0, 0, 0, 8]), data(END_STREAM, b"x")]),
            Reset,
        ),
        row(
            "HTTP/2 stream: reset, and then reset",
            post("", &[frame(RESET, 0, STREAM, &[0, 0, 0, 8]).repeat(2)]),
            Nothing,
        ),
    ]
}

fn windows() -> Vec<Row> {
    let window = |stream: u32, by: u32| frame(WINDOW, 0, stream, &by.to_be_bytes());
    let most = (1 << 31) - 1;
    vec![
        row("HTTP/2 window: opened by nothing", window(0, 0), Ended),
        row("HTTP/2 window: of a stream, opened by nothing", post("", &[window(STREAM, 0)]), Ended),
        row("HTTP/2 window: beyond 31 bits", window(0, most), Ended),
        row("HTTP/2 window: of a stream, beyond 31 bits", post("", &[window(STREAM, most)]), Reset),
        row(
            "HTTP/2 window: of a stream, beyond 31 bits by a setting",
            post("", &[window(STREAM, most - 65_535), settings(&[(4, 65_536)])]),
            Ended,
        ),
    ]
}

fn paddings() -> Vec<Row> {
    let padded = |kind: u8, flags: u8, bytes: &[u8]| frame(kind, flags | PADDED, STREAM, bytes);
    let all = head(GET);
    vec![
        row(
            "HTTP/2 padding: of DATA",
            post("", &[padded(DATA, END_STREAM, b"\x02hi\0\0")]),
            Passes("POST /x | \"hi\""),
        ),
        row(
            "HTTP/2 padding: that is all there is of DATA",
            post("", &[padded(DATA, END_STREAM, b"\x02\0\0")]),
            Passes("POST /x"),
        ),
        row(
            "HTTP/2 padding: of DATA, longer than it",
            post("", &[padded(DATA, END_STREAM, b"\x05hi\0\0")]),
            Ended,
        ),
        row(
            "HTTP/2 padding: of DATA that has not even its length",
            post("", &[padded(DATA, END_STREAM, b"")]),
            Ended,
        ),
        row(
            "HTTP/2 padding: of a head",
            padded(HEADERS, ALL, &[&[2], &all[..], &[0; 2]].concat()),
            Passes("GET /x"),
        ),
        row(
            "HTTP/2 padding: of a head, longer than it",
            padded(HEADERS, ALL, &[&[250], &all[..]].concat()),
            Ended,
        ),
        row("HTTP/2 padding: of a head that has not even its length", padded(HEADERS, ALL, b""), Ended),
    ]
}

fn packings() -> Vec<Row> {
    vec![
        row("HTTP/2 packing: the line 0 of the table", packed_behind(&[0x80]), Ended),
        row("HTTP/2 packing: a line beyond the table", packed_behind(&[0xbf]), Ended),
        row(
            "HTTP/2 packing: a line beyond all numbers",
            packed_behind(&[&[0xff][..], &[0xff; 12], &[1]].concat()),
            Ended,
        ),
        row("HTTP/2 packing: a name that is longer than the frame", packed_behind(&[0, 60, b'x']), Ended),
        row(
            "HTTP/2 packing: a value that is longer than the frame",
            packed_behind(&[0, 1, b'x', 60, b'y']),
            Ended,
        ),
        row(
            "HTTP/2 packing: a code of Huffman's that ends too late",
            packed_behind(&[0, 1, b'x', 0x82, 0x1f, 0xff]),
            Ended,
        ),
        row(
            "HTTP/2 packing: a code of Huffman's for the end",
            packed_behind(&[0, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xff]),
            Ended,
        ),
        row(
            "HTTP/2 packing: a table larger than agreed",
            packed(&[&[0x3f, 0xe2, 0x1f], &head(GET)[..]].concat()),
            Ended,
        ),
        row("HTTP/2 packing: a table changed within a head", packed_behind(&[0x20]), Ended),
        row(
            "HTTP/2 packing: a table changed before a head",
            packed(&[&[0x20], &head(GET)[..]].concat()),
            Passes("GET /x"),
        ),
        row(
            "HTTP/2 packing: a line that is not to be remembered",
            packed_behind(&[0x10, 1, b'x', 1, b'y']),
            Passes("GET /x | x: y"),
        ),
    ]
}

fn pseudo() -> Vec<Row> {
    let rest = |without: &str| {
        let lines: Vec<_> = GET.split('|').filter(|line| !line.starts_with(without)).collect();
        of(&lines.join("|"))
    };
    vec![
        row("HTTP/2 head: nothing", packed(&[]), Reset),
        row("HTTP/2 head: no `:method`", rest(":method"), Reset),
        row("HTTP/2 head: no `:path`", rest(":path"), Reset),
        row("HTTP/2 head: no `:scheme`", rest(":scheme"), Reset),
        row("HTTP/2 head: no `:authority`, and no `Host`", rest(":authority"), Status(400)),
        row("HTTP/2 head: `:method` twice", get(":method=GET"), Reset),
        row("HTTP/2 head: `:path` twice", get(":path=/y"), Reset),
        row("HTTP/2 head: `:scheme` twice", get(":scheme=http"), Reset),
        row("HTTP/2 head: `:authority` twice", get(":authority=b"), Reset),
        row(
            "HTTP/2 head: `:path` behind other lines",
            of(":method=GET|:scheme=http|:authority=a|x=y|:path=/x"),
            Reset,
        ),
        row("HTTP/2 head: `:status`", get(":status=200"), Reset),
        row("HTTP/2 head: a line with a colon that nobody knows", get(":odd=1"), Ended),
        row("HTTP/2 head: an empty `:method`", of(":method=|:scheme=http|:path=/x|:authority=a"), Ended),
        row(
            "HTTP/2 head: a `:method` with a space",
            of(":method=GET /y|:scheme=http|:path=/x|:authority=a"),
            Ended,
        ),
        row(
            "HTTP/2 head: a `:method` with a line end",
            of(":method=GET\r\n|:scheme=http|:path=/x|:authority=a"),
            Ended,
        ),
        row(
            "HTTP/2 head: a `:method` in lower case",
            of(":method=get|:scheme=http|:path=/x|:authority=a"),
            Passes("get /x"),
        ),
        row(
            "HTTP/2 head: a `:scheme` of another kind",
            of(":method=GET|:scheme=ftp|:path=/x|:authority=a"),
            Status(400),
        ),
        row(
            "HTTP/2 head: a `:scheme` of TLS, where there is none",
            of(":method=GET|:scheme=https|:path=/x|:authority=a"),
            Passes("GET /x"),
        ),
        row(
            "HTTP/2 head: a `:scheme` that is none",
            of(":method=GET|:scheme=h t|:path=/x|:authority=a"),
            Reset,
        ),
        row(
            "HTTP/2 head: a `:scheme` that is a whole address",
            of(":method=GET|:scheme=http://b/?|:path=/x|:authority=a"),
            Reset,
        ),
    ]
}

fn paths() -> Vec<Row> {
    let to = |path: &str| of(&GET.replace("/x", path));
    vec![
        row("HTTP/2 path: empty", to(""), Reset),
        row("HTTP/2 path: `*`", to("*"), Status(400)),
        row(
            "HTTP/2 path: `*` of OPTIONS",
            of(":method=OPTIONS|:scheme=http|:path=*|:authority=a"),
            Passes("OPTIONS *"),
        ),
        row("HTTP/2 path: without a slash", to("x"), Reset),
        row("HTTP/2 path: a whole address", to("http://b/x"), Reset),
        row("HTTP/2 path: with a space", to("/x y"), Reset),
        row("HTTP/2 path: with a line end", to("/x HTTP/1.1\r\nHost: b\r\n\r\nGET /y"), Reset),
        row("HTTP/2 path: with a NUL", to("/x\0"), Reset),
        row("HTTP/2 path: with a fragment, which is dropped", to("/x#y"), Passes("GET /x")),
        row("HTTP/2 path: with two slashes before it", to("//b/x"), Passes("GET //b/x")),
        row("HTTP/2 path: of more than 8 KiB", to(&format!("/{}", "x".repeat(8200))), Status(414)),
    ]
}

fn authorities() -> Vec<Row> {
    let named = |lines: &str| of(&format!(":method=GET|:scheme=http|:path=/x|{lines}"));
    vec![
        row("HTTP/2 host: by `Host` alone", named("host=a"), Passes("GET /x")),
        row("HTTP/2 host: by both, which agree", get("host=a"), Passes("GET /x")),
        row("HTTP/2 host: by both, which do not", get("host=b"), Status(400)),
        row("HTTP/2 host: by two lines of `Host`", named("host=a|host=a"), Status(400)),
        row("HTTP/2 host: by both, the latter twice", get("host=a|host=a"), Status(400)),
        row("HTTP/2 host: empty", named(":authority="), Reset),
        row("HTTP/2 host: empty, with a `Host`", named(":authority=|host=a"), Reset),
        row("HTTP/2 host: with a user", named(":authority=me@a"), Status(400)),
        row("HTTP/2 host: with a path", named(":authority=a/b"), Reset),
        row("HTTP/2 host: with a port beyond 16 bits", named(":authority=a:99999"), Status(400)),
        row("HTTP/2 host: with a line end", named(":authority=a\r\nx: y"), Reset),
        row("HTTP/2 host: two words", named("host=a b"), Status(400)),
    ]
}

fn fields() -> Vec<Row> {
    vec![
        row("HTTP/2 line: a name with capitals", get("X-Own=1"), Ended),
        row("HTTP/2 line: a name with a space", get("x own=1"), Ended),
        row("HTTP/2 line: a name with a colon within", get("x:own=1"), Ended),
        row("HTTP/2 line: a name with a NUL", get("x\0=1"), Ended),
        row("HTTP/2 line: a name with a line end", get("x: 1\r\ny=1"), Ended),
        row("HTTP/2 line: no name", get("=1"), Ended),
        row("HTTP/2 line: `Connection`", get("connection=x-own"), Reset),
        row("HTTP/2 line: `Connection: close`", get("connection=close"), Reset),
        row("HTTP/2 line: `Keep-Alive`", get("keep-alive=5"), Reset),
        row("HTTP/2 line: `Proxy-Connection`", get("proxy-connection=close"), Reset),
        row("HTTP/2 line: `Transfer-Encoding: chunked`", get("transfer-encoding=chunked"), Reset),
        row("HTTP/2 line: `Upgrade`", get("upgrade=websocket"), Reset),
        row("HTTP/2 line: `TE: trailers`", get("te=trailers"), Passes("GET /x")),
        row("HTTP/2 line: `TE: gzip`", get("te=gzip"), Reset),
        row("HTTP/2 line: `HTTP2-Settings`", get("http2-settings=AAMAAABk"), Passes("GET /x")),
        row(
            "HTTP/2 line: `Cookie` in several",
            get("cookie=a=1|cookie=b=2"),
            Passes("GET /x | cookie: a=1; b=2"),
        ),
        row(
            "HTTP/2 line: two `Last-Event-ID`, of which the last counts",
            get("last-event-id=1|last-event-id=2"),
            Passes("GET /x | last-event-id: 2"),
        ),
        row(
            "HTTP/2 line: `Expect: 100-continue`",
            [
                frame(HEADERS, END_HEADERS, STREAM, &head(&format!("{POST}|expect=100-continue"))),
                data(END_STREAM, b"hi"),
            ]
            .concat(),
            Passes("POST /x | \"hi\""),
        ),
    ]
}

fn values() -> Vec<Row> {
    vec![
        row("HTTP/2 value: with a NUL", get("x=a\0b"), Ended),
        row("HTTP/2 value: with a CR", get("x=a\rb"), Ended),
        row("HTTP/2 value: with a LF", get("x=a\nb: c"), Ended),
        row(
            "HTTP/2 value: with a line end and a request",
            get("x=a\r\n\r\nGET /y HTTP/1.1\r\nHost: a\r\n\r\n"),
            Ended,
        ),
        row("HTTP/2 value: with DEL", get("x=a\x7f"), Ended),
        row("HTTP/2 value: with another control byte", get("x=a\x01"), Ended),
        row("HTTP/2 value: with a tab", get("x=a\tb"), Passes("GET /x | x: a\tb")),
        row("HTTP/2 value: with spaces around it", get("x= a "), Passes("GET /x | x: a")),
        row("HTTP/2 value: of `Last-Event-ID`, with a NUL", get("last-event-id=1\0"), Ended),
    ]
}

fn lengths() -> Vec<Row> {
    let hi = data(END_STREAM, b"hi");
    let told = |lines: &str| post(lines, std::slice::from_ref(&hi));
    vec![
        row("HTTP/2 length: as long as the body", told("content-length=2"), Passes("POST /x | \"hi\"")),
        row("HTTP/2 length: longer than the body", told("content-length=3"), Reset),
        row("HTTP/2 length: shorter than the body", told("content-length=1"), Reset),
        row("HTTP/2 length: of a request without a body", get("content-length=2"), Reset),
        row("HTTP/2 length: 0, of a request without a body", get("content-length=0"), Passes("GET /x")),
        row("HTTP/2 length: twice, and the same", told("content-length=2|content-length=2"), Status(400)),
        row("HTTP/2 length: twice, and not the same", told("content-length=2|content-length=9"), Reset),
        row("HTTP/2 length: a list", told("content-length=2, 2"), Reset),
        row("HTTP/2 length: with a plus", told("content-length=+2"), Reset),
        row("HTTP/2 length: empty", told("content-length="), Reset),
        row("HTTP/2 length: beyond 64 bits", told("content-length=99999999999999999999"), Reset),
        row("HTTP/2 length: none, and the body has one", told("x=y"), Passes("POST /x | x: y | \"hi\"")),
    ]
}

fn trailers() -> Vec<Row> {
    let hi = data(0, b"hi");
    let behind =
        |flags: u8, lines: &str| post("", &[hi.clone(), frame(HEADERS, flags, STREAM, &head(lines))]);
    vec![
        row("HTTP/2 trailers: ordinary ones", behind(ALL, "x=y"), Passes("POST /x | \"hi\"")),
        row(
            "HTTP/2 trailers: with `:path`, which is dropped",
            behind(ALL, ":path=/y"),
            Passes("POST /x | \"hi\""),
        ),
        row("HTTP/2 trailers: a whole head, which is dropped", behind(ALL, GET), Passes("POST /x | \"hi\"")),
        row("HTTP/2 trailers: that do not end their stream", behind(END_HEADERS, "x=y"), Reset),
        row("HTTP/2 trailers: with `Transfer-Encoding`", behind(ALL, "transfer-encoding=chunked"), Reset),
        row(
            "HTTP/2 trailers: with `Content-Length`",
            behind(ALL, "content-length=9"),
            Passes("POST /x | \"hi\""),
        ),
        row("HTTP/2 trailers: with a line end", behind(ALL, "x=a\r\n\r\nGET /y HTTP/1.1"), Ended),
    ]
}

fn tunnels() -> Vec<Row> {
    let to = |lines: &str| of(&format!(":method=CONNECT|{lines}"));
    vec![
        row("HTTP/2 tunnel: CONNECT", to(":authority=a:443"), Status(405)),
        row("HTTP/2 tunnel: CONNECT with a path", to(":scheme=http|:path=/x|:authority=a"), Reset),
        row("HTTP/2 tunnel: CONNECT to nobody", to("x=y"), Status(405)),
        row(
            "HTTP/2 tunnel: CONNECT of WebSocket, which is not offered",
            to(":protocol=websocket|:scheme=http|:path=/x|:authority=a"),
            Reset,
        ),
        row("HTTP/2 tunnel: `:protocol` of GET", get(":protocol=websocket"), Reset),
    ]
}

fn larges() -> Vec<Row> {
    let many: String = (0..64).map(|n| format!("|x-{n}=1")).collect();
    let long = "y".repeat(16_000);
    let (begun, more) = (head(&format!("{GET}|x={long}")), head(&format!("y={long}|z={long}")));
    let pieces = [
        frame(HEADERS, END_STREAM, STREAM, &begun),
        frame(CONTINUATION, 0, STREAM, &more[..16_000]),
        frame(CONTINUATION, END_HEADERS, STREAM, &more[16_000..]),
    ];
    vec![
        row("HTTP/2 size: more than 64 lines", of(&format!("{GET}{many}")), Status(431)),
        row("HTTP/2 size: a head of more than 32 KiB", pieces.concat(), Status(431)),
        row(
            "HTTP/2 size: a `Last-Event-ID` of more than 32 KiB",
            [
                frame(
                    HEADERS,
                    END_STREAM,
                    STREAM,
                    &[head(GET), vec![0, 13], b"last-event-id".to_vec(), vec![0x7f, 0x81, 0xff, 0x01]]
                        .concat(),
                ),
                frame(CONTINUATION, 0, STREAM, &[b'1'; 16_000]),
                frame(CONTINUATION, END_HEADERS, STREAM, &vec![b'1'; 32_768 - 16_000]),
            ]
            .concat(),
            Ended,
        ),
    ]
}
