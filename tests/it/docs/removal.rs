//! `removal.md`, and what stands there and elsewhere for nginx.

use std::{
    fmt::Write as _,
    fs,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
};

use super::{blocks, page, pages};
use crate::support::{
    Origin, Wire, until, within,
    world::{World, event_source},
};

/// As respool is to be left in its place for a while, when it is taken out.
#[tokio::test(start_paused = true)]
async fn where_no_more_ids_are_given_out_those_of_before_are_taken_away_all_the_same() {
    let page = page("removal.md");
    let route = blocks(&page, "toml")[0].split_once("\n\n").unwrap().1;
    let mut world = World::new(route);
    let mut client = world.send(&event_source("/e", "r60b9lf41arm0pbgo2v8g0000-2")).await;
    let mut upstream = world.origin.accept().await;
    assert_eq!(upstream.header("last-event-id"), None);
    upstream.begin().await;
    upstream.events(["a"]).await;
    assert_eq!((client.data().await, client.id().await), (vec!["a".to_owned()], String::new()));
    let _foreign = world.send(&event_source("/e", "41")).await;
    assert_eq!(world.origin.accept().await.header("last-event-id"), Some("41"));
}

/// The program. Where it is missing, its lines are not tried.
fn nginx() -> Option<&'static str> {
    ["nginx", "/usr/sbin/nginx"].into_iter().find(|nginx| Command::new(nginx).arg("-v").output().is_ok())
}

/// A configuration with these lines of a page in it; what it needs is in a directory of its own.
fn nginx_with(lines: &str) -> (PathBuf, Vec<String>) {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let place = std::env::temp_dir().join(format!("respool-nginx-{}-{n}", std::process::id()));
    fs::create_dir_all(&place).unwrap();
    let lines = if lines.trim_start().starts_with("location") {
        format!("server {{\n{lines}}}")
    } else {
        lines.to_owned()
    };
    let mut file =
        "daemon off;\nmaster_process off;\nworker_processes 1;\npid nginx.pid;\nerror_log stderr;\n"
            .to_owned();
    file.push_str("events {}\nhttp {\naccess_log off;\n");
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(file, "{kind}_temp_path {kind};").unwrap();
    }
    writeln!(file, "{lines}\n}}").unwrap();
    let path = place.join("nginx.conf");
    fs::write(&path, file).unwrap();
    let arguments = ["-p", place.to_str().unwrap(), "-c", path.to_str().unwrap(), "-e", "stderr"];
    (place.clone(), arguments.map(str::to_owned).to_vec())
}

#[test]
fn nginx_takes_each_of_its_examples() {
    let Some(nginx) = nginx() else { return };
    let mut tried = 0;
    for (name, page) in pages() {
        for lines in blocks(&page, "nginx") {
            let (place, arguments) = nginx_with(lines);
            let output = Command::new(nginx).args(arguments).arg("-t").output().unwrap();
            assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
            fs::remove_dir_all(place).unwrap();
            tried += 1;
        }
    }
    assert!(tried >= 3);
}

#[tokio::test]
async fn nginx_takes_our_ids_away_and_nobody_elses() {
    let Some(nginx) = nginx() else { return };
    within(async {
        let origin = Origin::saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        let front = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let page = page("removal.md");
        let lines = blocks(&page, "nginx")[0].replace("127.0.0.1:9000", &origin.address.to_string());
        let lines = lines.replace("listen 8081", &format!("listen {front}"));
        let (place, arguments) = nginx_with(&lines);
        let mut child =
            Command::new(nginx).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until(|| TcpStream::connect(front).is_ok()).await;
        let (ours, shared) = ("r60b9lf41arm0pbgo2v8g0000-2", "r0000000000007-0");
        let others = ["41", "r7-1", "r60b9lf41arm0pbgo2v8g0000-02", "r0000000000007-", "xr0000000000007-0"];
        for (id, comes) in [(ours, false), (shared, false)].into_iter().chain(others.map(|id| (id, true))) {
            let is_ours = respool::id::Position::parse(id.as_bytes()).is_some();
            assert_eq!(is_ours, !comes, "{id}");
            let request = format!("GET / HTTP/1.1\r\nHost: h\r\nLast-Event-ID: {id}\r\n\r\n");
            assert_eq!(Wire::to(front).await.ask(request).await.text(), "ok");
            let heads = origin.heads();
            let brought =
                heads.last().unwrap().iter().any(|line| line.to_ascii_lowercase().contains("last-event-id"));
            assert_eq!(brought, comes, "{id}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        fs::remove_dir_all(place).unwrap();
    })
    .await;
}
