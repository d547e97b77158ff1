//! By https, to whom the system trusts.

use std::{net::SocketAddr, process::Output};

use tokio::{
    io::{AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use super::{counting, through};
use crate::{
    command::respool,
    support::{Authority, Binary, Origin, until, within},
};

/// Somebody who speaks TLS before `to`; the port.
async fn front(authority: &Authority, to: SocketAddr) -> u16 {
    authority.sign("front", &["localhost"]);
    let acceptor = authority.acceptor("front", &["http/1.1"], false);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut client) = acceptor.accept(client).await else { return };
                let mut server = TcpStream::connect(to).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut server).await;
                let _ = client.shutdown().await;
            });
        }
    });
    port
}

/// The doctor, on a system that trusts those in this file and nobody else.
async fn doctor(url: String, trusted: std::path::PathBuf) -> (i32, String) {
    let run = move || -> Output {
        let mut command = respool(&["doctor", &url, "--for", "3s", "--cuts", "5"]);
        command.env_remove("SSL_CERT_DIR").env("SSL_CERT_FILE", trusted).output().unwrap()
    };
    let output = within(async { tokio::task::spawn_blocking(run).await.unwrap() }).await;
    (output.status.code().unwrap(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_goes_by_https_to_whom_the_system_trusts_and_names_the_remedy_where_it_trusts_somebody_else() {
    let (ours, others) = (Authority::new(), Authority::new());
    let (_origin, server) = counting(20).start().await;
    let port = front(&ours, through("", server)).await;
    let url = format!("https://localhost:{port}/events");
    let (code, said) = doctor(url.clone(), ours.path("ca.pem")).await;
    assert!(
        code == 0 && said.starts_with(&format!("{url}, watched for ")) && said.contains("Whole: "),
        "{said}"
    );
    let (code, said) = doctor(url, others.path("ca.pem")).await;
    for words in
        ["wrong: untrusted\n", "seen:   invalid peer certificate: UnknownIssuer\n", "set SSL_CERT_FILE"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(code, 1);
    let (_, said) = doctor(format!("https://127.0.0.1:{port}/events"), ours.path("ca.pem")).await;
    assert!(
        said.contains("not valid for name") && said.contains("a URL with a name that it is for"),
        "{said}"
    );
    let (code, said) = doctor(format!("https://localhost:{port}/events"), others.path("none.pem")).await;
    assert!(code == 1 && said.contains("no certificates of authorities were found"), "{said}");
}

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upstream_by_https_is_whom_the_system_trusts_and_the_log_names_the_remedy_where_it_is_not() {
    within(async {
        let (ours, others) = (Authority::new(), Authority::new());
        let origin = Origin::saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        let port = front(&ours, origin.address).await;
        let upstream = format!("https://localhost:{port}");
        let trusted = Binary::trusting(&ours.path("ca.pem"), &upstream).await;
        assert_eq!(trusted.connect().await.ask(GET).await.status(), 200);
        let untrusted = Binary::trusting(&others.path("ca.pem"), &upstream).await;
        assert_eq!(untrusted.connect().await.ask(GET).await.status(), 502);
        for words in [
            "invalid peer certificate: UnknownIssuer; if it is the right one",
            "`ca` in [upstream_tls], or as SSL_CERT_FILE",
        ] {
            until(|| untrusted.log().contains(words)).await;
        }
        let renamed = Binary::trusting(&ours.path("ca.pem"), &format!("https://127.0.0.1:{port}")).await;
        assert_eq!(renamed.connect().await.ask(GET).await.status(), 502);
        until(|| renamed.log().contains("as `name` in [upstream_tls]")).await;
        // Where the system trusts nobody, it does not start.
        let mut command = respool(&["--upstream", &upstream, "--listen", "127.0.0.1:0"]);
        command.env_remove("SSL_CERT_DIR").env("SSL_CERT_FILE", ours.path("none.pem"));
        let run = move || command.output().unwrap();
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("no certificates of authorities were found") && said.contains("SSL_CERT_FILE"),
            "{said}"
        );
        assert!(!output.status.success());
    })
    .await;
}
