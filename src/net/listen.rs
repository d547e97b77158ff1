//! What we listen on.

use std::{
    fmt, fs, io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    pin::Pin,
    str::FromStr,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream},
};

use super::control::{Peer, Socket};

/// Connections that the kernel may hold for us before we accept them.
const BACKLOG: u32 = 4096;
/// A client that is silent for this long is asked whether it is still there; one that confirms nothing of what was
/// sent to it for this long is gone.
const GONE: Duration = Duration::from_secs(30);

/// What we listen on: `127.0.0.1:8080`, `[::1]:8080` or `unix:/path`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Address {
    /// TCP. Port 0 takes any free one.
    Tcp(SocketAddr),
    /// A unix socket, made when it is bound and removed when its listener is dropped.
    Unix(PathBuf),
}

/// A text that is no address to listen on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "this is no address to listen on; use an IP address with a port, such as 127.0.0.1:8080 or [::1]:8080, or unix:/path"
)]
pub struct AddressError;

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(_) => Err(AddressError),
            None => text.parse().map(Self::Tcp).map_err(|_| AddressError),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
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
    Unix(UnixListener, SocketFile),
}

impl Listener {
    /// Listens. A unix socket's file that nobody answers on any more is replaced.
    ///
    /// # Errors
    ///
    /// When the address is taken or not ours. Needs a tokio runtime with I/O.
    pub fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => tcp(*address).map(Bound::Tcp),
            Address::Unix(path) => unix(path),
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
            Bound::Unix(_, file) => Ok(Address::Unix(file.path.clone())),
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
    Ok(Bound::Unix(listener, SocketFile { path: path.to_owned(), id: (made.dev(), made.ino()) }))
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
                let (stream, peer) = listener.accept().await?;
                // A client that has already gone refuses these; that is found out when it is read from.
                let _ = tune(&stream);
                Ok((Accepted::Tcp(stream), Peer(Some(peer.ip().to_canonical()))))
            }
            Bound::Unix(listener, _) => Ok((Accepted::Unix(listener.accept().await?.0), Peer(None))),
        }
    }
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(GONE).with_interval(GONE / 3))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(GONE))?;
    Ok(())
}

/// A client's socket.
#[derive(Debug)]
pub enum Accepted {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
}

impl Socket for Accepted {
    fn reset(&self) {
        if let Self::Tcp(stream) = self {
            stream.reset();
        }
    }
}

/// Calls the same method of whichever socket it is.
macro_rules! either {
    ($self:ident . $method:ident ( $($argument:expr),* )) => {
        match $self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).$method($($argument),*),
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
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("respool-{}-{name}.sock", std::process::id()));
        let _ = fs::remove_file(&path);
        path
    }

    #[test]
    fn an_address_is_an_ip_and_a_port_or_a_path() {
        for good in ["127.0.0.1:8080", "[::1]:1", "0.0.0.0:0", "unix:/run/a.sock"] {
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
        ] {
            assert_eq!(bad.parse::<Address>(), Err(AddressError), "{bad}");
        }
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn case_12_a_client_that_vanishes_is_noticed_within_half_a_minute() {
        let mut listener = Listener::bind(&Address::Tcp(([127, 0, 0, 1], 0).into())).unwrap();
        let Address::Tcp(address) = listener.local().unwrap() else { unreachable!() };
        let _client = TcpStream::connect(address).await.unwrap();
        let Accepted::Tcp(stream) = listener.accept().await.unwrap().0 else { unreachable!() };
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
