//! `respool health`: asks one that runs whether it is ready, where nothing else is there to ask by (an image that
//! holds the program alone).

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    time::Duration,
};

use crate::{
    config::{Config, Env, Faults, Flags},
    net::{Address, AddressError},
};

/// How long it may take to accept, and between two pieces of its answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// No answer of an admin's listener to this question is longer.
const LONGEST: u64 = 8192;

/// What is asked: by the name that a loopback address has, so that whoever listens takes it for its own.
const QUESTION: &[u8] = b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub enum Nobody {
    /// What was said is no address.
    #[error("`{0}`: {1}")]
    Address(String, AddressError),
    /// The configuration that was to say it is wrong.
    #[error(transparent)]
    Config(#[from] Faults),
    /// Nothing says it.
    #[error(
        "no admin's listener is configured; give --admin ADDR, set RESPOOL_ADMIN, or name the file that has it by --config"
    )]
    Unsaid,
}

/// Where to ask: what `--admin` says, else the environment, else the file.
///
/// # Errors
///
/// When that is no address, or none is said.
pub fn admin(flag: Option<String>, config: Option<String>, env: &Env<'_>) -> Result<Address, Nobody> {
    let said = flag.or_else(|| env("RESPOOL_ADMIN")).filter(|text| !text.trim().is_empty());
    if let Some(text) = said {
        return text.trim().parse().map_err(|fault| Nobody::Address(text, fault));
    }
    // One that runs may have been told its upstream by a flag. It is not asked here, and any will do.
    let flags = Flags { config, upstream: Some("http://127.0.0.1".into()), ..Flags::default() };
    Config::load(&flags, env)?.admin.ok_or(Nobody::Unsaid)
}

/// Asks the admin's listener at this address, and says what it answered on `out`, or why there is no answer on `err`.
/// True if it is ready.
///
/// # Errors
///
/// When it cannot be said.
pub fn run(admin: &Address, out: &mut impl Write, err: &mut impl Write) -> io::Result<bool> {
    match ask(admin) {
        Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => writeln!(out, "ready").map(|()| true),
        Ok(answer) if answer.starts_with("HTTP/1.1 503 ") => {
            writeln!(out, "not ready: it drains").map(|()| false)
        }
        Ok(_) => {
            let remedy = "name the address of its --admin";
            writeln!(err, "what answers at {admin} is no admin's listener of respool; {remedy}")
                .map(|()| false)
        }
        Err(fault) => writeln!(err, "cannot ask {admin}: {fault}; is it running?").map(|()| false),
    }
}

fn ask(admin: &Address) -> io::Result<String> {
    match admin {
        Address::Tcp(address) => {
            let stream = TcpStream::connect_timeout(&near(*address), PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            exchange(stream)
        }
        Address::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            exchange(stream)
        }
        // The image's orchestrator asks within the machine, where nobody needs TLS.
        Address::Tls(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "TLS is not spoken here")),
        Address::Systemd(_) => {
            Err(io::Error::new(io::ErrorKind::Unsupported, "only systemd knows where it listens"))
        }
    }
}

/// Who listens on all addresses is asked at this machine's own.
fn near(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn exchange(mut stream: impl Read + Write) -> io::Result<String> {
    stream.write_all(QUESTION)?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
