//! Sockets that the service manager listens on, and what it is told.

use std::{
    net::{SocketAddr, TcpListener},
    os::{
        fd::OwnedFd,
        unix::net::{UnixDatagram, UnixListener},
    },
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::net::UnixStream;

use crate::support::{Origin, Wire, until, within};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// What a service manager is to one service, and a socket unit with it.
struct Manager {
    folder: PathBuf,
    told: UnixDatagram,
    address: SocketAddr,
    /// Called `web` and `local`.
    sockets: [OwnedFd; 2],
}

impl Manager {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("respool-systemd-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let told = UnixDatagram::bind(folder.join("notify")).unwrap();
        told.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let web = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = web.local_addr().unwrap();
        let local = UnixListener::bind(folder.join("local")).unwrap();
        Self { folder, told, address, sockets: [web.into(), local.into()] }
    }

    /// Starts the service with its sockets as descriptors from 3 on, as sd_listen_fds(3) says.
    fn start(&self, upstream: SocketAddr, listen: &[&str]) -> Service {
        // The program takes the shell's place, and has its id.
        let shell = "exec 3<&0 4<&2 0</dev/null 2>&1; LISTEN_PID=$$ exec \"$0\" \"$@\"";
        let mut command = Command::new("sh");
        command.args([
            "-c",
            shell,
            env!("CARGO_BIN_EXE_respool"),
            "--upstream",
            &format!("http://{upstream}"),
        ]);
        for address in listen {
            command.args(["--listen", address]);
        }
        let [first, second] = self.sockets.each_ref().map(|socket| Stdio::from(socket.try_clone().unwrap()));
        command.stdin(first).stderr(second).stdout(Stdio::null());
        command.env("LISTEN_FDS", "2").env("LISTEN_FDNAMES", "web:local");
        command.env("NOTIFY_SOCKET", self.folder.join("notify"));
        Service(command.spawn().unwrap())
    }

    /// The next thing that it is told.
    fn hears(&self) -> String {
        let mut said = [0; 256];
        let length = self.told.recv(&mut said).unwrap();
        String::from_utf8_lossy(&said[..length]).trim().to_owned()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

struct Service(Child);

impl Service {
    fn signal(&self, signal: &str) {
        let pid = self.0.id().to_string();
        let mut kill = Command::new("sh");
        assert!(kill.args(["-c", "kill \"$0\" \"$1\"", signal, &pid]).status().unwrap().success());
    }

    async fn ended(mut self) -> Option<i32> {
        until(|| self.0.try_wait().unwrap().is_some()).await;
        self.0.wait().unwrap().code()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn what_was_handed_to_us_is_served_and_a_restart_refuses_nobody() {
    within(async {
        let origin = Origin::saying(OK).await;
        let manager = Manager::new("all");
        let service = manager.start(origin.address, &["systemd"]);
        assert_eq!(manager.hears(), "READY=1");
        assert_eq!(Wire::to(manager.address).await.ask(GET).await.text(), "ok");
        let local = UnixStream::connect(manager.folder.join("local")).await.unwrap();
        assert_eq!(Wire::new(local).ask(GET).await.text(), "ok");

        service.signal("-TERM");
        assert_eq!(manager.hears(), "STOPPING=1");
        assert_eq!(service.ended().await, Some(0));
        // Nobody is there, and nobody is refused.
        let mut waits = Wire::to(manager.address).await;
        waits.send(GET).await;
        let mut local = Wire::new(UnixStream::connect(manager.folder.join("local")).await.unwrap());
        local.send(GET).await;
        let _again = manager.start(origin.address, &["systemd"]);
        assert_eq!(waits.answer(false).await.text(), "ok");
        assert_eq!(local.answer(false).await.text(), "ok");
    })
    .await;
}

#[tokio::test]
async fn one_of_several_is_taken_by_its_name() {
    within(async {
        let origin = Origin::saying(OK).await;
        let manager = Manager::new("named");
        let service = manager.start(origin.address, &["systemd:local"]);
        assert_eq!(manager.hears(), "READY=1");
        let local = UnixStream::connect(manager.folder.join("local")).await.unwrap();
        assert_eq!(Wire::new(local).ask(GET).await.text(), "ok");
        let mut other = Wire::to(manager.address).await;
        other.send(GET).await;
        assert_eq!(other.unasked().await, b"");
        drop(service);
        // A name that nobody has ends the program, with what would help.
        assert_eq!(manager.start(origin.address, &["systemd:odd"]).ended().await, Some(1));
    })
    .await;
}

#[test]
fn without_a_service_manager_it_is_said_what_is_missing() {
    let said = Command::new(env!("CARGO_BIN_EXE_respool"))
        .args(["--upstream", "http://127.0.0.1:9", "--listen", "systemd", "--log", "error"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(
        text.contains("cannot listen on systemd: no such socket was handed to us; start it by systemd"),
        "{text}"
    );
    assert_eq!(said.status.code(), Some(1));
}
