//! Servers that are put before event servers today, from Debian's packages, each as its documentation has it for streams
//! and with two workers. One that is not installed is left out, with a word.

use std::{
    env, fs,
    net::{SocketAddr, TcpListener, TcpStream},
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{published::Manner, world::Program};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Nginx,
    Haproxy,
    Caddy,
    Nchan,
    Pushpin,
}

impl Peer {
    const ALL: [Self; 5] = [Self::Nginx, Self::Haproxy, Self::Caddy, Self::Nchan, Self::Pushpin];

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
            Self::Nchan => "nchan",
            Self::Pushpin => "Pushpin",
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::Nchan => "libnginx-mod-nchan",
            _ => self.program(),
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Nginx | Self::Nchan => "nginx",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
            Self::Pushpin => "pushpin",
        }
    }

    fn is_installed(self) -> bool {
        file_of(self.program()).is_some() && (self != Self::Nchan || Path::new(NCHAN).is_file())
    }

    /// How it gets events, unless it asks for them as a proxy does.
    pub(crate) fn is_told(self) -> Option<Manner> {
        match self {
            Self::Nginx | Self::Haproxy | Self::Caddy => None,
            Self::Nchan => Some(Manner::Data),
            Self::Pushpin => Some(Manner::Frames),
        }
    }

    /// Starts it before this server, and waits until it listens; where it does, and where it is told of events.
    pub(crate) fn start(self, upstream: SocketAddr) -> (Program, SocketAddr, SocketAddr) {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let place = env::temp_dir().join(format!("respool-bench-{}-{}", process::id(), self.name()));
        let place = place.with_extension(number.to_string());
        fs::create_dir_all(&place).unwrap();
        let address = free();
        let told = if self == Self::Pushpin { free() } else { address };
        let mut program = self.run(&place, [address, told], upstream);
        let mut program = Program::at(program.spawn().unwrap(), place);
        let start = Instant::now();
        while [address, told].iter().any(|at| TcpStream::connect(at).is_err()) {
            let is_waiting = start.elapsed() < Duration::from_secs(10) && program.is_running();
            assert!(is_waiting, "{} does not start: {}", self.name(), program.said());
            thread::sleep(Duration::from_millis(10));
        }
        if self.is_told().is_some() {
            // Until their parts know each other: what comes before that may be lost.
            thread::sleep(Duration::from_secs(1));
        }
        (program, address, told)
    }

    fn run(self, place: &Path, [address, told]: [SocketAddr; 2], upstream: SocketAddr) -> Command {
        let (file, at) = (place.join("file"), place.to_str().unwrap());
        let arguments: &[&str] = match self {
            Self::Nginx | Self::Nchan => {
                let module = self == Self::Nchan;
                let serves = if module { NCHAN_SERVES.to_owned() } else { nginx_serves(upstream) };
                fs::write(&file, nginx(at, address, module, &serves)).unwrap();
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
            Self::Pushpin => {
                fs::write(place.join("routes"), format!("* {upstream}\n")).unwrap();
                fs::write(&file, pushpin(at, address, told)).unwrap();
                &["--config"]
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

/// What a peer makes of something. One that loses events or ends streams has no figure and is named; respool's are none the
/// worse for it.
pub(crate) fn attempt<T>(peer: Peer, what: impl FnOnce() -> T) -> Option<T> {
    let made = panic::catch_unwind(AssertUnwindSafe(what)).ok();
    if made.is_none() {
        println!("no figure of {}: it did not bring each event to each client", peer.name());
    }
    made
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

fn nginx(at: &str, address: SocketAddr, has_module: bool, serves: &str) -> String {
    let module = if has_module { format!("load_module {NCHAN};\n") } else { String::new() };
    format!(
        "{module}user root;
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
    {}
}}
",
        serves.replace("LISTEN", &format!("listen {address} backlog=4096"))
    )
}

fn nginx_serves(upstream: SocketAddr) -> String {
    format!(
        "upstream source {{ server {upstream}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        LISTEN;
        proxy_http_version 1.1;
        proxy_set_header Connection '';
        proxy_set_header Host $http_host;
        location / {{ proxy_pass http://source; }}
        location /shared {{
            proxy_pass http://source;
            proxy_buffering off;
            proxy_read_timeout 1h;
        }}
    }}"
    )
}

const NCHAN: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";
const NCHAN_SERVES: &str = "nchan_shared_memory_size 1G;
    server {
        LISTEN;
        nchan_channel_id shared;
        nchan_message_buffer_length 2000;
        location /publish { nchan_publisher; }
        location /shared { nchan_subscriber eventsource; nchan_subscriber_first_message newest; }
    }";

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

fn pushpin(at: &str, address: SocketAddr, told: SocketAddr) -> String {
    let [push, sub, command] = [(); 3].map(|()| free());
    let (port, published) = (address.port(), told.port());
    format!(
        "[global]
include={{libdir}}/internal.conf
rundir={at}
ipc_prefix=bench-
port_offset=0
[runner]
services=condure,zurl,pushpin-proxy,pushpin-handler
http_port=127.0.0.1:{port}
logdir={at}
log_level=1
client_buffer_size=8192
client_maxconn=9500
[proxy]
routesfile={at}/routes
zurl_out_specs=ipc://{{rundir}}/{{ipc_prefix}}zurl-in
zurl_out_stream_specs=ipc://{{rundir}}/{{ipc_prefix}}zurl-in-stream
zurl_in_specs=ipc://{{rundir}}/{{ipc_prefix}}zurl-out
[handler]
push_in_spec=tcp://{push}
push_in_sub_specs=tcp://{sub}
push_in_http_addr=127.0.0.1
push_in_http_port={published}
command_spec=tcp://{command}
message_rate=1000000000
message_hwm=1000000000
"
    )
}
