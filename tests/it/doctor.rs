//! The doctor: a healthy path comes out clean, and each thing that can be wrong on the way is found.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use respool::{
    app::App,
    config::{Config, Flags},
    dice::Dice,
    drain::Drain,
    metrics::Metrics,
    net::{Address, Listener},
};
use serde_json::Value;

use super::{command::respool, support::within};

mod hostile;
mod secured;
mod server;
mod suggest;
mod terminal;
mod way;

use server::{Asker, Server};
use way::Way;

/// respool before an event server, with the routes of this file; where it listens.
fn through(file: &str, upstream: SocketAddr) -> SocketAddr {
    let Address::Tcp(address) = through_at("127.0.0.1:0", file, upstream) else { unreachable!() };
    address
}

fn through_at(listen: &str, file: &str, upstream: SocketAddr) -> Address {
    let flags = Flags { upstream: Some(format!("http://{upstream}")), ..Flags::default() };
    let config = Config::resolve(&flags, &|_| None, Some(("doctor.toml", file))).unwrap();
    let drain = Drain::new(config.drain_time);
    let app = App::new(&config, config.upstream.dialer(), Dice::seeded(7), Metrics::new(), drain);
    app.start();
    let listener = Listener::bind(&listen.parse().unwrap()).unwrap();
    let address = listener.local().unwrap();
    tokio::spawn(app.server().clone().run(listener));
    address
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}/events")
}

/// What the doctor says, with its exit code.
async fn doctor(arguments: &[&str]) -> (i32, String) {
    let arguments: Vec<String> = ["doctor"].iter().chain(arguments).map(ToString::to_string).collect();
    let run = move || {
        let output = respool(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap() + &err)
    };
    within(async { tokio::task::spawn_blocking(run).await.unwrap() }).await
}

/// The doctor's object for this URL, after some seconds with as many cuts.
async fn report(url: &str, seconds: &str, cuts: &str, more: &[&str]) -> Value {
    let arguments = [&[url, "--json", "--for", seconds, "--cuts", cuts], more].concat();
    let (code, said) = doctor(&arguments).await;
    let report: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!(code == 0, report["whole"].as_bool().unwrap(), "{said}");
    report
}

/// The codes of what is wrong.
fn wrong(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings
        .filter(|finding| finding["wrong"] == true)
        .map(|finding| finding["code"].as_str().unwrap())
        .collect()
}

#[track_caller]
fn finds(report: &Value, code: &str) {
    assert!(wrong(report).contains(&code), "no {code}: {report:#}");
    let findings = report["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["code"] == code).unwrap();
    for part in ["seen", "means", "remedy"] {
        assert!(!finding[part].as_str().unwrap().is_empty(), "{part}");
    }
}

fn number(report: &Value, at: &str) -> u64 {
    report.pointer(at).unwrap_or_else(|| panic!("{at}: {report:#}")).as_u64().unwrap()
}

/// Everything that was missed was made up for, and nothing is said to be wrong.
#[track_caller]
fn is_whole(report: &Value) {
    assert_eq!(wrong(report), Vec::<&str>::new(), "{report:#}");
    assert!(number(report, "/cuts") >= 5 && number(report, "/returns/resumed") >= 5, "{report:#}");
    assert!(number(report, "/returns/missed") > 0 && number(report, "/events/compared") > 20, "{report:#}");
}

/// The object is as README says: the keys of its first level, and those below that are told.
#[track_caller]
fn is_as_said(head: &str, object: &Value) {
    let rows = super::readme::table(head);
    let said: BTreeSet<&str> = rows.iter().flat_map(|row| super::readme::quoted(row[0])).collect();
    let has: BTreeSet<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(said, has);
    let all = object.to_string();
    for key in
        rows.iter().flat_map(|row| super::readme::quoted(row[1])).filter(|key| *key != "Respool-Resume")
    {
        let of_finding = ["code", "wrong", "seen", "means", "remedy", "lines", "of"].contains(&key);
        assert!(of_finding || all.contains(&format!("\"{key}\":")), "{key}");
    }
}

/// An event server that counts, without ids.
fn counting(every: u64) -> Server {
    Server::new(every, |_, n| format!("data: {{\"n\":{n}}}\n\n"))
}

/// What an agent's event server sends: the type in the data, a hello, and heartbeats as data.
fn typed(every: u64) -> Server {
    let event = |n| format!("data: {{\"type\":\"message.updated\",\"properties\":{{\"n\":{n}}}}}\n\n");
    Server::new(every, move |_, n| event(n))
        .hello(|_, _| "data: {\"type\":\"server.connected\",\"properties\":{}}\n\n".to_owned())
        .heartbeat(300, |_, _| "data: {\"type\":\"server.heartbeat\",\"properties\":{}}\n\n".to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_stream_comes_out_clean_in_words_too_and_by_a_unix_socket() {
    let (_origin, server) = counting(20).start().await;
    let path = std::env::temp_dir().join(format!("respool-{}-doctor.sock", std::process::id()));
    let listen = format!("unix:{}", path.display());
    through_at(&listen, "", server);
    let report = report(&format!("{listen}:/events"), "4s", "10", &[]).await;
    is_whole(&report);
    is_as_said("in the report", &report);
    let (code, said) = doctor(&[&format!("{listen}:/events"), "--for", "2s", "--cuts", "4"]).await;
    assert_eq!(code, 0, "{said}");
    assert!(said.starts_with(&format!("{listen}:/events, watched for ")), "{said}");
    assert!(
        said.contains("Whole: ") && said.contains(" 0 lost, 0 repeated, 0 out of order, 0 answered by a gap"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_stream_with_a_hello_and_heartbeats_comes_out_clean() {
    let (_origin, server) = typed(20).start().await;
    is_whole(&report(&url(through("", server)), "4s", "10", &[]).await);
    // What says of itself to whom it is said is each connection's own.
    let (_origin, server) = counting(20)
        .hello(|asker, _| format!("event: hello\ndata: {}\n\n", asker.number))
        .heartbeat(150, |asker, n| format!("event: ping\ndata: {} {n}\n\n", asker.number))
        .start()
        .await;
    let report = report(&url(through("", server)), "4s", "10", &[]).await;
    is_whole(&report);
    assert_eq!(report["events"]["types_own"], serde_json::json!(["hello", "ping"]), "{report:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_stream_with_a_hello_and_ephemeral_heartbeats_comes_out_clean() {
    let (_origin, server) = typed(20).start().await;
    let file = "[[route]]\npath = '/events'\nmode = 'shared'\ntype = '/type'\nhello = ['server.connected']\n\
                ephemeral = ['server.heartbeat']\n";
    let report = report(&url(through(file, server)), "4s", "10", &[]).await;
    is_whole(&report);
    assert!(report["events"]["types_not_kept"].to_string().contains("server.heartbeat"), "{report:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hidden_ids_and_the_upstreams_own_come_out_clean() {
    let (_origin, server) = counting(20).start().await;
    let hidden = "[[route]]\npath = '/events'\nids = 'hidden'\n";
    is_whole(&report(&url(through(hidden, server)), "4s", "10", &[]).await);
    let (_origin, server) =
        Server::new(20, |_, n| format!("id: {n}\ndata: {n}\n\n")).resuming().start().await;
    let shared = "[[route]]\npath = '/events'\nmode = 'shared'\nupstream_resumes = true\n";
    is_whole(&report(&url(through(shared, server)), "4s", "10", &[]).await);
    // A server that has replay of its own is as good.
    let bare = report(&url(server), "4s", "10", &[]).await;
    assert!(wrong(&bare).is_empty() && number(&bare, "/returns/untold") >= 5, "{bare:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_replay_loses_and_the_losses_are_counted() {
    let (_origin, server) = counting(20).start().await;
    let report = report(&url(server), "4s", "6", &[]).await;
    finds(&report, "no-ids");
    finds(&report, "lost");
    assert!(number(&report, "/lost") > 3, "{report:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_buffers_bytes_is_found() {
    let (_origin, server) = counting(20).start().await;
    // With what respool puts around it an event is some 70 bytes: the rest of one comes most of a second later.
    let way = Way::BuffersBytes(2500).to(through("", server)).await;
    let report = report(&url(way), "6s", "2", &[]).await;
    finds(&report, "buffers");
    assert!(report.to_string().contains("proxy_buffering off;"), "{report:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_buffers_time_is_found_by_the_direct_connection() {
    let (_origin, server) = counting(50).start().await;
    let way = Way::BuffersTime(Duration::from_millis(1500)).to(through("", server)).await;
    let direct = report(&url(way), "5s", "4", &["--direct", &url(server)]).await;
    finds(&direct, "buffers");
    // Without the proxy there is nothing to find.
    let clean = report(&url(through("", server)), "4s", "8", &["--direct", &url(server)]).await;
    is_whole(&clean);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_compresses_is_found() {
    let (_origin, server) = counting(20).start().await;
    let way = Way::Compresses.to(through("", server)).await;
    let report = report(&url(way), "3s", "6", &[]).await;
    assert_eq!(wrong(&report), ["compressed"], "{report:#}");
    assert!(report.to_string().contains("gzip off;"), "{report:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_ends_idle_connections_is_found_with_how_long_they_lived() {
    let (_origin, server) = counting(1800).start().await;
    let way = Way::EndsIdle(Duration::from_millis(700)).to(through("", server)).await;
    let report = report(&url(way), "6s", "2", &[]).await;
    finds(&report, "ends-idle");
    assert!(report.to_string().contains("in which nothing came; it lived for"), "{report:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_holds_back_the_head_is_found() {
    // Whoever comes hears nothing for so long.
    let quiet = Server::new(60_000, |_, _| String::new());
    let (_origin, server) = quiet.heartbeat(1500, |_, n| format!("data: {n}\n\n")).start().await;
    // Where a page is given an id at once, there is something to hand the head on with.
    let unprimed = "[[route]]\npath = '/events'\nprime = false\n";
    let way = Way::HoldsHead.to(through(unprimed, server)).await;
    let report = report(&url(way), "8s", "2", &[]).await;
    finds(&report, "holds-head");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_strips_last_event_id_is_found() {
    let (_origin, server) = counting(20).start().await;
    let way = Way::Strips("last-event-id").to(through("", server)).await;
    let report = report(&url(way), "3s", "6", &[]).await;
    finds(&report, "strips-last-event-id");
    finds(&report, "lost");
    assert!(report.to_string().contains("proxy_set_header Last-Event-ID $http_last_event_id;"), "{report:#}");
}

/// Ids without order, another one for each connection.
fn random(asker: &Asker, n: u64) -> String {
    let mixed = (n + 1_000_003 * asker.number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!("data: {n}\nid: {mixed:016x}-x\n\n")
}

/// Ids that are counted anew on each connection.
fn counted(asker: &Asker, n: u64) -> String {
    format!("data: {n}\nid: {}\n\n", n - asker.from)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_server_whose_ids_are_random_is_found() {
    let (_origin, server) = Server::new(20, random).start().await;
    finds(&report(&url(through("", server)), "3s", "6", &[]).await, "ids-random");
    let replaced = "[[route]]\npath = '/events'\nids = 'replace'\n";
    is_whole(&report(&url(through(replaced, server)), "4s", "8", &[]).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_server_whose_ids_are_counted_per_connection_is_found() {
    let (_origin, server) = Server::new(20, counted).start().await;
    finds(&report(&url(through("", server)), "3s", "6", &[]).await, "ids-counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_event_stream_says_what_it_is() {
    let (_origin, server) = counting(20).status(|_, _| 404).start().await;
    let (code, said) = doctor(&[&url(server), "--for", "2s"]).await;
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("seen:   status 404, Content-Type: text/plain, and it begins with \"no\""),
        "{said}"
    );
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let report = report(&url(nobody), "2s", "2", &[]).await;
    assert_eq!(wrong(&report), ["unreachable"]);
}

/// respool keeps a client waiting for an event server that it cannot reach, for longer than one may be told to watch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_respool_that_does_not_reach_its_event_server_is_told_from_nobody() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let through = through("outage = { hold = '1500ms' }", nobody);
    let report = report(&url(through), "1s", "2", &[]).await;
    assert_eq!(wrong(&report), ["unanswered"]);
    let remedy = report["findings"][0]["remedy"].as_str().unwrap();
    assert!(remedy.contains("`upstream` and its log say where it looks"), "{remedy}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_proven_by_silence_or_by_a_server_that_refuses_a_second_time() {
    let (_origin, server) = counting(60_000).start().await;
    assert_eq!(wrong(&report(&url(through("", server)), "2s", "2", &[]).await), ["silent"]);
    let (_origin, server) =
        counting(20).status(|asker, _| if asker.number > 3 { 503 } else { 200 }).start().await;
    finds(&report(&url(server), "3s", "4", &[]).await, "refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_arguments_are_refused() {
    let url = "http://127.0.0.1:9/events";
    for arguments in [
        &["127.0.0.1:9/events"][..],
        &[url, "--for", "soon"],
        &[url, "--for", "1ms"],
        &[url, "--cuts", "0"],
        &[url, "--header", "Authorization"],
        &["--suggest", url, "--cuts", "3"],
        &[],
    ] {
        let (code, said) = doctor(arguments).await;
        assert_eq!(code, 2, "{arguments:?}: {said}");
    }
}
