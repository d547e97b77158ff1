//! A reader of requests that shares nothing with the one under test, and takes what is said in one way only.

/// A request, read to its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Request {
    method: String,
    target: String,
    version: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    body: String,
    /// How many bytes it is.
    pub(super) length: usize,
}

/// What bytes begin with.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Reading {
    /// A request.
    Whole(Request),
    /// The beginning of one; its head, if that is whole.
    Part(Option<Request>),
    /// Nothing that may stand there.
    Wrong(&'static str),
}

/// How much is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manner {
    /// As a proxy may write it: one way to say each thing.
    Strict,
    /// As a client may write it: what RFC 9112 lets a recipient take, and respool does. Lines may end in a LF alone, a
    /// first line may have empty ones before it, a chunk may have extensions, equal lengths may be told twice, and of a
    /// length and chunks the chunks count.
    Taken,
}

impl Request {
    /// The values of a header.
    fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }

    pub(super) fn expects_continue(&self) -> bool {
        self.all("expect").iter().any(|value| value.eq_ignore_ascii_case("100-continue"))
    }

    pub(super) fn target(&self) -> &str {
        &self.target
    }

    /// What it asks for, and for whom, with what: all that a server goes by. The same, however it is framed, through
    /// whichever connection it came and by which proxies. `own` is the server's address: the `Host` of who names none.
    pub(super) fn meaning(&self, own: &str) -> String {
        let (authority, path) = self.parts();
        let host = self.all("host").first().map_or(authority, |host| Some((*host).to_owned()));
        let host = host.unwrap_or_else(|| own.to_owned());
        let path = path.split('#').next().unwrap_or_default();
        let mut said = format!("{} {path}", self.method);
        if host == own {
            said += " | to nobody by name";
        } else if host != "a" {
            said += &format!(" | host: {host}");
        }
        let mut lines: Vec<String> = Vec::new();
        for (name, value) in &self.headers {
            let by_us = [("x-forwarded-host", host.as_str()), ("x-forwarded-proto", "http")];
            if !OF_THE_WAY.contains(&name.as_str()) && !by_us.contains(&(name, value)) {
                lines.push(format!("{name}: {value}"));
            }
        }
        // Of several lines one counts: the last that says anything.
        if let Some(id) = self.all("last-event-id").into_iter().rfind(|id| !id.is_empty()) {
            lines.push(format!("last-event-id: {id}"));
        }
        let hops: Vec<_> = self.all("x-forwarded-for").iter().flat_map(|line| line.split(',')).collect();
        let told: Vec<_> = hops.iter().map(|hop| hop.trim()).filter(|hop| *hop != "127.0.0.1").collect();
        if !told.is_empty() {
            lines.push(format!("x-forwarded-for: {}", told.join(", ")));
        }
        lines.sort();
        for line in lines {
            said += &format!(" | {line}");
        }
        if !self.body.is_empty() {
            said += &format!(" | {:?}", self.body);
        }
        said
    }

    /// The authority and the path of an absolute target; the path alone of any other.
    fn parts(&self) -> (Option<String>, String) {
        let Some((scheme, rest)) = self.target.split_once("://") else { return (None, self.target.clone()) };
        if scheme.contains(['/', '?']) {
            return (None, self.target.clone());
        }
        let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        (Some(authority.to_owned()), path)
    }
}

/// What belongs to a connection or to the framing, or is said of the way; and what is judged apart.
const OF_THE_WAY: [&str; 18] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "last-event-id",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-for",
    "x-varnish",
];

/// What these bytes begin with.
pub(super) fn read(bytes: &[u8], manner: Manner) -> Reading {
    let mut lines = Lines { bytes, at: 0, manner };
    match lines.request() {
        Ok(Ok(request)) => Reading::Whole(Request { length: lines.at, ..request }),
        Ok(Err(head)) => Reading::Part(head),
        Err(wrong) => Reading::Wrong(wrong),
    }
}

/// All requests of a connection, and what was behind them.
pub(super) fn read_all(bytes: &[u8], manner: Manner) -> (Vec<Request>, Reading) {
    let (mut at, mut requests) = (0, Vec::new());
    loop {
        match read(&bytes[at..], manner) {
            Reading::Whole(request) => {
                at += request.length;
                requests.push(request);
            }
            other => return (requests, other),
        }
    }
}

type Wrong = &'static str;

struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    manner: Manner,
}

impl Lines<'_> {
    fn is_strict(&self) -> bool {
        self.manner == Manner::Strict
    }

    /// The next line, without its end; `None`, if its end is not there.
    fn line(&mut self) -> Result<Option<String>, Wrong> {
        let rest = &self.bytes[self.at..];
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        self.at += end + 1;
        let line = &rest[..end];
        let line = match line.strip_suffix(b"\r") {
            Some(line) => line,
            None if self.is_strict() => return Err("a line that ends in a LF alone"),
            None => line,
        };
        if line.iter().any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f) {
            return Err("a control byte");
        }
        // Byte by byte, so that no two are the same.
        Ok(Some(line.iter().map(|byte| char::from(*byte)).collect()))
    }

    /// A request; or, if there is not all of it, its head if that is whole.
    fn request(&mut self) -> Result<Result<Request, Option<Request>>, Wrong> {
        let first = loop {
            match self.line()? {
                None => return Ok(Err(None)),
                Some(line) if line.is_empty() && !self.is_strict() => {}
                Some(line) => break line,
            }
        };
        let (method, target, version) = first_line(&first)?;
        let mut request =
            Request { method, target, version, headers: Vec::new(), body: String::new(), length: 0 };
        loop {
            let Some(line) = self.line()? else { return Ok(Err(None)) };
            if line.is_empty() {
                break;
            }
            request.headers.push(header(&line)?);
        }
        if request.all("host").len() > 1 || (request.all("host").is_empty() && request.version != "HTTP/1.0")
        {
            return Err("no Host, or several");
        }
        let body = match self.framing(&request)? {
            Framing::Length(length) => self.exactly(length),
            Framing::Chunks => self.chunks()?,
        };
        Ok(match body {
            Some(body) => Ok(Request { body, ..request }),
            None => Err(Some(request)),
        })
    }

    fn framing(&self, request: &Request) -> Result<Framing, Wrong> {
        let (mut lengths, codings) = (request.all("content-length"), request.all("transfer-encoding"));
        if !codings.is_empty() {
            let is_one = codings.len() == 1 && codings[0].eq_ignore_ascii_case("chunked");
            return match (is_one, request.version.as_str(), lengths.is_empty() || !self.is_strict()) {
                (true, "HTTP/1.1", true) => Ok(Framing::Chunks),
                _ => Err("framed in no way, or in two"),
            };
        }
        if !self.is_strict() {
            lengths.dedup();
        }
        match lengths[..] {
            [] => Ok(Framing::Length(0)),
            [length] if !length.is_empty() && length.bytes().all(|digit| digit.is_ascii_digit()) => {
                length.parse().map(Framing::Length).map_err(|_| "a length beyond all bounds")
            }
            _ => Err("a length that is none, or several"),
        }
    }

    fn exactly(&mut self, length: usize) -> Option<String> {
        let body = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(String::from_utf8_lossy(body).into_owned())
    }

    fn chunks(&mut self) -> Result<Option<String>, Wrong> {
        let mut body = String::new();
        loop {
            let Some(line) = self.chunk_line()? else { return Ok(None) };
            let size = self.size(&line)?;
            if size == 0 {
                break;
            }
            let Some(chunk) = self.exactly(size) else { return Ok(None) };
            body.push_str(&chunk);
            match self.chunk_line()? {
                None => return Ok(None),
                Some(end) if end.is_empty() => {}
                Some(_) => return Err("more in a chunk than it says"),
            }
        }
        loop {
            if !self.is_strict() {
                // hyper ends the lines of trailers at CRLF alone, whatever they say; nothing of them is passed on unread.
                let rest = &self.bytes[self.at..];
                let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
                self.at += end + 2;
                if end == 0 {
                    return Ok(Some(body));
                }
                continue;
            }
            match self.chunk_line()? {
                None => return Ok(None),
                Some(line) if line.is_empty() => return Ok(Some(body)),
                Some(line) => drop(header(&line)?),
            }
        }
    }

    /// A line among chunks, where a LF alone ends none in either manner.
    fn chunk_line(&mut self) -> Result<Option<String>, Wrong> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n');
        if end.is_some_and(|end| end == 0 || rest[end - 1] != b'\r') {
            return Err("a line among chunks that ends in a LF alone");
        }
        self.line()
    }

    fn size(&self, line: &str) -> Result<usize, Wrong> {
        let digits = if self.is_strict() { line } else { line.split(';').next().unwrap_or_default() };
        let digits = if self.is_strict() { digits } else { digits.trim_end_matches([' ', '\t']) };
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err("a chunk's size that is none");
        }
        usize::from_str_radix(digits, 16).map_err(|_| "a chunk beyond all bounds")
    }
}

enum Framing {
    Length(usize),
    Chunks,
}

fn is_token(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_part)
}

fn first_line(line: &str) -> Result<(String, String, String), Wrong> {
    let words: Vec<_> = line.split(' ').collect();
    let [method, target, version] = words[..] else { return Err("a first line that is no three words") };
    if !is_token(method) || target.is_empty() || target.contains('\t') {
        return Err("no method, or no target");
    }
    if !["HTTP/1.1", "HTTP/1.0"].contains(&version) {
        return Err("another version");
    }
    Ok((method.to_owned(), target.to_owned(), version.to_owned()))
}

fn header(line: &str) -> Result<(String, String), Wrong> {
    let (name, value) = line.split_once(':').ok_or("a header line without a colon")?;
    if !is_token(name) {
        return Err("a header's name that is none");
    }
    Ok((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()))
}

mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &str, manner: Manner, meaning: Result<&str, &str>) {
        let read = match read(bytes.as_bytes(), manner) {
            Reading::Whole(request) => Ok(request.meaning("own")),
            Reading::Part(_) => Err("part"),
            Reading::Wrong(wrong) => Err(wrong),
        };
        assert_eq!(read.as_deref().map_err(|wrong| *wrong), meaning, "{bytes:?}");
    }

    #[test]
    fn the_strict_reader_takes_one_way_to_say_a_thing() {
        use Manner::{Strict, Taken};
        let chunked =
            "POST /b?c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
        check(chunked, Strict, Ok("POST /b?c | host: x | \"ab\""));
        check(&chunked[..chunked.len() - 1], Strict, Err("part"));
        check(&chunked.replace("2\r", "2;c\r"), Strict, Err("a chunk's size that is none"));
        check(&chunked.replace("2\r", "2;c\r"), Taken, Ok("POST /b?c | host: x | \"ab\""));
        let both = chunked.replace("Host", "Content-Length: 3\r\nHost");
        check(&both, Strict, Err("framed in no way, or in two"));
        check(&both, Taken, Ok("POST /b?c | host: x | \"ab\""));
        check("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", Taken, Err("a control byte"));
        check("GET / HTTP/1.1\nHost: a\n\n", Strict, Err("a line that ends in a LF alone"));
        check("GET / HTTP/1.1\nHost: a\n\n", Taken, Ok("GET /"));
        check("GET http://b/c HTTP/1.0\r\n\r\n", Taken, Ok("GET /c | host: b"));
        check("GET / HTTP/1.0\r\nCookie: c\r\n\r\n", Taken, Ok("GET / | to nobody by name | cookie: c"));
    }
}
