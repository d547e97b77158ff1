//! Each row before a program in front of respool, by its file in `deploy/fronts`: what it refuses is its own; what it
//! lets through, respool and the upstream read as one and the same, and its client gets the answers to that and no others.
//!
//! `RESPOOL_BEHIND` names the fronts, separated by commas; without it nothing is done.
#![allow(clippy::print_stdout, reason = "how much was asked of whom")]

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tokio::time::timeout;

use super::{
    CANARY,
    recorder::{Recorder, Seen, Tap},
    strict::{Manner, Reading, Request, read_all},
    table::rows,
};
use crate::support::{Binary, Wire, free, until};

/// After which nothing more is expected of a front that waits for more itself.
const QUIET: Duration = Duration::from_millis(120);
/// How long a machine may take for what must come.
const SLOW: Duration = Duration::from_secs(20);

/// A program that runs until it is dropped.
struct Front {
    address: SocketAddr,
    place: PathBuf,
    child: Child,
}

const VARNISH: &str = "vcl 4.1;
backend respool { .host = \"127.0.0.1\"; .port = \"8080\"; }
sub vcl_backend_response { set beresp.uncacheable = true; return (deliver); }
";

impl Front {
    async fn start(name: &str, respool: SocketAddr) -> Self {
        let address = free();
        let place = std::env::temp_dir().join(format!("respool-behind-{}-{name}", std::process::id()));
        fs::create_dir_all(&place).unwrap();
        let fronts = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/fronts");
        let text = |file: &str| fs::read_to_string(fronts.join(file)).unwrap();
        let (port, at) = (address.port(), place.to_str().unwrap());
        let (text, listens, own) = match name {
            "nginx" => (text("nginx.conf"), "listen 80;", format!("listen {address};")),
            "haproxy" => (text("haproxy.cfg"), "bind :80\n", format!("bind {address}\n")),
            "caddy" => (text("Caddyfile"), ":80 {", format!("{{\n\tadmin off\n}}\n\nhttp://:{port} {{")),
            "varnish" => (VARNISH.to_owned(), "vcl 4.1;", "vcl 4.1;".to_owned()),
            other => panic!("no front is named {other}"),
        };
        assert_eq!(text.matches(listens).count(), 1, "{name}");
        let backend = ("\"8080\"".to_owned(), format!("\"{}\"", respool.port()));
        let text = text.replace(listens, &own).replace("127.0.0.1:8080", &respool.to_string());
        let path = place.join("file");
        fs::write(&path, text.replace(&backend.0, &backend.1)).unwrap();
        let file = path.to_str().unwrap();
        let (globals, listen) =
            (format!("daemon off; master_process off; pid {at}/pid;"), address.to_string());
        let command: Vec<&str> = match name {
            "nginx" => vec!["nginx", "-e", "stderr", "-p", at, "-g", &globals, "-c", file],
            "haproxy" => vec!["haproxy", "-db", "-f", file],
            "caddy" => vec!["caddy", "run", "--config", file, "--adapter", "caddyfile"],
            _ => {
                vec!["varnishd", "-F", "-j", "none", "-n", at, "-s", "malloc,16m", "-a", &listen, "-f", file]
            }
        };
        let child = Command::new(command[0])
            .args(&command[1..])
            .envs(["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"].map(|name| (name, at)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(place.join("said")).unwrap())
            .spawn()
            .unwrap_or_else(|fault| panic!("{name}: {fault}"));
        let front = Self { address, place, child };
        until(|| std::net::TcpStream::connect(address).is_ok()).await;
        front
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        // Told, not killed: one has a child of its own.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.place);
    }
}

/// A front, respool, and all that goes from one to the next.
struct Chain {
    front: Front,
    tap: Tap,
    upstream: Recorder,
    _respool: Binary,
    /// How much of each connection to respool was looked at.
    read: Vec<usize>,
}

impl Chain {
    async fn start(name: &str) -> Self {
        let upstream = Recorder::start().await;
        let respool = Binary::to(upstream.address).await;
        let tap = Tap::before(respool.address).await;
        let front = Front::start(name, tap.address).await;
        Self { front, tap, upstream, _respool: respool, read: Vec::new() }
    }

    /// What went to respool since this was asked last.
    fn respool_got(&mut self) -> Vec<Request> {
        let mut all = Vec::new();
        for (at, bytes) in self.tap.got().iter().enumerate() {
            if self.read.len() == at {
                self.read.push(0);
            }
            let (requests, rest) = read_all(&bytes[self.read[at]..], Manner::Taken);
            let left = match rest {
                Reading::Part(_) => requests.iter().map(|request| request.length).sum(),
                _ => bytes.len() - self.read[at],
            };
            self.read[at] += left;
            all.extend(requests);
        }
        all
    }

    /// Sends this and drops the connection when nothing more comes; gives what the client was told of, by its numbers,
    /// and what the upstream got. So many answers are all that can come.
    async fn send(&self, sent: &[u8], most: usize) -> (Vec<u64>, Vec<Seen>) {
        let mut client = Wire::to(self.front.address).await;
        let _ = client.try_send(sent).await;
        let (began, mut seen) = (Instant::now(), Vec::new());
        loop {
            let before = client.ahead().len();
            let is_over = timeout(QUIET, client.rest_or(|came| numbers(came).len() >= most)).await.is_ok();
            seen.extend(self.upstream.take());
            let told = numbers(client.ahead());
            // What the upstream had was answered, and there is no more to come.
            let is_still =
                client.ahead().len() == before && seen.iter().filter(is_whole).count() <= told.len();
            if is_over || is_still || began.elapsed() > SLOW {
                return (told, seen);
            }
        }
    }

    /// Sends a row, and says what is not as it should be.
    async fn judge(&mut self, row: &[u8]) -> Result<usize, String> {
        let (told, mut seen) = self.send(row, usize::MAX).await;
        // What a row leaves behind, on whichever connection, is not for who comes next.
        let (canary, then) = self.send(CANARY.as_bytes(), 1).await;
        let is_canary = |seen: &&Seen| matches!(seen, Seen::Whole(request, number) if request.target() == "/canary" && [*number] == canary[..]);
        if then.iter().filter(is_canary).count() != 1 {
            return Err(format!("who came next was told of {canary:?}, of {then:?}"));
        }
        seen.extend(then.iter().filter(|seen| !is_canary(seen)).cloned());
        self.compare(&told, &seen)
    }

    /// What the client was told, what respool got and what the upstream got are about the same requests.
    fn compare(&mut self, told: &[u64], seen: &[Seen]) -> Result<usize, String> {
        let own = self.upstream.address.to_string();
        let mut asked = Vec::new();
        let mut left = told.iter().peekable();
        for seen in seen {
            match seen {
                Seen::Whole(request, number) => {
                    let is_told = left.next_if(|told| *told == number).is_some();
                    // A front may have given its client up, but never for another request than that one.
                    if !is_told && !request.target().starts_with("/x") {
                        return Err(format!("the client was not told of {}", request.target()));
                    }
                    asked.push(request.meaning(&own));
                }
                // It never ended there, so that nobody goes by it.
                Seen::Torn(_) => {}
                Seen::Wrong(wrong) => return Err(format!("the upstream got {wrong}")),
            }
        }
        if left.next().is_some() {
            return Err(format!("the client was told of {told:?}, the upstream got {seen:?}"));
        }
        // Of what goes to respool, some is refused by it. Its connections are many, so that there is no order.
        let mut read: Vec<_> = self.respool_got().iter().map(|request| request.meaning(&own)).collect();
        for one in &asked {
            let Some(at) = read.iter().position(|read| read == one) else {
                return Err(format!("respool was asked for {read:?}, the upstream for {asked:?}"));
            };
            read.remove(at);
        }
        Ok(asked.len())
    }
}

fn is_whole(seen: &&Seen) -> bool {
    matches!(seen, Seen::Whole(..))
}

/// The numbers of the upstream's answers among what a client was told.
fn numbers(told: &[u8]) -> Vec<u64> {
    let told = String::from_utf8_lossy(told).to_ascii_lowercase();
    // Of one that has not come to its end yet, more may come.
    let lines = told.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let numbers = lines.filter_map(|line| line.strip_prefix("x-seen: "));
    numbers.map(|number| number.trim().parse().unwrap()).collect()
}

async fn behind(name: String) {
    let mut chain = Chain::start(&name).await;
    let (mut passed, mut wrong) = (0, Vec::new());
    for row in rows() {
        match chain.judge(&row.sent).await {
            Ok(requests) => passed += requests.min(1),
            Err(what) => wrong.push(format!("{}: {what}", row.name)),
        }
    }
    assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
    println!("{name} passed something of {passed} rows of {} on, each as one", rows().len());
    assert!(passed > 20, "{name} passed {passed}");
}

#[tokio::test]
async fn what_a_front_lets_through_is_read_in_one_way_by_all_behind_it() {
    let Ok(names) = std::env::var("RESPOOL_BEHIND") else {
        println!("skipped: RESPOOL_BEHIND names no front");
        return;
    };
    let all: Vec<_> = names.split(',').map(|name| tokio::spawn(behind(name.to_owned()))).collect();
    for one in all {
        timeout(Duration::from_secs(280), one).await.expect("it hangs").unwrap();
    }
}
