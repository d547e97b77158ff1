//! Heads: what an upstream says in one reaches its client as it was said, or not at all, and what respool itself asks with is
//! a head that it could have been asked with.

use crate::support::{
    Origin, Proxy, within,
    world::{World, event_source, settle},
};

/// Lines of an answer's head that are none, or one that two readers could take for two.
const BAD: &[&[u8]] = &[
    b"X-A: a\0Forged: yes",
    b"X-A: a\rForged: yes",
    b"X-A: a\x1b[31mForged: yes",
    b"X-A: a\x7fForged: yes",
    b"X-A: a\x0bForged: yes",
    b"X-A\0: aForged: yes",
    b"X A: Forged",
    b"X-A : Forged",
    b": Forged",
    b"Forged",
    b"X-\"A\": Forged",
    b"X-\xe2\x80\xa8A: Forged",
    b" X-A: Forged",
    b"X-A: a\r\n Forged: yes",
    b"Location: /\rSet-Cookie: Forged",
    b"Location: /\0Set-Cookie: Forged",
    b"Set-Cookie: sid=\x1bForged; Path=/",
    b"Set-Cookie: sid=1\rForged: yes",
    b"Content-Type: text/event-stream\rForged: yes",
    b"Content-Type: text/event-stream\x01Forged",
];

/// Lines that are ones, whatever is in them: they are the upstream's to say.
const ODD: &[&[u8]] = &[
    b"X-A: <script>alert(1)</script>\"}{{7*7}}",
    b"X-A: \xe2\x80\xa8\xc2\x85\xc2\x9b31m",
    b"X-A: \xff\xfe\xc3",
    b"X-A: a\tb",
    b"Location: javascript:alert(1)//\xc2\x9b",
    b"Set-Cookie: sid=\"\xff; a\"; Path=/; Domain=%0d%0a",
    b"Set-Cookie: =; =; ;;; HttpOnly=1",
    b"Last-Event-ID: r0000000000000-7",
    b"Content-Disposition: attachment; filename=\"%0d%0aForged: yes\"",
];

/// First lines that are none.
const FIRST: &[&[u8]] = &[
    b"HTTP/1.1 200 O\0K",
    b"HTTP/1.1 200 O\rK",
    b"HTTP/1.1 200 O\x1b[31mK",
    b"HTTP/1.1 20\0 OK",
    b"HTTP/1.1 2000 OK",
    b"HTTP/1.1 +20 OK",
    b"HTTP/1.1 099 OK",
    b"HTTP/9.9 200 OK",
    b"\x1b]0;Forged\x07HTTP/1.1 200 OK",
    b"\xef\xbb\xbfHTTP/1.1 200 OK",
    b"<script>alert('Forged')</script>",
    b"{\"message\":\"Forged\"}",
];

fn answer(first: &[u8], line: &[u8]) -> Vec<u8> {
    [first, b"\r\nContent-Length: 2\r\n", line, b"\r\nX-Last: 1\r\n\r\nok"].concat()
}

#[tokio::test]
async fn a_head_that_is_none_reaches_nobody() {
    within(async {
        let lines = BAD.iter().map(|line| answer(b"HTTP/1.1 200 OK", line));
        let firsts = FIRST.iter().map(|first| answer(first, b"X-A: a"));
        for said in lines.chain(firsts) {
            let shown = String::from_utf8_lossy(&said).into_owned();
            let origin = Origin::saying(&said).await;
            let proxy = Proxy::to(origin.address);
            let mut client = proxy.connect().await;
            let answer = client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert_eq!(answer.status(), 502, "{shown:?}: {answer:?}");
            assert_eq!(answer.line, "HTTP/1.1 502 Bad Gateway");
            let text = answer.text();
            assert!(
                text.starts_with("respool: ") && text.ends_with('\n') && text.lines().count() == 1,
                "{text:?}"
            );
            let all = answer.headers.join("\n") + &text;
            assert!(
                !all.contains("Forged") && !all.contains(|c: char| c.is_control() && c != '\n'),
                "{shown:?}: {answer:?}"
            );
            // Others are served by another connection.
            assert!(!answer.headers.iter().any(|line| line.to_lowercase().starts_with("x-")), "{answer:?}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_one_stays_one() {
    for (line, stream) in ODD.iter().flat_map(|line| [(*line, false), (*line, true)]) {
        let mut world = World::new("[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\n");
        let mut client = world.send(&event_source("/e", "")).await;
        let mut upstream = world.origin.accept().await;
        let kind: &[u8] =
            if stream { b"Content-Type: text/event-stream\r\n" } else { b"Content-Length: 0\r\n" };
        upstream.raw([b"HTTP/1.1 200 \xe2\x80\xa8Fine\r\n", kind, line, b"\r\n\r\n"].concat()).await;
        client.read().await;
        let text = String::from_utf8_lossy(line);
        let (name, value) = text.split_once(": ").unwrap();
        let lines: Vec<&str> = client.head.split("\r\n").collect();
        let is_it =
            |line: &&&str| line.split_once(": ").is_some_and(|(had, _)| had.eq_ignore_ascii_case(name));
        let had: Vec<_> = lines.iter().filter(is_it).map(|line| line.split_once(": ").unwrap().1).collect();
        assert_eq!(had, [value], "{:?}", client.head);
        // Ours, and nothing of the upstream's in it.
        let ours = [
            "transfer-encoding: chunked",
            "cache-control: no-store",
            "x-accel-buffering: no",
            "respool-resume: fresh",
        ];
        let mut rest: Vec<String> =
            lines.iter().skip(1).filter(|line| !is_it(line)).map(|line| line.to_lowercase()).collect();
        rest.retain(|line| !ours.contains(&line.as_str()) && !line.starts_with("content-"));
        assert_eq!(rest, [""; 0], "{stream}: {:?}", client.head);
    }
}

/// Whatever a client's request is made of arrives in the same place of the upstream's, and in no other.
#[tokio::test(start_paused = true)]
async fn what_a_client_sends_reaches_no_other_line_of_the_upstreams_request() {
    let routes = [
        "",
        "mode = 'shared'\nkey = ['host', 'path', 'query:a', 'header:x-a', 'header:user-agent', 'cookie:a']\n",
    ];
    for route in routes {
        for evil in [
            "%0d%0aForged:%20yes",
            "%00",
            "%1b]0;title%07",
            "<script>alert(1)</script>\"}{{7*7}}",
            "\u{2028}\u{85}\u{9b}31m\u{202e}",
            "';--",
            "\\r\\nForged: yes",
        ] {
            let mut world = World::new(&format!("[[route]]\npath = '/**'\n{route}"));
            let target = format!(
                "/e/{0}?a={0}&lastEventId={0}",
                evil.replace([' ', '"', '<', '>', '{', '}', '\\'], "_")
            );
            let head = format!(
                "GET {target} HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\nUser-Agent: {evil}\r\nX-A: {evil}\r\n\
                 Cookie: a={evil}\r\nReferer: {evil}\r\nLast-Event-ID: {evil}"
            );
            let mut client = world.send_raw(head.as_bytes()).await;
            let mut upstream = world.origin.accept().await;
            let mut lines: Vec<&str> = upstream.request.trim_end().split("\r\n").collect();
            let sent: Vec<&str> = head.split("\r\n").collect();
            assert_eq!(lines.remove(0), sent[0], "{route}");
            let ours = ["x-forwarded-", "accept-encoding: identity"];
            let (added, passed): (Vec<&str>, Vec<&str>) =
                lines.iter().partition(|line| ours.iter().any(|name| line.to_lowercase().starts_with(name)));
            let lower = |lines: &[&str]| {
                let line = |line: &&str| {
                    let (name, value) = line.split_once(": ").unwrap();
                    format!("{}: {value}", name.to_lowercase())
                };
                let mut lines: Vec<_> = lines.iter().map(line).collect();
                lines.sort();
                lines
            };
            assert_eq!(lower(&passed), lower(&sent[1..]), "{route}");
            assert_eq!(
                lower(&added),
                ["accept-encoding: identity", "x-forwarded-host: h", "x-forwarded-proto: http"]
            );
            upstream.begin().await;
            upstream.events(["a"]).await;
            assert_eq!((client.data().await, client.resume()), (vec!["a".to_owned()], "foreign"), "{route}");
            assert!(!client.head.contains("Forged"));
        }
    }
}

const RESUMES: &str =
    "[[route]]\npath = '/e'\nmode = 'shared'\nkey = ['path']\nadmit = 'none'\nupstream_resumes = true\n";

/// What respool asks with for itself, when its own connection is lost: the upstream's id, as it was, or none; and where it is
/// none, what comes then is not taken for what comes behind it.
#[tokio::test(start_paused = true)]
async fn an_id_that_no_head_may_have_is_not_asked_for_and_not_taken_for_resumed() {
    for (id, asked) in [
        ("7", Some("7")),
        ("caf\u{e9} \u{2028}", Some("caf\u{e9} \u{2028}")),
        ("\"<img>\"}", Some("\"<img>\"}")),
        ("a\tb", Some("a\tb")),
        ("\u{1b}[31m", None),
        ("a\u{7f}", None),
        ("a\u{1}Forged: yes", None),
    ] {
        let mut world = World::new(RESUMES);
        let (mut client, mut upstream) = world.open("/e").await;
        upstream.send(format!("id: 1\ndata: a\n\nid: {id}\ndata: b\n\n")).await;
        assert_eq!(client.data().await, ["a", "b"]);
        drop(upstream);
        let mut again = world.origin.accept().await;
        assert_eq!(again.header("last-event-id"), asked, "{:?}", again.request);
        assert!(!again.request.contains("Forged"), "{:?}", again.request);
        again.begin().await;
        again.send("id: 9\ndata: c\n\n").await;
        settle().await;
        client.read().await;
        let goes_on = client.held().data().len() == 3 && client.end.is_none();
        assert_eq!(goes_on, asked.is_some(), "{id:?}: {:?}", client.end);
        let breaks = world.metric("respool_breaks_total{route=\"/e\",reason=\"lost\"}");
        assert_eq!(breaks, u64::from(asked.is_none()), "{id:?}");
        if asked.is_none() {
            let back = world.event_source("/e", "1").await;
            assert_ne!(back.resume(), "resumed; missed=2", "nobody knows what there was between");
        }
    }
}
