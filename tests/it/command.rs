//! The binary from outside: what it says, and the code that it exits with.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

pub(super) fn respool(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_respool"));
    command.args(arguments).stdin(Stdio::null());
    for name in ["UPSTREAM", "LISTEN", "ADMIN", "CONFIG", "LOG"] {
        command.env_remove(format!("RESPOOL_{name}"));
    }
    command
}

/// Exit code, standard output and standard error of a run that ends by itself.
#[track_caller]
fn check(arguments: &[&str], code: i32, out: &str, err: &str) {
    let output = respool(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    assert_eq!((output.status.code(), text(output.stdout).as_str()), (Some(code), out));
    assert_eq!(text(output.stderr), err);
}

/// A file of this content; its name is the test's own.
pub(super) fn file(name: &str, content: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("respool-{}-{name}.toml", std::process::id()));
    std::fs::write(&path, content).unwrap();
    path
}

#[test]
fn check_says_what_is_wrong_and_where() {
    let path = file("wrong", "upstream = \"http://127.0.0.1:9000\"\n\n[limits]\nstreams = 0\n");
    let name = path.to_str().unwrap();
    let fault = format!(
        "error: zero leaves nothing\n --> {name}:4:11\n  |\n4 | streams = 0\n  |           ^\n  |\n  \
         = help: write a whole number above zero\n"
    );
    check(&["check", name], 2, "", &fault);
    check(&["check", "--config", name], 2, "", &fault);
    check(&["--config", name], 2, "", &fault);
    std::fs::remove_file(path).unwrap();
    let fault = "error: /no/such.toml: cannot be read: No such file or directory (os error 2)\n |\n \
                 = help: name a file of UTF-8 text that this user may read\n";
    check(&["check", "/no/such.toml"], 2, "", fault);
}

#[test]
fn check_says_ok_and_what_is_likely_a_mistake() {
    let path = file(
        "open",
        "upstream = \"http://127.0.0.1:9000\"\n[[route]]\npath = \"/a\"\nmode = \"shared\"\nadmit = \"none\"\nkey = \"path\"\n",
    );
    let name = path.to_str().unwrap();
    let warning = format!(
        "warning: `/a` is shared by all who ask, whatever credentials they have: the key leaves out authorization and \
         cookie\n --> {name}:6:7\n  |\n6 | key = \"path\"\n  |       ^^^^^^\n  |\n  = help: write `admit = \"upstream\"`, or add \"header:authorization\" and \"header:cookie\" to the key\n"
    );
    check(&["check", name], 0, "ok\n", &warning);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn wrong_arguments_are_refused_before_anything_starts() {
    let none = "error: no upstream is given\n |\n = help: give --upstream URL, set RESPOOL_UPSTREAM, or write `upstream = \"http://127.0.0.1:9000\"` in the file\n";
    check(&[], 2, "", none);
    check(&["run"], 2, "", none);
    assert_eq!(respool(&["--nonsense"]).output().unwrap().status.code(), Some(2));
    let level = "--log: `loud` is no level; write \"error\", \"warn\", \"info\", \"debug\" or \"trace\", \
                 or a level for each part, such as \"info,respool::pump=debug\"\n";
    check(&["--log", "loud"], 2, "", level);
}

#[test]
fn a_taken_port_is_named_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let fault = format!(
        "cannot listen on {address}: Address already in use (os error 98); \
         stop what listens there, or choose another with --listen or --admin\n"
    );
    let arguments = ["--upstream", "http://127.0.0.1:9", "--log", "off", "--listen", &address];
    check(&arguments, 1, "", &fault);
}

/// A running proxy, killed when dropped.
pub(super) struct Running {
    child: Child,
    pub(super) listen: SocketAddr,
    pub(super) admin: SocketAddr,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let told = Command::new("sh").args(["-c", "kill \"$0\" \"$1\"", signal, &pid]).status().unwrap();
        assert!(told.success());
    }
}

/// Starts on free ports, which it says in its log.
pub(super) fn start(arguments: &[&str]) -> Running {
    let any = "127.0.0.1:0";
    let mut command = respool(&["run", "--listen", any, "--admin", any]);
    command.args(arguments);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut address = || {
        // Not a terminal: the log is JSON.
        let line = lines.next().unwrap().unwrap();
        let start = line.find("\"address\":\"").unwrap_or_else(|| panic!("{line}")) + 11;
        line[start..].split('"').next().unwrap().parse().unwrap()
    };
    let (listen, admin) = (address(), address());
    // What it says later must go somewhere.
    std::thread::spawn(move || lines.for_each(drop));
    Running { child, listen, admin }
}

pub(super) fn get(from: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(from).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

/// An upstream that begins a stream for each client, and never ends one.
fn endless() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let head =
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
            socket.write_all(head.as_bytes()).unwrap();
            open.push(socket);
        }
    });
    address
}

#[test]
fn it_is_ready_whatever_the_upstream_does_and_live_but_not_ready_while_it_drains() {
    let away = start(&["--upstream", "http://127.0.0.1:9"]);
    assert!(
        get(away.admin, "/ready").starts_with("HTTP/1.1 200 "),
        "an upstream that is away is not our state"
    );
    let path =
        file("drains", &format!("upstream = \"http://{}\"\ndrain = {{ time = \"30s\" }}\n", endless()));
    let mut running = start(&["--config", path.to_str().unwrap()]);
    let mut client = TcpStream::connect(running.listen).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n").unwrap();
    assert!(client.read(&mut [0; 64]).unwrap() > 0, "a client that the drain has to wait for");
    let ask = |path| get(running.admin, path)[9..12].to_owned();
    assert_eq!((ask("/live").as_str(), ask("/ready").as_str()), ("200", "200"));
    running.signal("-TERM");
    while TcpStream::connect(running.listen).is_ok() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!((ask("/live").as_str(), ask("/ready").as_str()), ("200", "503"));
    // Who drains is still measured; what streams make of the drain they do a moment later.
    let shows = || get(running.admin, "/metrics").contains("\nrespool_draining 1\n");
    let pause = || std::thread::sleep(std::time::Duration::from_millis(5));
    assert!((0..2000).any(|_| shows() || {
        pause();
        false
    }));
    running.signal("-TERM");
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn it_serves_clients_and_the_admin_until_it_is_told_to_end() {
    let mut running = start(&["--upstream", "http://127.0.0.1:9"]);
    assert!(get(running.listen, "/").starts_with("HTTP/1.1 502 "));
    assert!(get(running.admin, "/ready").starts_with("HTTP/1.1 200 "));
    let metrics = get(running.admin, "/metrics");
    assert!(metrics.contains("respool_build_info{") && metrics.ends_with("# EOF\n"), "{metrics}");
    running.signal("-TERM");
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    assert!(TcpStream::connect(running.listen).is_err());
}

#[test]
fn the_drain_button_ends_it_and_no_other_page_presses_it() {
    let file = std::env::temp_dir().join(format!("respool-drain-{}.toml", std::process::id()));
    std::fs::write(&file, "admin_actions = [\"drain\"]\ndrain = { time = \"0s\" }\n").unwrap();
    let mut running = start(&["--upstream", "http://127.0.0.1:9", "--config", file.to_str().unwrap()]);
    std::fs::remove_file(&file).unwrap();
    let admin = running.admin;
    let post = |origin: &str| {
        let mut socket = TcpStream::connect(admin).unwrap();
        let head =
            format!("POST /drain HTTP/1.1\r\nHost: {admin}\r\nOrigin: {origin}\r\nConnection: close\r\n");
        write!(socket, "{head}Content-Length: 0\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    };
    let refused = post("http://evil.example");
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    assert!(get(admin, "/ready").starts_with("HTTP/1.1 200 "));
    let drained = post(&format!("http://{admin}"));
    assert!(drained.starts_with("HTTP/1.1 200 ") && drained.ends_with("draining\n"), "{drained}");
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
}

#[test]
fn check_says_what_a_file_comes_to_and_what_becomes_of_a_request() {
    let path =
        file("told", "upstream = \"http://127.0.0.1:9000\"\n[[route]]\npath = \"/a\"\nmode = \"shared\"\n");
    let name = path.to_str().unwrap();
    let said = |arguments: &[&str]| {
        let output = respool(arguments).output().unwrap();
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let effective = said(&["check", name, "--effective"]);
    assert!(
        effective.contains("\nmode = \"shared\"\n")
            && effective.contains("\nadmit = \"upstream\"  # default\n")
    );
    let told = said(&["check", name, "--explain", "/a", "--method", "POST", "--header", "X-A: 1"]);
    assert!(told.contains(&format!("/a, {name}:2:1\n")) && told.contains("it is no GET"), "{told}");
    std::fs::remove_file(path).unwrap();
    // Without a file, what holds by default.
    let told = said(&["check", "--upstream", "http://127.0.0.1:9", "--explain", "http://here/a?b=c"]);
    assert!(told.contains("no route matches this path") && told.contains("host: here\n"), "{told}");
    for wrong in [["--explain", "a b"], ["--method", "GET"], ["--header", "a: b"]] {
        assert_eq!(respool(&["check"]).args(wrong).output().unwrap().status.code(), Some(2), "{wrong:?}");
    }
}
