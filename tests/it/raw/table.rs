//! What bad input gets: each request as it is on the wire, and what becomes of it.

/// A request, and perhaps more behind it.
pub(super) struct Row {
    /// As the docs have it.
    pub(super) name: &'static str,
    pub(super) sent: Vec<u8>,
    pub(super) gets: Gets,
}

/// What becomes of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Gets {
    /// This status, and the end of its connection. Nothing of it reaches the upstream.
    Status(u16),
    /// This status, or a cut where nobody waits for one any more. What the upstream had of it never ended there.
    Torn(u16),
    /// It reaches the upstream, as these requests and no other. The connection goes on.
    Passes(&'static [&'static str]),
    /// It reaches the upstream, as this request and no other; then its connection is ended, whatever is behind it.
    Last(&'static str),
    /// Nothing: the rest is waited for, as long as a head may take.
    Waits,
}

impl Gets {
    /// As the docs have it.
    pub(super) fn said(&self) -> String {
        match self {
            Self::Status(status) => format!("{status}"),
            Self::Torn(status) => format!("{status}; the server's connection is cut within it"),
            Self::Passes([_]) => "passes".to_owned(),
            Self::Passes(_) => "both pass, each as a request".to_owned(),
            Self::Last(_) => "passes; then the connection is ended, whatever is behind it".to_owned(),
            Self::Waits => "the rest is waited for, as long as a head may take; then a cut".to_owned(),
        }
    }
}

use Gets::{Last, Passes, Status, Torn, Waits};

/// What must never be taken for a request, where it stands in a body.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

fn row(name: &'static str, sent: impl Into<Vec<u8>>, gets: Gets) -> Row {
    Row { name, sent: sent.into(), gets }
}

/// A GET with these lines.
fn get(lines: &str) -> String {
    format!("GET /x HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n")
}

/// A POST with these lines and this body.
fn post(lines: &str, body: &str) -> String {
    format!("POST /x HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n{body}")
}

/// A POST with these chunks.
fn chunks(chunks: &str) -> String {
    post("Transfer-Encoding: chunked", chunks)
}

/// One with this target.
fn to(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// All of them.
pub(super) fn rows() -> Vec<Row> {
    let groups = [
        framing,
        codings,
        chunked,
        lines,
        bytes,
        hosts,
        targets,
        ways,
        hops,
        first_lines,
        sizes,
        credentials,
    ];
    groups.iter().flat_map(|group| group()).collect()
}

fn framing() -> Vec<Row> {
    let both = format!("0\r\n\r\n{SMUGGLED}");
    let length = |length: &str| post(&format!("Content-Length: {length}"), "hello");
    let two =
        |one: &str, other: &str| post(&format!("Content-Length: {one}\r\nContent-Length: {other}"), "hello");
    vec![
        row(
            "framing: a length, then chunks",
            post("Content-Length: 40\r\nTransfer-Encoding: chunked", &both),
            Last("POST /x"),
        ),
        row(
            "framing: chunks, then a length",
            post("Transfer-Encoding: chunked\r\nContent-Length: 40", &both),
            Last("POST /x"),
        ),
        row(
            "framing: chunks, then a length that is none",
            post("Transfer-Encoding: chunked\r\nContent-Length: x", &both),
            Last("POST /x"),
        ),
        row(
            "framing: a length that is none, then chunks",
            post("Content-Length: x\r\nTransfer-Encoding: chunked", &both),
            Status(400),
        ),
        row("framing: two lengths that differ", two("5", "36"), Status(400)),
        row("framing: two lengths that are equal", two("5", "5"), Passes(&["POST /x | \"hello\""])),
        row("framing: a list of lengths that differ", length("5, 6"), Status(400)),
        row("framing: a list of lengths that are equal", length("5, 5"), Status(400)),
        row("framing: a length with a plus", length("+5"), Status(400)),
        row("framing: a length with a minus", length("-5"), Status(400)),
        row("framing: a length in hexadecimal", length("0x5"), Status(400)),
        row("framing: a length with a space within", length("5 0"), Status(400)),
        row("framing: a length with a fraction", length("5.0"), Status(400)),
        row("framing: a length in quotes", length("\"5\""), Status(400)),
        row("framing: an empty length", length(""), Status(400)),
        row("framing: a length with zeros before it", length("005"), Passes(&["POST /x | \"hello\""])),
        row("framing: a length with spaces around it", length(" \t5 \t"), Passes(&["POST /x | \"hello\""])),
        row("framing: a length beyond 64 bits", length("18446744073709551621"), Status(400)),
        row("framing: a length that is the largest of 64 bits", length("18446744073709551615"), Status(431)),
        row(
            "framing: a length behind a name with an underscore",
            post("Content_Length: 40", SMUGGLED),
            Passes(&["POST /x | content_length: 40", "GET /smuggled"]),
        ),
        row(
            "framing: a request within a body",
            post(&format!("Content-Length: {}", SMUGGLED.len()), SMUGGLED),
            Passes(&["POST /x | \"GET /smuggled HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n\""]),
        ),
        row(
            "framing: a GET with a body",
            format!("GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len()),
            Passes(&["GET /x | \"GET /smuggled HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n\""]),
        ),
        row(
            "framing: a request right behind another",
            format!("{}{}", to("/x"), to("/y")),
            Passes(&["GET /x", "GET /y"]),
        ),
        row(
            "framing: a request behind one that says `close`",
            format!("{}{SMUGGLED}", get("Connection: close")),
            Last("GET /x"),
        ),
        row(
            "framing: a body in HTTP/1.0",
            "POST /x HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            Last("POST /x | \"hello\""),
        ),
    ]
}

fn codings() -> Vec<Row> {
    let coded = |coding: &str| post(coding, &format!("0\r\n\r\n{SMUGGLED}"));
    let named = |coding: &str| coded(&format!("Transfer-Encoding: {coding}"));
    vec![
        row("coding: `CHUNKED`", post("Transfer-Encoding: CHUNKED", "0\r\n\r\n"), Passes(&["POST /x"])),
        row(
            "coding: `chunked` with a tab before it",
            post("Transfer-Encoding:\tchunked", "0\r\n\r\n"),
            Passes(&["POST /x"]),
        ),
        row("coding: `xchunked`", named("xchunked"), Status(400)),
        row("coding: `identity`", named("identity"), Status(400)),
        row("coding: `chunked, identity`", named("chunked, identity"), Status(400)),
        row("coding: `identity, chunked`", named("identity, chunked"), Status(400)),
        row("coding: `gzip, chunked`", named("gzip, chunked"), Status(400)),
        row("coding: `chunked` twice in a list", named("chunked, chunked"), Status(400)),
        row(
            "coding: `chunked` twice, line by line",
            coded("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            Status(400),
        ),
        row("coding: a comma behind it", named("chunked,"), Status(400)),
        row("coding: a comma before it", named(",chunked"), Status(400)),
        row("coding: in quotes", named("\"chunked\""), Status(400)),
        row("coding: with a parameter", named("chunked;q=1"), Status(400)),
        row("coding: with a vertical tab before it", named("\u{b}chunked"), Status(400)),
        row("coding: with a NUL behind it", named("chunked\0"), Status(400)),
        row("coding: on a folded line", coded("Transfer-Encoding:\r\n chunked"), Status(400)),
        row("coding: empty", named(""), Status(400)),
        row(
            "coding: in HTTP/1.0",
            format!("POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}"),
            Status(400),
        ),
        row(
            "coding: behind a name with an underscore",
            post("Transfer_Encoding: chunked", ""),
            Passes(&["POST /x | transfer_encoding: chunked"]),
        ),
        row("coding: with a space before the colon", coded("Transfer-Encoding : chunked"), Status(400)),
    ]
}

fn chunked() -> Vec<Row> {
    let hi = Passes(&["POST /x | \"hi\""]);
    vec![
        row("chunk: of a size with `0x`", chunks("0x2\r\nhi\r\n0\r\n\r\n"), Torn(400)),
        row("chunk: of a size with a plus", chunks("+2\r\nhi\r\n0\r\n\r\n"), Torn(400)),
        row("chunk: of a size with a minus", chunks("-2\r\nhi\r\n0\r\n\r\n"), Torn(400)),
        row("chunk: of a size with a space before it", chunks(" 2\r\nhi\r\n0\r\n\r\n"), Torn(400)),
        row("chunk: of a size with a space behind it", chunks("2 \r\nhi\r\n0\r\n\r\n"), hi.clone()),
        row("chunk: of a size with an underscore", chunks("0_2\r\nhi\r\n0\r\n\r\n"), Torn(400)),
        row("chunk: of a size with zeros before it", chunks("00002\r\nhi\r\n000\r\n\r\n"), hi.clone()),
        row("chunk: of a size beyond 64 bits", chunks("10000000000000002\r\nhi\r\n0\r\n\r\n"), Torn(400)),
        row("chunk: of no size", chunks("\r\nhi\r\n0\r\n\r\n"), Torn(400)),
        row("chunk: with extensions", chunks("2;a=b;c=\"d\"\r\nhi\r\n0;e\r\n\r\n"), hi.clone()),
        row("chunk: with a LF in an extension", chunks("2;a\nhi\r\n0\r\n\r\n"), Torn(400)),
        row(
            "chunk: with more than 16 KiB of extensions",
            chunks(&format!("2;{}\r\nhi\r\n0\r\n\r\n", "a".repeat(17 * 1024))),
            Torn(400),
        ),
        row("chunk: a size that ends in a LF alone", chunks("2\nhi\r\n0\r\n\r\n"), Torn(400)),
        row("chunk: a size that ends in a CR alone", chunks("2\rhi\r\n0\r\n\r\n"), Torn(400)),
        row("chunk: that ends in a LF alone", chunks("2\r\nhi\n0\r\n\r\n"), Torn(400)),
        row("chunk: longer than it says", chunks("2\r\nhidden\r\n0\r\n\r\n"), Torn(400)),
        row("chunk: shorter than it says", chunks("4\r\nhi\r\n0\r\n\r\n"), Torn(400)),
        row(
            "chunk: the last one with a request in the trailers",
            chunks(&format!("2\r\nhi\r\n0\r\n{SMUGGLED}")),
            Torn(400),
        ),
        row(
            "chunk: trailers that name the length and the host",
            chunks("2\r\nhi\r\n0\r\nContent-Length: 40\r\nHost: b\r\nCookie: c\r\n\r\n"),
            hi,
        ),
        row(
            "chunk: more than 64 trailers",
            chunks(&format!("2\r\nhi\r\n0\r\n{}\r\n", "X: y\r\n".repeat(65))),
            Torn(400),
        ),
    ]
}

fn lines() -> Vec<Row> {
    vec![
        row(
            "line: that ends in a LF alone",
            "GET /x HTTP/1.1\nHost: a\nCookie: c\n\n",
            Passes(&["GET /x | cookie: c"]),
        ),
        row("line: that ends in a CR alone", "GET /x HTTP/1.1\rHost: a\r\r", Status(400)),
        row("line: a header's that ends in a CR alone", get("X: y\rCookie: c"), Status(400)),
        row("line: an empty one before the first", format!("\r\n{}", to("/x")), Passes(&["GET /x"])),
        row(
            "line: that begins with a space, right behind the first",
            "GET /x HTTP/1.1\r\n Host: a\r\n\r\n",
            Status(400),
        ),
        row("line: folded", get("X: y\r\n Cookie: c"), Status(400)),
        row("line: folded with a tab", get("X: y\r\n\tCookie: c"), Status(400)),
        row("line: a space before the colon", get("Cookie : c"), Status(400)),
        row("line: without a colon", get("Cookie"), Status(400)),
        row("line: without a name", get(": c"), Status(400)),
        row("line: a head that does not end", "GET /x HTTP/1.1\r\nHost: a\r\n", Waits),
    ]
}

fn bytes() -> Vec<Row> {
    vec![
        row("byte: NUL in a header's value", get("Cookie: a\0b"), Status(400)),
        row("byte: a control byte in a header's value", get("Cookie: a\u{1}b"), Status(400)),
        row("byte: DEL in a header's value", get("Cookie: a\u{7f}b"), Status(400)),
        row("byte: a tab in a header's value", get("Cookie: a\tb"), Passes(&["GET /x | cookie: a\tb"])),
        row(
            "byte: not ASCII in a header's value",
            b"GET /x HTTP/1.1\r\nHost: a\r\nCookie: \xff\r\n\r\n",
            Passes(&["GET /x | cookie: \u{ff}"]),
        ),
        row("byte: NUL in a header's name", get("Coo\0kie: c"), Status(400)),
        row("byte: a space in a header's name", get("Coo kie: c"), Status(400)),
        row(
            "byte: not ASCII in a header's name",
            b"GET /x HTTP/1.1\r\nHost: a\r\nC\xffk: c\r\n\r\n",
            Status(400),
        ),
        row("byte: parentheses in a header's name", get("Cookie(): c"), Status(400)),
        row("byte: NUL in the path", to("/x\0y"), Status(400)),
        row("byte: a control byte in the path", to("/x\u{1}y"), Status(400)),
        row("byte: DEL in the path", to("/x\u{7f}y"), Status(400)),
        row("byte: a tab in the path", to("/x\ty"), Status(400)),
        row("byte: a CR in the path", to("/x\ry"), Status(400)),
        row("byte: not ASCII in the path, in UTF-8", to("/\u{e9}"), Passes(&["GET /\u{c3}\u{a9}"])),
        row(
            "byte: not ASCII in the path, in no UTF-8",
            b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
            Status(400),
        ),
    ]
}

fn hosts() -> Vec<Row> {
    let host = |host: &str| format!("GET /x HTTP/1.1\r\n{host}\r\n\r\n");
    vec![
        row("host: none", "GET /x HTTP/1.1\r\n\r\n", Status(400)),
        row("host: none, in HTTP/1.0", "GET /x HTTP/1.0\r\n\r\n", Last("GET /x | to nobody by name")),
        row("host: two that differ", host("Host: a\r\nHost: b"), Status(400)),
        row("host: two that are equal", host("Host: a\r\nHost: a"), Status(400)),
        row("host: two, in HTTP/1.0", "GET /x HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", Status(400)),
        row("host: empty", host("Host:"), Status(400)),
        row("host: a list", host("Host: a, b"), Status(400)),
        row("host: two words", host("Host: a b"), Status(400)),
        row("host: with a user", host("Host: me@a"), Status(400)),
        row("host: with a path", host("Host: a/b"), Status(400)),
        row("host: with a port that is none", host("Host: a:80x"), Status(400)),
        row("host: with a port beyond 16 bits", host("Host: a:65536"), Status(400)),
        row("host: with a scheme", host("Host: http://a"), Status(400)),
        row("host: with a percent sign", host("Host: a%00b"), Status(400)),
        row("host: not ASCII", b"GET /x HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n", Status(400)),
        row("host: in brackets that do not end", host("Host: [::1"), Status(400)),
    ]
}

fn targets() -> Vec<Row> {
    vec![
        row("target: absolute, of the same host", to("http://a/x"), Passes(&["GET /x"])),
        row("target: absolute, of another host", to("http://b/x"), Status(400)),
        row("target: absolute, of another port", to("http://a:81/x"), Status(400)),
        row("target: absolute, with no `Host`", "GET http://a/x HTTP/1.1\r\n\r\n", Status(400)),
        row(
            "target: absolute, with no `Host`, in HTTP/1.0",
            "GET http://a/x HTTP/1.0\r\n\r\n",
            Last("GET /x"),
        ),
        row("target: absolute, without a path", to("http://a?x"), Passes(&["GET /?x"])),
        row("target: absolute, of another scheme", to("ftp://a/x"), Status(400)),
        row("target: with a user", to("http://me@a/x"), Status(400)),
        row("target: of a file", to("file:///etc/passwd"), Status(400)),
        row("target: an authority alone", to("a:80"), Status(400)),
        row("target: a word", to("x"), Status(400)),
        row("target: `*`", to("*"), Status(400)),
        row("target: `*` of OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Passes(&["OPTIONS *"])),
        row("target: a query alone", to("?x"), Status(400)),
        row("target: none", "GET  HTTP/1.1\r\nHost: a\r\n\r\n", Status(400)),
        row("target: with a space", to("/x y"), Status(400)),
    ]
}

/// Paths that a server might read as others: they arrive as they were sent.
fn ways() -> Vec<Row> {
    vec![
        row("path: with an empty beginning", to("//b/x"), Passes(&["GET //b/x"])),
        row("path: with dots", to("/open/../x/./y"), Passes(&["GET /open/../x/./y"])),
        row("path: with encoded dots", to("/open/%2e%2E/x"), Passes(&["GET /open/%2e%2E/x"])),
        row("path: with an encoded slash", to("/open%2Fx"), Passes(&["GET /open%2Fx"])),
        row("path: with an encoded NUL", to("/x%00y"), Passes(&["GET /x%00y"])),
        row("path: with encoded line ends", to("/x%0d%0aCookie:%20c"), Passes(&["GET /x%0d%0aCookie:%20c"])),
        row("path: encoded twice", to("/open/%252e%252e/x"), Passes(&["GET /open/%252e%252e/x"])),
        row("path: with a backslash", to("/open\\..\\x"), Passes(&["GET /open\\..\\x"])),
        row("path: with a percent sign that encodes nothing", to("/%zz"), Passes(&["GET /%zz"])),
        row("path: with a semicolon", to("/open/..;/x"), Passes(&["GET /open/..;/x"])),
        row("path: with a fragment, which is dropped", to("/x#y"), Passes(&["GET /x"])),
    ]
}

fn hops() -> Vec<Row> {
    let connection = |named: &str, line: &str| get(&format!("Connection: {named}\r\n{line}"));
    vec![
        row(
            "hop: `Connection` names `Last-Event-ID`",
            connection("Last-Event-ID", "Last-Event-ID: 7"),
            Status(400),
        ),
        row(
            "hop: `Connection` names `Authorization`",
            connection("close, Authorization", "Authorization: t"),
            Status(400),
        ),
        row("hop: `Connection` names `Host`", connection("Host", "X: y"), Status(400)),
        row("hop: `Connection` names `Cookie`", connection("cookie", "Cookie: c"), Status(400)),
        row(
            "hop: `Connection` names `Content-Length`",
            post("Connection: Content-Length\r\nContent-Length: 5", "hello"),
            Status(400),
        ),
        row(
            "hop: `Connection` names `X-Forwarded-For`",
            connection("X-Forwarded-For", "X-Forwarded-For: 6.6.6.6"),
            Status(400),
        ),
        row(
            "hop: `Connection` names a header of somebody's own",
            connection("X-Key", "X-Key: k"),
            Status(400),
        ),
        row(
            "hop: `Connection` names what is not there",
            connection("X-Key", "X: y"),
            Passes(&["GET /x | x: y"]),
        ),
        row(
            "hop: `Connection` twice, the latter with `Cookie`",
            connection("keep-alive\r\nConnection: Cookie", "Cookie: c"),
            Status(400),
        ),
        row(
            "hop: `Upgrade: h2c`",
            get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"),
            Passes(&["GET /x"]),
        ),
        row(
            "hop: `Upgrade: websocket`, which the server does not take, and a request behind it",
            format!("{}{}", get("Connection: Upgrade\r\nUpgrade: websocket"), to("/y")),
            Passes(&["GET /x", "GET /y"]),
        ),
        row("hop: `TE: trailers`", get("Connection: TE\r\nTE: trailers"), Passes(&["GET /x"])),
        row("hop: `TE: chunked`", get("TE: chunked"), Passes(&["GET /x"])),
        row(
            "hop: `Proxy-Authorization` and `Proxy-Connection`",
            get("Proxy-Authorization: p\r\nProxy-Connection: keep-alive"),
            Passes(&["GET /x"]),
        ),
        row("hop: `Keep-Alive`", get("Keep-Alive: timeout=99999999999"), Passes(&["GET /x"])),
        row(
            "hop: `Trailer` that names `Content-Length`",
            post(
                "Trailer: Content-Length\r\nTransfer-Encoding: chunked",
                "2\r\nhi\r\n0\r\nContent-Length: 40\r\n\r\n",
            ),
            Passes(&["POST /x | \"hi\""]),
        ),
        row(
            "hop: `Expect: 100-continue`",
            post("Expect: 100-continue\r\nContent-Length: 5", "hello"),
            Passes(&["POST /x | \"hello\""]),
        ),
        row(
            "hop: `Expect` of something else",
            post("Expect: 200-ok\r\nContent-Length: 5", "hello"),
            Passes(&["POST /x | \"hello\""]),
        ),
    ]
}

fn first_lines() -> Vec<Row> {
    vec![
        row("first line: a method in lower case", "get /x HTTP/1.1\r\nHost: a\r\n\r\n", Passes(&["get /x"])),
        row("first line: an unknown method", "BREW /x HTTP/1.1\r\nHost: a\r\n\r\n", Passes(&["BREW /x"])),
        row("first line: TRACE", "TRACE /x HTTP/1.1\r\nHost: a\r\n\r\n", Passes(&["TRACE /x"])),
        row("first line: CONNECT", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", Status(405)),
        row("first line: a method of other bytes", "G@T/ /x HTTP/1.1\r\nHost: a\r\n\r\n", Status(400)),
        row("first line: without a version", "GET /x\r\n", Status(400)),
        row("first line: a version in lower case", "GET /x http/1.1\r\nHost: a\r\n\r\n", Status(400)),
        row("first line: HTTP/1.2", "GET /x HTTP/1.2\r\nHost: a\r\n\r\n", Status(400)),
        row("first line: HTTP/0.9", "GET /x HTTP/0.9\r\nHost: a\r\n\r\n", Status(400)),
        row("first line: HTTP/2.0", "GET /x HTTP/2.0\r\nHost: a\r\n\r\n", Status(400)),
        row("first line: HTTP/3.0", "GET /x HTTP/3.0\r\nHost: a\r\n\r\n", Status(400)),
        row("first line: HTTP/11", "GET /x HTTP/11\r\nHost: a\r\n\r\n", Status(400)),
        row("first line: two spaces", "GET  /x HTTP/1.1\r\nHost: a\r\n\r\n", Status(400)),
        row("first line: a tab", "GET\t/x HTTP/1.1\r\nHost: a\r\n\r\n", Status(400)),
        row("first line: a word too many", "GET /x HTTP/1.1 x\r\nHost: a\r\n\r\n", Status(400)),
        row("first line: of TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Status(400)),
        row(
            "first line: the preface of HTTP/2 behind a request",
            format!("{}PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", to("/x")),
            Last("GET /x"),
        ),
        row(
            "first line: the preface of HTTP/2, and something else",
            "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
            Status(400),
        ),
    ]
}

fn sizes() -> Vec<Row> {
    vec![
        row("size: a path of more than 8 KiB", to(&format!("/{}", "x".repeat(8192))), Status(414)),
        row("size: a first line of more than 32 KiB", to(&format!("/{}", "x".repeat(40_000))), Status(431)),
        row("size: a line of more than 32 KiB", get(&format!("X: {}", "y".repeat(40_000))), Status(431)),
        row("size: a name of more than 32 KiB", get(&format!("{}: y", "x".repeat(40_000))), Status(431)),
        row("size: more than 64 lines", get("X: y\r\n".repeat(64).trim_end()), Status(431)),
        row("size: a thousand lines", get("X: y\r\n".repeat(1000).trim_end()), Status(431)),
        row(
            "size: a `Last-Event-ID` of more than 32 KiB",
            get(&format!("Last-Event-ID: {}", "7".repeat(40_000))),
            Status(431),
        ),
        row("size: bytes without an end", "x".repeat(100_000), Status(431)),
    ]
}

fn credentials() -> Vec<Row> {
    vec![
        row(
            "identity: two `Last-Event-ID`, of which the last counts",
            get("Last-Event-ID: 7\r\nLast-Event-ID: 8"),
            Passes(&["GET /x | last-event-id: 8"]),
        ),
        row(
            "identity: two `Last-Event-ID`, the last one empty",
            get("Last-Event-ID: 7\r\nLast-Event-ID:"),
            Passes(&["GET /x | last-event-id: 7"]),
        ),
        row("identity: a `Last-Event-ID` with NUL", get("Last-Event-ID: 7\0"), Status(400)),
        row("identity: a `Last-Event-ID` with a line end", get("Last-Event-ID: 7\r8"), Status(400)),
        row("identity: a `Last-Event-ID` on two lines", get("Last-Event-ID: 7\r\n 8"), Status(400)),
        row(
            "identity: two `Authorization`",
            get("Authorization: t\r\nAuthorization: u"),
            Passes(&["GET /x | authorization: t | authorization: u"]),
        ),
        row(
            "identity: two `Cookie`",
            get("Cookie: a=1\r\nCookie: b=2"),
            Passes(&["GET /x | cookie: a=1 | cookie: b=2"]),
        ),
        row(
            "identity: forged `X-Forwarded-For`, to which the true one is added",
            get("X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7"),
            Passes(&["GET /x | x-forwarded-for: 6.6.6.6, 7.7.7.7"]),
        ),
        row(
            "identity: forged `X-Forwarded-Host` and `-Proto`, which stay",
            get("X-Forwarded-Host: b\r\nX-Forwarded-Proto: https"),
            Passes(&["GET /x | x-forwarded-host: b | x-forwarded-proto: https"]),
        ),
        row(
            "identity: forged `Forwarded`",
            get("Forwarded: for=6.6.6.6;host=b"),
            Passes(&["GET /x | forwarded: for=6.6.6.6;host=b"]),
        ),
        row("identity: `Last_Event_ID`", get("Last_Event_ID: 7"), Passes(&["GET /x | last_event_id: 7"])),
        row(
            "identity: another method by `X-HTTP-Method-Override`",
            get("X-HTTP-Method-Override: DELETE"),
            Passes(&["GET /x | x-http-method-override: DELETE"]),
        ),
        row(
            "identity: another path by `X-Original-URL`",
            get("X-Original-URL: /y"),
            Passes(&["GET /x | x-original-url: /y"]),
        ),
    ]
}
