//! What is told of all that: a record a line, names that the operator wrote, numbers.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;
use tokio::time::sleep;

use super::{FRAMES, MODES, ROUTES, frames};
use crate::{
    logs::{listen_to_all, read_all},
    reload::binary::Running,
    support::{
        Origin, until, within,
        world::{World, event_source, settle},
    },
};

/// Every part of a request that a client can say anything in.
const CLIENTS: [&str; 5] = [
    "forged%0a%0d\"}",
    "forged\u{2028}\u{9b}31m\u{202e}",
    "forged'><img/src=x/onerror=alert(1)>",
    "forged\"}\\n{\\\"level\\\":\\\"ERROR\\\"}",
    "forged{a=\\\"b\\\"}1",
];

fn request(path: &str, evil: &str, id: &str) -> String {
    let path_of = evil.replace([' ', '"', '<', '>', '{', '}', '\\'], "_");
    event_source(&format!("{path}?q={path_of}&lastEventId={path_of}"), id)
        + &format!(
            "\nUser-Agent: {evil}\nCookie: forged={evil}\nX-Forged: {evil}\nReferer: {evil}\ntraceparent: {evil}\ntracestate: {evil}"
        )
}

/// What an upstream can answer that ends in a line of the log.
const ANSWERS: &[&[u8]] = &[
    b"\x1b]0;forged\x07\nforged ERROR forged\r\n\r\n",
    b"HTTP/1.1 200 forged\0\"}\r\n\r\n",
    b"\xe2\x80\xa8forged\x1b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nforged\x1b: \r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nforged\x1b[31m\nforged\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5;forged\x1b[31m\r\ndata\x1b\r\nX\r\n",
    b"HTTP/1.1 503 \xe2\x80\xa8forged\r\nContent-Type: forged\xc2\x9b\r\nContent-Length: 6\r\n\r\nforged",
    b"HTTP/1.1 101 forged\r\nUpgrade: forged\r\nConnection: upgrade\r\n\r\nforged",
    b"",
];

/// Clients and upstreams of every kind, on each route.
async fn attack(world: &mut World, paths: &[String]) {
    for path in paths {
        for (n, evil) in CLIENTS.iter().enumerate() {
            let id = ["", evil, "r0000000000000-7", "x\u{2028}forged"][n % 4];
            let mut client = world.send_raw(request(path, evil, id).replace('\n', "\r\n").as_bytes()).await;
            settle().await;
            while let Some(mut upstream) = world.origin.waiting().await {
                upstream.begin_with("X-Forged: forged\u{9b}\nSet-Cookie: forged=\"forged\u{2028}\"\n").await;
                upstream.send(frames()).await;
                upstream.burst(FRAMES[3].split_last().unwrap().1).await;
            }
            client.read().await;
        }
        for answer in ANSWERS {
            let mut client = world.send(&event_source(&format!("{path}?{}", answer.len()), "")).await;
            settle().await;
            while let Some(mut upstream) = world.origin.waiting().await {
                upstream.raw(answer).await;
            }
            client.read().await;
        }
        // Not as long as is said once in a while: it is for another test to hear.
        world.origin.set_away(true);
        let held = world.send(&event_source(&format!("{path}?away"), "")).await;
        sleep(Duration::from_secs(2)).await;
        drop(held);
        settle().await;
        world.origin.set_away(false);
    }
}

/// A route of each kind, some of them of names that are odd in a label.
fn config() -> (String, Vec<String>) {
    let (mut file, mut paths) = ("[limits]\nevent = '64KiB'\n".to_owned(), Vec::new());
    for (n, (mode, route)) in MODES.iter().flat_map(|mode| ROUTES.map(|route| (mode, route))).enumerate() {
        let other = ["x", "\"", "\\\\", "<img/src=x>"][n % 4];
        file += &format!("[[route]]\npath = '/{{r{n},{other}}}'\n{mode}{route}");
        paths.push(format!("/r{n}"));
    }
    (file, paths)
}

#[tokio::test(start_paused = true)]
async fn a_log_is_a_record_a_line_with_nothing_of_theirs() {
    for json in [true, false] {
        let (log, _guard) = if json { listen_to_all() } else { read_all() };
        let (file, paths) = config();
        let mut world = World::new(&file);
        attack(&mut world, &paths[..if json { 16 } else { 4 }]).await;
        let lines = log.lines("");
        for seen in ["makes no sense", "was lost", "a client joined", "a client is gone", "is held"] {
            assert!(lines.iter().any(|line| line.contains(seen)), "{seen}: this is a test of what is logged");
        }
        for line in &lines {
            let is_record = match json {
                true => serde_json::from_str::<Value>(line)
                    .is_ok_and(|record| record["fields"]["message"].is_string()),
                false => line.starts_with("20") && line.get(26..).is_some_and(|rest| rest.starts_with("Z ")),
            };
            assert!(is_record, "{line:?}");
            assert!(!line.contains(char::is_control) && !line.contains(['\u{2028}', '\u{202e}']), "{line:?}");
            // How an answer began that is none is quoted, in the log alone.
            let quoted = line.contains("makes no sense");
            assert!(quoted || !line.contains("forged"), "{line:?}");
            assert!(line.len() < 1500, "{line:?}");
        }
    }
}

/// The names and labels of all numbers, read as a scraper reads them.
fn series(text: &str) -> BTreeSet<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.pop(), Some("# EOF"), "{text}");
    let numbers = lines.into_iter().filter(|line| !line.starts_with("# "));
    numbers.map(|line| sample(line).unwrap_or_else(|| panic!("{line:?}"))).collect()
}

/// A line less its number, if it is one: a name, labels in quotes with what has to be escaped escaped, a number.
fn sample(line: &str) -> Option<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name = line
        .split(|c| !is_name(c))
        .next()
        .filter(|name| name.starts_with("respool_") || name.starts_with("process_"))?;
    let mut rest = &line[name.len()..];
    if let Some(mut labels) = rest.strip_prefix('{') {
        loop {
            let (label, value) = labels.split_once("=\"")?;
            let is_good = !label.is_empty() && label.chars().all(is_name);
            let mut escaped = false;
            let end = value.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            let (value, behind) = value.split_at(end.filter(|_| is_good)?);
            if value.contains(char::is_control) {
                return None;
            }
            match behind.strip_prefix("\",") {
                Some(more) => labels = more,
                None => break rest = behind.strip_prefix("\"}")?,
            }
        }
    }
    let number = rest.strip_prefix(' ')?;
    number.parse::<f64>().ok()?;
    Some(line[..line.len() - number.len()].to_owned())
}

#[tokio::test(start_paused = true)]
async fn metrics_have_the_names_that_the_operator_wrote_and_no_others() {
    let (file, paths) = config();
    let mut world = World::new(&file);
    let before = series(&world.app.metrics().encode());
    assert!(before.iter().any(|name| name.contains("route=\"/{r1,\\\"}\"")), "{before:?}");
    attack(&mut world, &paths).await;
    let text = world.app.metrics().encode();
    assert_eq!(series(&text).difference(&before).collect::<Vec<_>>(), [""; 0]);
    assert!(
        !text.contains("forged") && world.metric("respool_requests_total{outcome=\"failed\"}") > 50,
        "{text}"
    );
}

/// The program itself: its log, its status, its page.
#[tokio::test]
async fn the_status_and_the_log_of_the_program_are_json_with_nothing_of_theirs() {
    within(async {
        let origin = Origin::start(|mut visit| async move {
            while visit.request().await {
                let head = visit.head_of_request();
                let nonsense = head.strip_prefix("GET /nonsense/").and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok());
                if let Some(answer) = nonsense.and_then(|n| ANSWERS.get(n)) {
                    return drop(visit.try_send(answer).await);
                }
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Forged: forged\u{9b}\r\nTransfer-Encoding: chunked\r\n\r\n";
                let frames = frames();
                let chunk = [format!("{:x}\r\n", frames.len()).as_bytes(), &frames, b"\r\n"].concat();
                let _ = visit.try_send([head.as_bytes(), &chunk].concat()).await;
            }
        })
        .await;
        let shared = "[[route]]\npath = '/shared/**'\nmode = 'shared'\nadmit = 'none'\n";
        let running = Running::before(origin, "inject", shared).await;
        let mut clients = Vec::new();
        for path in ["/shared/forged", "/forged/%0aforged/<img>"] {
            let path = path.replace(['<', '>'], "_");
            for evil in CLIENTS {
                let mut client = running.binary.connect().await;
                client.send(request(&path, evil, "").replace('\n', "\r\n") + "\r\n\r\n").await;
                client.rest_or(|had| had.windows(8).any(|window| window == b"the last")).await;
                clients.push(client);
            }
        }
        for n in 0..ANSWERS.len() {
            let mut client = running.binary.connect().await;
            client.send(format!("GET /nonsense/{n} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
            client.rest_or(|had| !had.is_empty()).await;
        }
        let status = running.admin("/status").await;
        let read: Value = serde_json::from_str(&status).unwrap();
        assert!(read["streams"].as_array().unwrap().len() >= 10, "{status}");
        assert!(!status.contains("forged") && !status.contains(char::is_control), "{status}");
        let metrics = running.metrics().await;
        assert!(series(&metrics).len() > 50 && !metrics.contains("forged"), "{metrics}");
        drop(clients);
        until(|| running.binary.log().contains("makes no sense")).await;
        let log = running.binary.log();
        for line in log.lines() {
            let unescaped = line.contains("makes no sense");
            assert!(unescaped || serde_json::from_str::<Value>(line).is_ok_and(|line| line["message"].is_string()), "{line:?}");
            assert!((unescaped || !line.contains("forged")) && !line.contains(char::is_control), "{line:?}");
        }
    })
    .await;
}
