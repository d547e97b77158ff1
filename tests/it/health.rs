//! `respool health`: what it says of one that runs, and the code that it exits with.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    process::Output,
};

use super::command::{self, Running, respool};

fn said(output: Output) -> (Option<i32>, String) {
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

fn health(arguments: &[&str]) -> (Option<i32>, String) {
    said(respool(&["health"]).args(arguments).output().unwrap())
}

fn running() -> Running {
    command::start(&["--upstream", "http://127.0.0.1:9"])
}

#[test]
fn one_that_serves_is_ready_by_flag_environment_or_file() {
    let running = running();
    let ready = (Some(0), "ready\n".to_owned());
    let admin = running.admin.to_string();
    assert_eq!(health(&["--admin", &admin]), ready);
    // A container's variables; what else they say does not matter.
    let by_env = respool(&["health"]).env("RESPOOL_ADMIN", &admin).output().unwrap();
    assert_eq!(said(by_env), ready);
    // A file that leaves the upstream to a flag.
    let file = command::file("health", &format!("admin = \"{admin}\"\n"));
    assert_eq!(health(&["--config", file.to_str().unwrap()]), ready);
    std::fs::remove_file(file).unwrap();
    // As a container's respool listens: on all addresses.
    assert_eq!(health(&["--admin", &format!("0.0.0.0:{}", running.admin.port())]), ready);
}

#[test]
fn one_behind_a_unix_socket_is_asked_there() {
    let path = std::env::temp_dir().join(format!("respool-{}-health.sock", std::process::id()));
    let address = format!("unix:{}", path.display());
    let mut child =
        respool(&["--upstream", "http://127.0.0.1:9", "--listen", "127.0.0.1:0", "--admin", &address])
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(log.any(|line| line.unwrap().contains("\"serving\"")));
    assert_eq!(health(&["--admin", &address]), (Some(0), "ready\n".to_owned()));
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_file(path).unwrap();
}

/// Whoever listens answers each question with this.
fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serve = move |socket: TcpStream| {
        let mut head = BufReader::new(&socket).lines().map_while(Result::ok);
        let _ = head.find(String::is_empty);
        let _ = (&socket).write_all(answer.as_bytes());
    };
    std::thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(serve));
    address
}

#[test]
fn one_that_drains_is_not_ready() {
    let address = answering("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(health(&["--admin", &address]), (Some(1), "not ready: it drains\n".to_owned()));
}

#[test]
fn what_is_no_admin_is_told_from_what_is_not_there() {
    let running = running();
    let clients = running.listen.to_string();
    let other = format!(
        "what answers at {clients} is no admin's listener of respool; name the address of its --admin\n"
    );
    assert_eq!(health(&["--admin", &clients]), (Some(1), other));
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (code, text) = health(&["--admin", &nobody]);
    assert_eq!(code, Some(1));
    assert!(
        text.starts_with(&format!("cannot ask {nobody}: ")) && text.ends_with("is it running?\n"),
        "{text}"
    );
}

#[test]
fn who_says_no_address_is_told_how() {
    let none = command::file("health-none", "upstream = \"http://127.0.0.1:9\"\n");
    let unsaid = "no admin's listener is configured; \
                  give --admin ADDR, set RESPOOL_ADMIN, or name the file that has it by --config\n";
    assert_eq!(health(&["--config", none.to_str().unwrap()]), (Some(2), unsaid.to_owned()));
    std::fs::remove_file(none).unwrap();
    let (code, text) = health(&["--admin", "localhost"]);
    assert_eq!(code, Some(2));
    assert!(text.starts_with("`localhost`: this is no address to listen on; "), "{text}");
}
