//! TLS with clients: what is spoken, who is told what, and certificates that change.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use h2::Reason;
use http::Request;
use respool::{
    net::{
        Listener,
        tls::{Certificates, Files},
    },
    proxy::forward::Settings,
    server::Limits,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{Authority, Binary, End, Multiplexed, Origin, Proxy, Wire, free, until, within};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
    Transfer-Encoding: chunked\r\n\r\n9\r\ndata: a\n\n\r\n";

fn front(authority: &Authority) -> String {
    let (certificate, key) = (authority.path("front.pem"), authority.path("front.key"));
    format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n")
}

#[tokio::test]
async fn clients_speak_http_1_and_http_2_and_the_upstream_is_told_that_it_was_by_tls() {
    within(async {
        let authority = Authority::new();
        authority.sign("front", &["localhost"]);
        let origin = Origin::saying(OK).await;
        let binary = Binary::secured(origin.address, &front(&authority)).await;
        for (offered, agreed) in
            [(&["http/1.1"][..], Some("http/1.1")), (&["h2", "http/1.1"], Some("h2")), (&[], None)]
        {
            let stream = authority.connect(binary.address, offered).await.unwrap();
            let seen =
                stream.get_ref().1.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
            assert_eq!(seen.as_deref(), agreed);
            let text = if agreed == Some("h2") {
                Multiplexed::over(stream).await.get("https://localhost/").await.rest().await.text()
            } else {
                Wire::new(stream).ask(GET).await.text()
            };
            assert_eq!(text, "ok");
        }
        for head in origin.heads() {
            assert!(
                head.iter().any(|line| line.eq_ignore_ascii_case("x-forwarded-proto: https")),
                "{head:?}"
            );
            assert!(head.iter().any(|line| line.eq_ignore_ascii_case("host: localhost")), "{head:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_cut_is_no_end_by_tls_either() {
    within(async {
        let authority = Authority::new();
        authority.sign("front", &["localhost"]);
        let origin = Origin::start(|mut visit| async move {
            visit.request().await;
            visit.send(STREAM).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        })
        .await;
        let binary = Binary::secured(origin.address, &front(&authority)).await;
        let mut client = Wire::new(authority.connect(binary.address, &["http/1.1"]).await.unwrap());
        let answer =
            client.ask("GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n").await;
        assert!(answer.text().contains("data: a\n"), "{answer:?}");
        assert!(matches!(answer.end, End::Cut | End::Reset), "{answer:?}");
        let mut client = Multiplexed::over(authority.connect(binary.address, &["h2"]).await.unwrap()).await;
        let stream = client.events("/", "").await.rest().await;
        assert!(stream.text().contains("data: a\n"));
        assert_eq!(stream.end, Some(Err(Reason::INTERNAL_ERROR)));
    })
    .await;
}

#[tokio::test]
async fn who_speaks_no_tls_harms_nobody_and_is_told() {
    within(async {
        let authority = Authority::new();
        authority.sign("front", &["localhost"]);
        let files = Files { certificate: authority.path("front.pem"), key: authority.path("front.key") };
        let certificates = Certificates::load(files).unwrap();
        let listener =
            Listener::bind_with(&"https://127.0.0.1:0".parse().unwrap(), Some(&certificates)).unwrap();
        let respool::net::Address::Tls(address) = listener.local().unwrap() else { unreachable!() };
        let origin = Origin::saying(OK).await;
        let limits = Limits { header_timeout: Duration::from_millis(400), ..Limits::default() };
        let upstream = format!("http://{}", origin.address);
        let drain = Proxy::on([listener], &upstream, Settings::default(), limits);

        let answer = Wire::to(address).await.ask(GET).await;
        assert_eq!(
            (answer.status(), answer.text().as_str()),
            (400, "respool: TLS is spoken here: ask by https://\n")
        );
        // No handshake, half of one, one with somebody else's certificate, nothing at all.
        for said in [&b"\x16\x03\x01\x00\x05hello"[..], b"\x16\x03\x01\x02\x00\x01", b""] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(said).await.unwrap();
            let _ = client.read_to_end(&mut Vec::new()).await;
        }
        assert!(Authority::new().connect(address, &["h2"]).await.is_err());
        let mut client = Wire::new(authority.connect(address, &["http/1.1"]).await.unwrap());
        assert_eq!(client.ask(GET).await.text(), "ok");
        drop(client);
        drain.finish().await;
        assert_eq!(origin.heads().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn who_speaks_tls_to_the_plain_port_is_refused_and_harms_nobody() {
    within(async {
        let authority = Authority::new();
        let origin = Origin::saying(OK).await;
        let binary = Binary::to(origin.address).await;
        for protocols in [&["h2", "http/1.1"][..], &[]] {
            assert!(authority.connect(binary.address, protocols).await.is_err());
        }
        // How a handshake begins.
        let answer = binary.connect().await.ask(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await;
        assert_eq!(answer.status(), 400, "{answer:?}");
        assert_eq!(binary.connect().await.ask(GET).await.text(), "ok");
        assert_eq!(origin.heads().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_clients_and_a_bad_one_to_nobody() {
    within(async {
        let (authority, successor) = (Authority::new(), Authority::new());
        authority.sign("front", &["localhost"]);
        let origin = Origin::saying(OK).await;
        let admin = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let file = format!("admin = '{admin}'\n{}", front(&authority));
        let binary = Binary::secured(origin.address, &file).await;
        let stays = authority.connect(binary.address, &["http/1.1"]).await.unwrap();
        let mut stays = Wire::new(stays);

        // A key that is not the certificate's: nobody sees it.
        let key = fs::read(authority.path("front.key")).unwrap();
        authority.sign("other", &["localhost"]);
        fs::copy(authority.path("other.key"), authority.path("front.key")).unwrap();
        until(|| binary.log().contains("the new certificate cannot be used")).await;
        let log = binary.log();
        assert!(log.contains("front.key: not the key of the certificate in "), "{log}");
        assert!(log.contains("; write both anew, from the same source"), "{log}");
        fs::write(authority.path("front.key"), key).unwrap();
        assert!(authority.connect(binary.address, &["h2"]).await.is_ok());

        // One of somebody else's: who trusts him alone is let in, once it is seen.
        successor.sign("front", &["localhost"]);
        for name in ["front.key", "front.pem"] {
            fs::copy(successor.path(name), authority.path(name)).unwrap();
        }
        while successor.connect(binary.address, &["h2"]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(authority.connect(binary.address, &["h2"]).await.is_err());
        assert_eq!(stays.ask(GET).await.text(), "ok");
        let metrics =
            Wire::to(admin).await.ask("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await.text();
        let count = |result: &str| {
            let line = format!("respool_certificate_renewals_total{{result=\"{result}\"}} ");
            let found = metrics.lines().find_map(|had| had.strip_prefix(&line));
            found.unwrap().parse::<u32>().unwrap()
        };
        assert!(count("done") >= 1 && count("failed") >= 1, "{metrics}");
    })
    .await;
}

/// What is said of this file, which is called `NAME.toml`, and the code.
fn started(name: &str, file: &str, arguments: &[&str]) -> (String, Option<i32>) {
    let path = std::env::temp_dir().join(format!("respool-tls-{}-{name}.toml", std::process::id()));
    fs::write(&path, file).unwrap();
    let said = Command::new(env!("CARGO_BIN_EXE_respool")).args(arguments).arg(&path).output().unwrap();
    fs::remove_file(path).unwrap();
    (String::from_utf8_lossy(&said.stderr).into_owned(), said.status.code())
}

/// What is wrong with which of these files, in which line of the configuration, and what would be right.
const WRONG: [(&str, &str, &str, &str, &str); 7] = [
    (
        "none.pem",
        "front.key",
        "none.pem: cannot be read: No such file",
        ":4:",
        "name a file that this user may read",
    ),
    (
        "front.pem",
        "folder",
        "folder: cannot be read: Is a directory",
        ":5:",
        "name a file that this user may read",
    ),
    (
        "empty.pem",
        "front.key",
        "empty.pem: no certificate is in it",
        ":4:",
        "write certificates in PEM there",
    ),
    ("torn.pem", "front.key", "torn.pem: no PEM: ", ":4:", "write certificates in PEM there"),
    ("front.pem", "torn.pem", "torn.pem: no PEM: ", ":5:", "write the private key in PEM there"),
    (
        "front.pem",
        "front.pem",
        "front.pem: no private key that can be used is in it",
        ":5:",
        "write the private key",
    ),
    (
        "front.pem",
        "other.key",
        "other.key: not the key of the certificate in ",
        ":5:",
        "write both anew, from",
    ),
];

/// An authority with files for [`WRONG`].
fn careless() -> Authority {
    let authority = Authority::new();
    authority.sign("front", &["localhost"]);
    authority.sign("other", &["localhost"]);
    fs::write(authority.path("empty.pem"), "").unwrap();
    fs::write(authority.path("torn.pem"), "-----BEGIN CERTIFICATE-----\nMIIB").unwrap();
    fs::create_dir(authority.path("folder")).unwrap();
    authority
}

#[test]
fn a_bad_certificate_at_start_is_a_fault_that_names_file_line_and_remedy() {
    let authority = careless();
    for (table, head) in [
        ("tls", "listen = 'https://127.0.0.1:0'\nupstream = 'http://127.0.0.1:9'\n"),
        ("upstream_tls", "upstream = 'https://127.0.0.1:9'\nlisten = '127.0.0.1:0'\n"),
    ] {
        for (certificate, key, wrong, line, remedy) in WRONG {
            let (certificate, key) = (authority.path(certificate), authority.path(key));
            let file = format!("{head}[{table}]\ncertificate = {certificate:?}\nkey = {key:?}\n");
            for arguments in [&["check"][..], &["run", "--config"]] {
                let (said, code) = started(table, &file, arguments);
                let place = format!("--> {}/respool-tls-", std::env::temp_dir().display());
                let at = said
                    .lines()
                    .find(|had| had.trim_start().starts_with(&place))
                    .unwrap_or_else(|| panic!("{said}"));
                assert!(at.contains(&format!("{table}.toml{line}")), "{said}");
                assert!(said.contains(wrong) && said.contains(&format!("help: {remedy}")), "{said}");
                assert_eq!((code, said.matches("error: ").count()), (Some(2), 1), "{said}");
            }
        }
    }
    // What is not used is not read.
    let file = "upstream = 'http://127.0.0.1:9'\n[upstream_tls]\nca = 'none.pem'\n";
    assert_eq!(started("unused", file, &["check"]).1, Some(0));
}

#[test]
fn a_bad_file_of_authorities_is_a_fault_that_names_file_line_and_remedy() {
    let authority = careless();
    for (ca, wrong) in [
        ("empty.pem", "empty.pem: no certificate is in it"),
        ("none.pem", "none.pem: cannot be read: No such file"),
        ("torn.pem", "torn.pem: no PEM: "),
    ] {
        let ca = authority.path(ca);
        let file = format!("upstream = 'https://127.0.0.1:9'\n[upstream_tls]\nca = {ca:?}\n");
        let (said, code) = started("ca", &file, &["check"]);
        assert!(said.contains(wrong) && said.contains("-ca.toml:3:6\n") && said.contains("help: "), "{said}");
        assert_eq!(code, Some(2), "{said}");
    }
}

#[tokio::test]
async fn a_bad_certificate_on_reload_changes_nothing_and_names_file_line_and_remedy() {
    within(async {
        let authority = careless();
        let origin = Origin::saying(OK).await;
        let (path, admin) = (authority.path("respool.toml"), free());
        let write = |certificate: &str, key: &str| {
            let (certificate, key) = (authority.path(certificate), authority.path(key));
            let tls = format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n");
            fs::write(&path, format!("# The admin's\nadmin = 'https://{admin}'\n{tls}")).unwrap();
        };
        write("front.pem", "front.key");
        let binary = Binary::configured(origin.address, path.to_str().unwrap()).await;
        for (n, (certificate, key, wrong, line, remedy)) in WRONG.into_iter().enumerate() {
            write(certificate, key);
            binary.signal("-HUP");
            let refused = "the configuration was refused, and nothing has changed";
            until(|| binary.log().matches(refused).count() > n).await;
            let (log, line) = (binary.log(), format!("respool.toml{line}"));
            let said = log.lines().rfind(|had| had.contains(refused)).unwrap();
            assert!(
                said.contains(&line) && said.contains(wrong) && said.contains(&format!("; {remedy}")),
                "{said}"
            );
        }
        assert!(authority.connect(admin, &["h2"]).await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn curl_is_served_by_tls_with_http_1_and_http_2() {
    let Ok(known) = Command::new("curl").arg("--version").output() else { return };
    let http2 = String::from_utf8_lossy(&known.stdout).contains("HTTP2");
    within(async {
        let authority = Authority::new();
        authority.sign("front", &["localhost"]);
        let origin = Origin::saying(OK).await;
        let binary = Binary::secured(origin.address, &front(&authority)).await;
        for (flag, version) in [("--http1.1", "1.1"), ("--http2", if http2 { "2" } else { "1.1" })] {
            let (ca, port) = (authority.path("ca.pem"), binary.address.port());
            let curl = tokio::task::spawn_blocking(move || {
                let mut curl = Command::new("curl");
                curl.args([flag, "-sS", "-w", " %{http_version}", "--cacert"]).arg(ca);
                curl.args(["--resolve", &format!("localhost:{port}:127.0.0.1")]);
                curl.arg(format!("https://localhost:{port}/")).stdin(Stdio::null()).output().unwrap()
            });
            let said = curl.await.unwrap();
            let wrong = String::from_utf8_lossy(&said.stderr).into_owned();
            assert_eq!(String::from_utf8_lossy(&said.stdout), format!("ok {version}"), "{wrong}");
        }
        assert!(origin.heads().iter().all(|head| head[0] == "GET / HTTP/1.1"));
    })
    .await;
}

#[tokio::test]
async fn many_streams_of_one_connection_are_all_live() {
    within(async {
        let authority = Authority::new();
        authority.sign("front", &["localhost"]);
        let origin = Origin::start(|mut visit| async move {
            visit.request().await;
            visit.send(STREAM).await;
            visit.rest().await;
        })
        .await;
        let binary = Binary::secured(origin.address, &front(&authority)).await;
        let mut client = Multiplexed::over(authority.connect(binary.address, &["h2"]).await.unwrap()).await;
        let mut streams = Vec::new();
        for n in 0..100 {
            let request =
                Request::get(format!("https://localhost/{n}")).header("accept", "text/event-stream");
            streams.push(client.ask(request.body(()).unwrap()).await.unwrap());
        }
        for stream in &mut streams {
            while !stream.text().contains("data: a\n") {
                stream.read_for(Duration::from_millis(20)).await;
            }
            assert_eq!(stream.end, None);
        }
    })
    .await;
}
