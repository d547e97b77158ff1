//! Each limit at its edge, by the program itself: what is within it is not worth a word; what is beyond it is counted, and
//! told in the log by a line that names the setting.

use std::net::SocketAddr;

use tokio::{
    sync::watch,
    time::{Duration, Instant, sleep},
};

use crate::support::{Binary, Origin, Wire, free, until, within};

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";

/// respool with this configuration, before an event server that goes by the path: it has a stream of what stands behind the
/// last slash, so many events, or one frame of twelve bytes for `x12`. Who sends `Mute` gets no answer.
pub(super) struct Told {
    pub(super) binary: Binary,
    admin: SocketAddr,
    origin: Option<Origin>,
    /// Whether the server sends what it has.
    go: watch::Sender<bool>,
}

async fn server(go: watch::Receiver<bool>) -> Origin {
    Origin::start(move |mut visit| {
        let mut go = go.clone();
        async move {
            if !visit.request().await {
                return;
            }
            let head = visit.head_of_request();
            let path = head.split(' ').nth(1).unwrap().to_owned();
            let what = path.rsplit('/').next().unwrap();
            if !head.to_lowercase().contains("\nmute:") {
                let events = match what.strip_prefix('x') {
                    Some(length) => format!("data: {}\n\n", "x".repeat(length.parse::<usize>().unwrap() - 8)),
                    None => "data: a\n\n".repeat(what.parse().unwrap()),
                };
                visit.send(HEAD).await;
                let _ = go.wait_for(|go| *go).await;
                visit.send(events).await;
            }
            // Until the other side is gone.
            visit.rest().await;
        }
    })
    .await
}

impl Told {
    pub(super) async fn start(configuration: &str) -> Self {
        let (go, gone) = watch::channel(true);
        let (admin, origin) = (free(), server(gone).await);
        let file = format!("upstream = 'http://{}'\nadmin = '{admin}'\n{configuration}", origin.address);
        let binary = Binary::with_file(&file).await;
        // It listens there a moment later.
        while tokio::net::TcpStream::connect(admin).await.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
        Self { binary, admin, origin: Some(origin), go }
    }

    /// A client that has asked.
    async fn ask(&self, path: &str, header: &str) -> Wire {
        let mut client = self.binary.connect().await;
        let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
        let accept = "Accept: text/event-stream\r\nCache-Control: no-cache";
        client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n{accept}\r\n{header}\r\n")).await;
        client
    }

    /// A client that has its answer: what its `Respool-Resume` says, and the id of its prime.
    async fn join(&self, path: &str, id: &str) -> (Wire, String, String) {
        let header = if id.is_empty() { String::new() } else { format!("Last-Event-ID: {id}") };
        let mut client = self.ask(path, &header).await;
        let head = client.head().await;
        let said = head.iter().find_map(|line| line.strip_prefix("respool-resume: "));
        let mut id = String::new();
        if said == Some("fresh") {
            let mut prime = String::new();
            while !prime.contains("\n\n") {
                prime += &String::from_utf8_lossy(&client.exactly(1).await.0);
            }
            id = prime.split("id: ").nth(1).unwrap().lines().next().unwrap().to_owned();
        }
        (client, said.unwrap_or("none").to_owned(), id)
    }

    pub(super) async fn metric(&self, line: &str) -> u64 {
        let ask = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let text = Wire::to(self.admin).await.ask(ask).await.text();
        let found = text.lines().find_map(|had| had.strip_prefix(line)?.strip_prefix(' '));
        found.unwrap_or_else(|| panic!("no {line} in {text}")).trim().parse().unwrap()
    }

    pub(super) async fn until(&self, line: &str, value: u64) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let is = self.metric(line).await;
            if is == value {
                return;
            }
            assert!(Instant::now() < deadline, "{line} is {is}, not {value}: {}", self.binary.log());
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn said(&self, setting: &str) -> bool {
        self.binary.log().lines().any(|line| line.contains("\"setting\":\"") && line.contains(setting))
    }

    /// Nothing was said of the setting so far; when this number has come, it is.
    pub(super) async fn tells(&self, setting: &str, line: &str, value: u64) {
        self.until(line, value).await;
        until(|| self.said(setting)).await;
    }

    #[track_caller]
    pub(super) fn is_silent(&self) {
        assert!(!self.binary.log().contains("\"setting\""), "{}", self.binary.log());
    }
}

const SHARED: &str = "[[route]]\npath = '/**'\nmode = 'shared'\nkey = 'path'\n";

fn of_all(metric: &str, label: &str) -> String {
    format!("respool_{metric}{{route=\"/**\",{label}}}")
}

#[tokio::test]
async fn a_client_beyond_limits_connections_waits() {
    within(async {
        let told = Told::start("[limits]\nconnections = 2\n").await;
        // Whoever looked whether it listens.
        told.until("respool_connections", 0).await;
        let (first, second) = (told.join("/0", "").await, told.join("/0", "").await);
        assert_eq!(told.metric("respool_connections").await, 2);
        told.is_silent();
        let mut third = told.ask("/0", "").await;
        until(|| told.said("limits.connections")).await;
        assert_eq!(told.metric("respool_connections").await, 2);
        drop(first);
        assert_eq!(third.head().await[0], "HTTP/1.1 200 OK");
        drop(second);
    })
    .await;
}

#[tokio::test]
async fn a_stream_beyond_limits_streams_passes() {
    within(async {
        let told = Told::start(&format!("[limits]\nstreams = 2\n{ALL}")).await;
        let clients = [told.join("/0", "").await, told.join("/0", "").await];
        assert!(clients.iter().all(|(_, said, _)| said == "fresh"));
        told.is_silent();
        let (_third, said, _) = told.join("/0", "").await;
        assert_eq!(said, "none");
        told.tells("limits.streams", &of_all("answers_total", "answer=\"passed\""), 1).await;
        assert_eq!(told.metric("respool_streams{kind=\"private\"}").await, 2);
    })
    .await;
}

const ALL: &str = "[[route]]\npath = '/**'\n";

#[tokio::test]
async fn an_upstream_connection_beyond_limits_lingering_ends() {
    within(async {
        let told = Told::start("[limits]\nlingering = 1\n").await;
        drop(told.join("/0", "").await);
        told.until("respool_lingering", 1).await;
        told.is_silent();
        drop(told.join("/0", "").await);
        told.tells("limits.lingering", "respool_evictions_total{cause=\"lingering\"}", 1).await;
        assert_eq!(told.metric("respool_lingering").await, 1);
    })
    .await;
}

#[tokio::test]
async fn an_admission_beyond_limits_admissions_waits_its_turn() {
    within(async {
        let told = Told::start(&format!("[limits]\nadmissions = 1\n{SHARED}admit_timeout = '1s'\n")).await;
        // Who opens a stream is not counted.
        let _opens = told.join("/0", "").await;
        let _asks = told.ask("/0", "Mute: 1").await;
        told.until("respool_admitting{state=\"asking\"}", 1).await;
        told.is_silent();
        let _waits = told.ask("/0", "Mute: 2").await;
        told.tells("limits.admissions", "respool_admitting{state=\"waiting\"}", 1).await;
        assert!(!told.said("admit_timeout"));
        // Its place goes to the next when its time is over.
        told.tells("admit_timeout", "respool_admitting{state=\"late\"}", 1).await;
        told.until("respool_admitting{state=\"waiting\"}", 0).await;
    })
    .await;
}

#[tokio::test]
async fn a_hello_beyond_hello_wait_is_not_waited_for() {
    within(async {
        let told = Told::start(&format!("{SHARED}hello = ['hi']\nhello_wait = '300ms'\n")).await;
        told.is_silent();
        let _client = told.ask("/0", "").await;
        told.tells("hello_wait", "respool_hellos_total{route=\"/**\",hello=\"none\"}", 1).await;
    })
    .await;
}

#[tokio::test]
async fn an_outage_beyond_outage_hold_cuts_who_is_held() {
    within(async {
        let mut told = Told::start("[outage]\nhold = '600ms'\n").await;
        told.origin = None;
        let mut client = told.ask("/0", "").await;
        told.until("respool_held_requests", 1).await;
        assert!(!told.said("outage.hold"));
        assert_eq!(client.rest().await.0, b"");
        told.tells("outage.hold", "respool_hold_seconds_count{outcome=\"cut\"}", 1).await;
    })
    .await;
}

#[tokio::test]
async fn an_event_beyond_limits_event_breaks_its_stream() {
    within(async {
        let told = Told::start(&format!("[limits]\nevent = '1KiB'\n[window]\nbytes = '1KiB'\n{ALL}")).await;
        let _within = told.join("/x1024", "").await;
        told.until("respool_events_total{route=\"/**\"}", 1).await;
        told.is_silent();
        let _beyond = told.join("/x1025", "").await;
        told.until(&of_all("breaks_total", "reason=\"oversized\""), 1).await;
        until(|| told.binary.log().contains("(`limits.event`)")).await;
    })
    .await;
}

#[tokio::test]
async fn windows_beyond_limits_memory_give_way() {
    within(async {
        let small = "[limits]\nmemory = '128KiB'\nevent = '64KiB'\n[window]\nbytes = '64KiB'\n";
        let told = Told::start(&format!("{small}{ALL}")).await;
        let _first = told.join("/x60000", "").await;
        told.until("respool_events_total{route=\"/**\"}", 1).await;
        told.is_silent();
        let _others = [told.join("/x60000", "").await, told.join("/x60000", "").await];
        told.until("respool_events_total{route=\"/**\"}", 3).await;
        until(|| told.said("limits.memory")).await;
        assert!(told.metric("respool_evictions_total{cause=\"memory\"}").await >= 1);
        let (held, most) =
            (told.metric("respool_memory_bytes").await, told.metric("respool_memory_limit_bytes").await);
        assert!(held <= most && most == 128 << 10, "{held} of {most}");
    })
    .await;
}

#[tokio::test]
async fn what_is_beyond_a_window_is_a_gap() {
    within(async {
        let told = Told::start(&format!("[window]\nevents = 5\n{ALL}")).await;
        let mut all = 0;
        for (missed, said) in [(5, "resumed; missed=5"), (6, "gap; reason=expired")] {
            told.go.send_replace(false);
            let path = format!("/{missed}");
            let (client, _, id) = told.join(&path, "").await;
            drop(client);
            told.is_silent();
            told.go.send_replace(true);
            all += missed;
            told.until("respool_events_total{route=\"/**\"}", all).await;
            assert_eq!(told.join(&path, &id).await.1, said);
        }
        told.tells("window", &of_all("answers_total", "answer=\"gap_expired\""), 1).await;
    })
    .await;
}
