//! A server that knows who reads the report: nothing that it says moves a terminal's cursor, begins a line of its own, or
//! becomes a line of the proposal.

use respool::config::{Config, Flags};

use super::{Server, doctor, url};
use crate::support::Origin;

/// What terminals act on: a title, colours by eight bits, a cursor that goes back, text that runs the other way, the ends of
/// lines that some know; and no end.
const EVIL: &str = "\u{1b}]0;owned\u{7}\u{9b}31m\u{8}\u{7f}\u{0}\u{202e}\u{2028}\u{85}\u{feff}\\\"";

/// It is of characters that are seen, on lines that are as long as lines are.
#[track_caller]
fn is_plain(said: &str) {
    let acts = |c: &char| {
        c.is_control() && *c != '\n'
            || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{feff}')
    };
    let found: Vec<char> = said.chars().filter(acts).collect();
    assert!(found.is_empty(), "{found:?} in {said:?}");
    let longest = said.lines().map(str::len).max().unwrap_or_default();
    assert!(longest < 3_000, "a line of {longest}");
}

/// Each event has a type and an id of its connection's own.
fn evil(every: u64) -> Server {
    Server::new(every, |asker, n| {
        let long = "x".repeat(if n % 7 == 0 { 100_000 } else { 0 });
        format!("event: {EVIL}{long}\nid: {EVIL}{}-{n}{long}\ndata: {n}\n\n", asker.number).replace('\0', "")
    })
    .hello(|asker, _| format!("event: own{EVIL}\ndata: {}\n\n", asker.number))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_calls_its_events_is_shown_and_does_nothing() {
    let (_origin, server) = evil(20).start().await;
    let (code, said) = doctor(&[&url(server), "--for", "3s", "--cuts", "4"]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("wrong: lost") && said.contains("type `\\u{1b}]0;owned"), "{said:?}");
    assert!(said.contains("  own         own\\u{1b}]0;owned"), "{said:?}");
    is_plain(&said);
    let (_, said) = doctor(&[&url(server), "--for", "3s", "--cuts", "4", "--json"]).await;
    is_plain(&said);
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert!(report["events"]["types_own"].to_string().contains("owned"), "{report:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_head_of_no_stream_says_is_shown_and_does_nothing() {
    // Heads may have no control bytes, but for those that UTF-8 makes two of.
    let odd: String = EVIL.chars().filter(|c| u32::from(*c) > 0x7f).collect();
    let body = format!("<b>{EVIL}\r\nforged: line");
    for head in [
        format!(
            "302 Found\r\nLocation: http://{odd}/\r\nContent-Type: {odd}\r\nContent-Length: {}",
            body.len()
        ),
        format!("200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: {odd}"),
        format!("404 {odd}\r\nContent-Type: {}", odd.repeat(500)),
    ] {
        let origin = Origin::saying(format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n{body}")).await;
        for json in [&["--json"][..], &[]] {
            let url = url(origin.address);
            let (code, said) = doctor(&[&[&*url, "--for", "1s", "--cuts", "1"], json].concat()).await;
            assert_eq!(code, 1, "{said}");
            assert!(said.contains("u{9b}"), "{said:?}");
            is_plain(&said);
        }
    }
}

/// A type with the end of a line in it, which a comment of the proposal is not to go on behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_proposed_is_what_was_seen_and_no_line_of_the_servers() {
    let kind = |name: &str| format!("{name}{EVIL}\nadmit=\"none\"\n[[route]]{{a,*}}");
    let data = |name: &str| format!("data: {}\n\n", serde_json::json!({ "type": kind(name) }));
    let (hello, beat) = (data("hello"), data("ping"));
    let (_origin, server) = Server::new(50, |_, n| format!("data: {{\"type\":\"a\",\"n\":{n}}}\n\n"))
        .hello(move |_, _| hello.clone())
        .heartbeat(200, move |_, _| beat.clone())
        .start()
        .await;
    let (code, said) = doctor(&[&url(server), "--suggest", "--for", "3s"]).await;
    assert_eq!(code, 0, "{said}");
    is_plain(&said);
    let config = Config::resolve(&Flags::default(), &|_| None, Some(("proposed.toml", &said)));
    let config = config.unwrap_or_else(|fault| panic!("{fault:?}\n{said}"));
    assert_eq!(config.routes.len(), 2, "{said}");
    let rules = &config.routes[0].rules;
    let (hello, ephemeral) = (&rules.hello.as_ref().unwrap().types, rules.ephemeral.as_ref().unwrap());
    assert!(hello.is_match(&kind("hello")) && !hello.is_match(&kind("hello").replace('*', "b")), "{said}");
    assert!(ephemeral.is_match(&kind("ping")), "{said}");
    let named = said.lines().filter(|line| line.starts_with("admit") || line.starts_with("[["));
    assert_eq!(named.collect::<Vec<_>>(), ["[[route]]"], "{said}");
    let (_, said) = doctor(&[&url(server), "--suggest", "--for", "3s", "--json"]).await;
    is_plain(&said);
    assert!(serde_json::from_str::<serde_json::Value>(&said).is_ok(), "{said:?}");
}
