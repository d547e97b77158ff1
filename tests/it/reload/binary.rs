use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::sleep;

use crate::support::{Binary, End, Origin, Wire, free, until, within};

const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
                      9\r\ndata: a\n\n\r\n0\r\n\r\n";
const ASK: &str = "GET /e HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n";
const PASS: &str = "[[route]]\npath = '/e'\nmode = 'pass'\n";

/// A file of the test's own, away with it.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("respool-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = Self(directory.join("respool.toml"));
        std::fs::write(&file.0, text).unwrap();
        file
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
    }
}

/// The binary with this file, before an event server of one event.
pub(crate) struct Running {
    pub(crate) binary: Binary,
    file: File,
    admin: SocketAddr,
    _origin: Origin,
}

/// One that is up, whose event server is elsewhere.
struct Started {
    binary: Binary,
    file: File,
    admin: SocketAddr,
}

impl Started {
    fn having(self, origin: Origin) -> Running {
        let Self { binary, file, admin } = self;
        Running { binary, file, admin, _origin: origin }
    }
}

impl Running {
    async fn start(name: &str, text: &str) -> Self {
        Self::before(Origin::saying(STREAM).await, name, text).await
    }

    /// Before this event server.
    pub(crate) async fn before(origin: Origin, name: &str, text: &str) -> Self {
        let start = async |path: &str| Binary::configured(origin.address, path).await;
        Self::by(start, name, text).await.having(origin)
    }

    /// ... with so many file descriptors.
    pub(crate) async fn limited(origin: Origin, name: &str, text: &str, descriptors: u32) -> Self {
        let start = async |path: &str| Binary::limited(origin.address, path, descriptors).await;
        Self::by(start, name, text).await.having(origin)
    }

    /// ... with the clock that a file sets, by this library.
    pub(crate) async fn faked(
        origin: Origin,
        name: &str,
        text: &str,
        library: &std::ffi::OsStr,
        clock: &Path,
    ) -> Self {
        let start = async |path: &str| Binary::faked(origin.address, path, library.as_ref(), clock).await;
        Self::by(start, name, text).await.having(origin)
    }

    async fn by(start: impl AsyncFnOnce(&str) -> Binary, name: &str, text: &str) -> Started {
        let admin = free();
        let file = File::new(name, &format!("admin = '{admin}'\n{text}"));
        let binary = start(file.path()).await;
        // It listens there a moment later.
        while tokio::net::TcpStream::connect(admin).await.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
        Started { binary, file, admin }
    }

    pub(crate) fn write(&self, text: &str) {
        // At once: it may be read at any moment.
        let next = self.file.0.with_extension("next");
        std::fs::write(&next, self.text(text)).unwrap();
        std::fs::rename(next, &self.file.0).unwrap();
    }

    fn text(&self, text: &str) -> String {
        format!("admin = '{}'\n{text}", self.admin)
    }

    /// Whether an event gets an id: on a route that passes it does not.
    async fn gives_ids(&self) -> bool {
        let answer = self.binary.connect().await.ask(ASK).await;
        assert_eq!((answer.status(), answer.end), (200, End::Whole));
        answer.text().contains("\nid: ")
    }

    /// What the admin says there.
    pub(crate) async fn admin(&self, path: &str) -> String {
        let mut admin = Wire::to(self.admin).await;
        admin.ask(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await.text()
    }

    pub(crate) async fn metrics(&self) -> String {
        self.admin("/metrics").await
    }

    pub(crate) async fn metric(&self, line: &str) -> u64 {
        let text = self.metrics().await;
        let found = text.lines().find_map(|had| had.strip_prefix(line));
        found.unwrap_or_else(|| panic!("no {line} in {text}")).trim().parse().unwrap()
    }

    pub(crate) async fn reloads(&self, result: &str) -> u64 {
        self.metric(&format!("respool_reloads_total{{result=\"{result}\"}}")).await
    }

    /// Says so, and waits until so many reloads had this result.
    async fn hang_up(&self, result: &str, times: u64) {
        self.binary.signal("-HUP");
        self.until(result, times).await;
    }

    async fn until(&self, result: &str, times: u64) {
        while self.reloads(result).await != times {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn a_hangup_loads_a_good_file_and_leaves_everything_where_it_is_bad() {
    within(async {
        let running = Running::start("hangup", "").await;
        let loaded = running.metric("respool_config_loaded_timestamp_seconds").await;
        assert!(running.gives_ids().await && loaded > 1_700_000_000);
        running.write(PASS);
        running.hang_up("loaded", 1).await;
        assert!(!running.gives_ids().await);
        running.hang_up("unchanged", 1).await;
        running.write(&format!("{PASS}linger = 'long'\n"));
        running.hang_up("refused", 1).await;
        assert!(!running.gives_ids().await);
        let fault = format!("{}:5:10: ", running.file.path());
        until(|| running.binary.log().contains(&fault)).await;
        let status = running.admin("/status").await;
        assert!(status.contains("\"outcome\":\"refused\"") && status.contains(&fault), "{status}");
        std::fs::remove_file(&running.file.0).unwrap();
        running.hang_up("refused", 2).await;
        until(|| running.binary.log().contains("cannot be read: No such file")).await;
        assert!(!running.gives_ids().await);
        running.write("");
        running.hang_up("loaded", 2).await;
        assert!(running.gives_ids().await);
        assert!(running.metric("respool_config_loaded_timestamp_seconds").await >= loaded);
    })
    .await;
}

#[tokio::test]
async fn what_takes_a_restart_is_named_and_does_not_stop_the_rest() {
    within(async {
        let running = Running::start("fixed", "").await;
        // The flags beat the file: what they say has not changed.
        let text =
            format!("admin = '{}'\nlisten = '127.0.0.1:1'\nupstream = 'http://127.0.0.1:1'\n{PASS}", free());
        std::fs::write(&running.file.0, text).unwrap();
        running.hang_up("loaded", 1).await;
        assert!(!running.gives_ids().await);
        until(|| running.binary.log().contains("waits for a restart")).await;
        let log = running.binary.log();
        assert!(log.contains("\"setting\":\"admin\""), "{log}");
        assert!(!log.contains("\"listen\"") && !log.contains("\"upstream\":\"http://127.0.0.1:1"), "{log}");
        let status = running.admin("/status").await;
        assert!(status.contains("\"waiting\":[\"admin\"]"), "{status}");
        running.write("");
        running.hang_up("loaded", 2).await;
        assert_eq!(running.binary.log().matches("waits for a restart").count(), 1);
    })
    .await;
}

#[tokio::test]
async fn without_a_file_a_hangup_says_that_there_is_none() {
    within(async {
        let origin = Origin::saying(STREAM).await;
        let mut binary = Binary::to(origin.address).await;
        binary.signal("-HUP");
        until(|| binary.log().contains("there is no configuration file to read again")).await;
        assert_eq!(binary.status(), None);
        assert_eq!(binary.connect().await.ask(ASK).await.status(), 200);
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_looked_at_is_loaded_when_it_has_changed() {
    within(async {
        const LOOK: &str = "reload = '100ms'\n";
        let running = Running::start("look", LOOK).await;
        assert!(running.gives_ids().await);
        running.write(&format!("{LOOK}{PASS}"));
        running.until("loaded", 1).await;
        assert!(!running.gives_ids().await);
        // A bad one is told of once, and one that cannot be read.
        running.write(&format!("{LOOK}{PASS}nonsense = 1\n"));
        running.until("refused", 1).await;
        std::fs::remove_file(&running.file.0).unwrap();
        running.until("refused", 2).await;
        sleep(Duration::from_millis(500)).await;
        assert_eq!((running.reloads("refused").await, running.reloads("loaded").await), (2, 1));
        assert!(!running.gives_ids().await);
        // As a ConfigMap is replaced: by a link to another directory.
        let directory = running.file.0.parent().unwrap();
        let link = |version: &str, text: &str| {
            std::fs::create_dir(directory.join(version)).unwrap();
            std::fs::write(directory.join(version).join("respool.toml"), running.text(text)).unwrap();
            std::os::unix::fs::symlink(version, directory.join("next")).unwrap();
            std::fs::rename(directory.join("next"), directory.join("..data")).unwrap();
        };
        link("..1", LOOK);
        std::os::unix::fs::symlink(Path::new("..data/respool.toml"), &running.file.0).unwrap();
        running.until("loaded", 2).await;
        assert!(running.gives_ids().await);
        link("..2", &format!("{LOOK}{PASS}"));
        running.until("loaded", 3).await;
        assert!(!running.gives_ids().await);
        // And never again.
        link("..3", PASS);
        running.until("loaded", 4).await;
        link("..4", "");
        sleep(Duration::from_millis(500)).await;
        assert!(!running.gives_ids().await);
        running.hang_up("loaded", 5).await;
        assert!(running.gives_ids().await);
    })
    .await;
}

#[tokio::test]
async fn fewer_connections_are_for_those_who_come() {
    within(async {
        let running = Running::start("connections", "").await;
        let mut here = Vec::new();
        for _ in 0..3 {
            let mut wire = running.binary.connect().await;
            assert_eq!(wire.ask(ASK).await.status(), 200);
            here.push(wire);
        }
        running.write("[limits]\nconnections = 2\n");
        running.hang_up("loaded", 1).await;
        let mut waits = running.binary.connect().await;
        waits.send(ASK).await;
        // Those who are here go on.
        for wire in &mut here {
            assert_eq!(wire.ask(ASK).await.status(), 200);
        }
        here.pop();
        assert!(waits.unasked().await.is_empty(), "there are two");
        here.pop();
        assert_eq!(waits.answer(false).await.status(), 200);
    })
    .await;
}
