//! What we listen on.

use std::{
    fmt, fs, io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    pin::Pin,
    str::FromStr,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream},
};

use super::{
    control::{GONE, Peer, Socket, set_patient},
    inherited::{Inherited, Sockets},
    tls::{Certificates, Front},
};

/// Connections that the kernel may hold for us before we accept them.
const BACKLOG: u32 = 4096;

/// What we listen on: `127.0.0.1:8080`, `[::1]:8080`, `https://0.0.0.0:8443`, `unix:/path`, `systemd` or
/// `systemd:name`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Address {
    /// TCP. Port 0 takes any free one.
    Tcp(SocketAddr),
    /// TCP, on which TLS is spoken.
    Tls(SocketAddr),
    /// A unix socket, made when it is bound and removed when its listener is dropped.
    Unix(PathBuf),
    /// What the service manager listens on for us, all of it or what has this name.
    Systemd(Option<String>),
}

impl Address {
    /// Whether clients have to speak TLS there.
    #[must_use]
    pub fn speaks_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

/// A text that is no address to listen on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "this is no address to listen on; use an IP address with a port, such as 127.0.0.1:8080 or [::1]:8080, https:// before it for TLS, or unix:/path, or systemd"
)]
pub struct AddressError;

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(name) = text.strip_prefix("systemd") {
            return match name.strip_prefix(':') {
                Some(name) if !name.is_empty() => Ok(Self::Systemd(Some(name.to_owned()))),
                None if name.is_empty() => Ok(Self::Systemd(None)),
                _ => Err(AddressError),
            };
        }
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(_) => Err(AddressError),
            None => match text.strip_prefix("https://") {
                Some(address) => address.trim_end_matches('/').parse().map(Self::Tls),
                None => text.parse().map(Self::Tcp),
            }
            .map_err(|_| AddressError),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Tls(address) => write!(f, "https://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd(None) => f.write_str("systemd"),
            Self::Systemd(Some(name)) => write!(f, "systemd:{name}"),
        }
    }
}

/// Where clients come from; a trait, so that a test can hand in pipes.
pub trait Accept: Send + 'static {
    /// What a client is connected by.
    type Socket: Socket;

    /// The next client. Cancel-safe. An error is this attempt's; a later one may succeed.
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Socket, Peer)>> + Send;
}

/// A bound socket. Dropping it closes it, and removes a unix socket's file.
#[derive(Debug)]
pub struct Listener(Bound);

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Tls(TcpListener, Certificates),
    /// With its file, if that is ours.
    Unix(UnixListener, Option<SocketFile>),
}

impl Listener {
    /// Listens where no TLS is spoken. A unix socket's file that nobody answers on any more is replaced.
    ///
    /// # Errors
    ///
    /// When the address is taken or not ours. Needs a tokio runtime with I/O.
    pub fn bind(address: &Address) -> io::Result<Self> {
        Self::bind_with(address, None)
    }

    /// Listens; where TLS is spoken, with these certificates.
    ///
    /// # Errors
    ///
    /// As those of [`bind`](Self::bind), and when certificates are needed and not there.
    pub fn bind_with(address: &Address, certificates: Option<&Certificates>) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => tcp(*address).map(Bound::Tcp),
            Address::Tls(address) => match certificates {
                Some(certificates) => tcp(*address).map(|bound| Bound::Tls(bound, certificates.clone())),
                None => Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no certificate")),
            },
            Address::Unix(path) => unix(path),
            Address::Systemd(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "it is bound already")),
        }
        .map(Self)
    }

    /// Takes over what the service manager listens on, all of it or what has this name; at least one.
    ///
    /// # Errors
    ///
    /// When there is none. Needs a tokio runtime with I/O.
    pub fn inherit(sockets: &mut Sockets, name: Option<&str>) -> io::Result<Vec<Self>> {
        let taken = sockets.take(name);
        if taken.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "no such socket was handed to us"));
        }
        taken.into_iter().map(Self::take_over).collect()
    }

    fn take_over(socket: Inherited) -> io::Result<Self> {
        match socket {
            Inherited::Tcp(listener) => {
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener).map(Bound::Tcp)
            }
            Inherited::Unix(listener) => {
                listener.set_nonblocking(true)?;
                UnixListener::from_std(listener).map(|listener| Bound::Unix(listener, None))
            }
        }
        .map(Self)
    }

    /// Where it listens, with the port that it got.
    ///
    /// # Errors
    ///
    /// When the kernel does not tell.
    pub fn local(&self) -> io::Result<Address> {
        match &self.0 {
            Bound::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Bound::Tls(listener, _) => listener.local_addr().map(Address::Tls),
            Bound::Unix(_, Some(file)) => Ok(Address::Unix(file.path.clone())),
            Bound::Unix(listener, None) => {
                Ok(Address::Unix(listener.local_addr()?.as_pathname().unwrap_or(Path::new("")).to_owned()))
            }
        }
    }
}

fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart must not wait for the old connections' last packets.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn unix(path: &Path) -> io::Result<Bound> {
    let listener = match UnixListener::bind(path) {
        Err(fault) if fault.kind() == io::ErrorKind::AddrInUse && is_stale(path) => {
            fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        bound => bound?,
    };
    let made = fs::metadata(path)?;
    let file = SocketFile { path: path.to_owned(), id: (made.dev(), made.ino()) };
    Ok(Bound::Unix(listener, Some(file)))
}

/// Whether a socket's file is what a dead process left behind.
fn is_stale(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let answer = std::os::unix::net::UnixStream::connect(path);
    is_socket && answer.is_err_and(|fault| fault.kind() == io::ErrorKind::ConnectionRefused)
}

/// The file of a bound unix socket, removed on drop unless a successor has put its own in its place.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    id: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.id) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Accept for Listener {
    type Socket = Accepted;

    async fn accept(&mut self) -> io::Result<(Accepted, Peer)> {
        match &self.0 {
            Bound::Tcp(listener) => {
                let (stream, peer) = accept(listener).await?;
                Ok((Accepted::Tcp(stream), peer))
            }
            Bound::Tls(listener, certificates) => {
                let (stream, peer) = accept(listener).await?;
                Ok((Accepted::Tls(Box::new(Front::new(stream, certificates.acceptor()))), peer))
            }
            Bound::Unix(listener, _) => Ok((Accepted::Unix(listener.accept().await?.0), Peer(None))),
        }
    }
}

async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, Peer)> {
    let (stream, peer) = listener.accept().await?;
    // A client that has already gone refuses these; that is found out when it is read from.
    let _ = tune(&stream);
    Ok((stream, Peer(Some(peer.ip().to_canonical()))))
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    // One that is silent for so long is asked whether it is still there.
    socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(GONE).with_interval(GONE / 3))?;
    set_patient(stream, false);
    Ok(())
}

/// A client's socket.
#[derive(Debug)]
pub enum Accepted {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over TLS.
    Tls(Box<Front>),
    /// Over a unix socket.
    Unix(UnixStream),
}

impl Socket for Accepted {
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tls(front) => front.poll_open(cx),
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
        }
    }

    fn is_secure(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    fn reset(&self) {
        match self {
            Self::Tcp(stream) => stream.reset(),
            Self::Tls(front) => front.reset(),
            Self::Unix(_) => {}
        }
    }

    fn set_patient(&self, patient: bool) {
        match self {
            Self::Tcp(stream) => stream.set_patient(patient),
            Self::Tls(front) => front.set_patient(patient),
            Self::Unix(_) => {}
        }
    }
}

/// Calls the same method of whichever socket it is.
macro_rules! either {
    ($self:ident . $method:ident ( $($argument:expr),* )) => {
        match $self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).$method($($argument),*),
            Self::Tls(stream) => Pin::new(stream.as_mut()).$method($($argument),*),
            Self::Unix(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

impl AsyncRead for Accepted {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self.poll_read(cx, buf))
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self.poll_write(cx, buf))
    }
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self.poll_write_vectored(cx, bufs))
    }
    fn is_write_vectored(&self) -> bool {
        true
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.poll_flush(cx))
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("respool-{}-{name}.sock", std::process::id()));
        let _ = fs::remove_file(&path);
        path
    }

    #[test]
    fn an_address_is_an_ip_and_a_port_or_a_path() {
        for good in [
            "127.0.0.1:8080",
            "[::1]:1",
            "0.0.0.0:0",
            "unix:/run/a.sock",
            "https://0.0.0.0:8443",
            "systemd",
            "systemd:web",
        ] {
            assert_eq!(good.parse::<Address>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "8080",
            ":8080",
            "localhost:8080",
            "127.0.0.1",
            "::1:80",
            "unix:a.sock",
            "http://127.0.0.1:1",
            "https://localhost:1",
            "systemd:",
            "systemdd",
        ] {
            assert_eq!(bad.parse::<Address>(), Err(AddressError), "{bad}");
        }
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn case_12_a_client_that_vanishes_is_noticed_within_half_a_minute() {
        let mut listener = Listener::bind(&Address::Tcp(([127, 0, 0, 1], 0).into())).unwrap();
        let Address::Tcp(address) = listener.local().unwrap() else { panic!("no TCP") };
        let _client = TcpStream::connect(address).await.unwrap();
        let Accepted::Tcp(stream) = listener.accept().await.unwrap().0 else { panic!("no TCP") };
        let socket = socket2::SockRef::from(&stream);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(30)));
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(30));
    }

    #[tokio::test]
    async fn a_socket_that_a_dead_process_left_behind_is_replaced() {
        let path = scratch("stale");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let listener = Listener::bind(&Address::Unix(path.clone())).unwrap();
        UnixStream::connect(&path).await.unwrap();
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_that_answers_is_left_alone() {
        let path = scratch("live");
        let address = Address::Unix(path.clone());
        let _first = Listener::bind(&address).unwrap();
        assert_eq!(Listener::bind(&address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        UnixStream::connect(&path).await.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let path = scratch("file");
        fs::write(&path, "precious").unwrap();
        assert!(Listener::bind(&Address::Unix(path.clone())).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn a_listener_does_not_remove_its_successors_socket() {
        let path = scratch("successor");
        let first = Listener::bind(&Address::Unix(path.clone())).unwrap();
        fs::rename(&path, path.with_extension("old")).unwrap();
        let _second = Listener::bind(&Address::Unix(path.clone())).unwrap();
        drop(first);
        UnixStream::connect(&path).await.unwrap();
        fs::remove_file(path.with_extension("old")).unwrap();
    }
}
