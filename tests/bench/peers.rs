//! Servers that are put before event servers today, from Debian's packages, each as its documentation has it for streams
//! and with two workers. One that is not installed is left out, with a word.

use std::{
    env, fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::world::Program;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Nginx,
    Haproxy,
    Caddy,
}

impl Peer {
    const ALL: [Self; 3] = [Self::Nginx, Self::Haproxy, Self::Caddy];

    /// Those that this machine has.
    pub(crate) fn installed() -> Vec<Self> {
        Self::ALL.into_iter().filter(|peer| peer.is_installed()).collect()
    }

    /// Names those that this machine does not have.
    pub(crate) fn say_what_is_missing() {
        for peer in Self::ALL.iter().filter(|peer| !peer.is_installed()) {
            println!(
                "left out: {}, which is not installed (apt-get install {})",
                peer.name(),
                peer.package()
            );
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Caddy => "Caddy",
        }
    }

    fn package(self) -> &'static str {
        self.program()
    }

    fn program(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
        }
    }

    fn is_installed(self) -> bool {
        file_of(self.program()).is_some()
    }

    /// Starts it before this server, and waits until it listens.
    pub(crate) fn start(self, upstream: SocketAddr) -> (Program, SocketAddr) {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let place = env::temp_dir().join(format!("respool-bench-{}-{}", process::id(), self.name()));
        let place = place.with_extension(number.to_string());
        fs::create_dir_all(&place).unwrap();
        let address = free();
        let mut program = self.run(&place, address, upstream);
        let mut program = Program::at(program.spawn().unwrap(), place);
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            let is_waiting = start.elapsed() < Duration::from_secs(10) && program.is_running();
            assert!(is_waiting, "{} does not start: {}", self.name(), program.said());
            thread::sleep(Duration::from_millis(10));
        }
        (program, address)
    }

    fn run(self, place: &Path, address: SocketAddr, upstream: SocketAddr) -> Command {
        let (file, at) = (place.join("file"), place.to_str().unwrap());
        let arguments: &[&str] = match self {
            Self::Nginx => {
                fs::write(&file, nginx(at, address, upstream)).unwrap();
                &["-e", "stderr", "-p", at, "-c"]
            }
            Self::Haproxy => {
                fs::write(&file, haproxy(address, upstream)).unwrap();
                &["-db", "-f"]
            }
            Self::Caddy => {
                fs::write(&file, caddy(address, upstream)).unwrap();
                &["run", "--adapter", "caddyfile", "--config"]
            }
        };
        let mut command = Command::new(file_of(self.program()).unwrap());
        command
            .args(arguments)
            .arg(&file)
            .envs(["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"].map(|name| (name, at)))
            .env("GOMAXPROCS", "2")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(place.join("said")).unwrap());
        command
    }
}

/// An address that nobody listens on.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Where a program is: servers are where a user's path does not lead.
fn file_of(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    places.map(|place| place.join(program)).find(|file| file.is_file())
}

fn nginx(at: &str, address: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        "user root;
daemon off;
pid {at}/pid;
worker_processes 2;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    client_body_temp_path {at}/body;
    proxy_temp_path {at}/proxy;
    fastcgi_temp_path {at}/fastcgi;
    uwsgi_temp_path {at}/uwsgi;
    scgi_temp_path {at}/scgi;
    keepalive_requests 1000000000;
    upstream source {{ server {upstream}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen {address} backlog=4096;
        proxy_http_version 1.1;
        proxy_set_header Connection '';
        proxy_set_header Host $http_host;
        location / {{ proxy_pass http://source; }}
        location /shared {{
            proxy_pass http://source;
            proxy_buffering off;
            proxy_read_timeout 1h;
        }}
    }}
}}
"
    )
}

fn haproxy(address: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        "global
    nbthread 2
    maxconn 9500
defaults
    mode http
    option http-no-delay
    option abortonclose
    http-reuse always
    timeout connect 5s
    timeout client 1h
    timeout server 1h
frontend clients
    bind {address} backlog 4096
    default_backend source
backend source
    server source {upstream}
"
    )
}

fn caddy(address: SocketAddr, upstream: SocketAddr) -> String {
    let port = address.port();
    format!(
        "{{
    admin off
    auto_https off
}}
http://:{port} {{
    bind 127.0.0.1
    reverse_proxy {upstream} {{
        transport http {{
            compression off
            keepalive_idle_conns_per_host 64
        }}
    }}
}}
"
    )
}
