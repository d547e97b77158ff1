//! The network that can be cut: relays between real sockets.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};

use crate::net::Socket as _;

/// How long nobody gets through after a cut.
pub(super) const OUTAGE: Duration = Duration::from_millis(1200);
/// How long nothing is accepted after accepting failed.
const PAUSE: Duration = Duration::from_millis(100);

/// All relays together. Clones are the same network.
#[derive(Clone, Debug)]
pub(super) struct Network(Arc<watch::Sender<State>>);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct State {
    phase: Phase,
    cuts: u64,
}

/// Up => Down => Up, and either => its sealed twin, in which no cut begins any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Up,
    Down { sealed: bool },
    Sealed,
}

impl Network {
    /// A network without relays, that carries.
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(State { phase: Phase::Up, cuts: 0 })))
    }

    /// Relays connections from a free port at `ip` to `to`; says where.
    pub(super) async fn relay(&self, ip: IpAddr, to: SocketAddr) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind((ip, 0)).await?;
        let address = listener.local_addr()?;
        tokio::spawn(self.clone().accept(listener, to));
        Ok(address)
    }

    /// Aborts every relayed connection, and refuses new ones for [`OUTAGE`]. False if it is cut already or sealed;
    /// nothing happens then. Needs a runtime.
    pub(super) fn cut(&self) -> bool {
        let begun = self.0.send_if_modified(|state| {
            let can = state.phase == Phase::Up;
            if can {
                *state = State { phase: Phase::Down { sealed: false }, cuts: state.cuts + 1 };
            }
            can
        });
        if begun {
            let network = self.clone();
            tokio::spawn(async move {
                sleep(OUTAGE).await;
                network.0.send_modify(|state| state.phase = state.phase.mended());
            });
        }
        begun
    }

    /// From now on it is not cut any more; a cut that has begun takes its time.
    pub(super) fn seal(&self) {
        self.0.send_modify(|state| state.phase = state.phase.sealed());
    }

    /// How often it was cut.
    pub(super) fn cuts(&self) -> u64 {
        self.0.borrow().cuts
    }

    /// It was cut, and nobody gets through yet.
    pub(super) fn is_down(&self) -> bool {
        matches!(self.0.borrow().phase, Phase::Down { .. })
    }

    /// Nobody cuts it any more.
    pub(super) fn is_sealed(&self) -> bool {
        matches!(self.0.borrow().phase, Phase::Sealed | Phase::Down { sealed: true })
    }

    async fn accept(self, listener: TcpListener, to: SocketAddr) {
        loop {
            match listener.accept().await {
                Ok((client, _)) => {
                    tokio::spawn(self.clone().carry(client, to));
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    async fn carry(self, mut client: TcpStream, to: SocketAddr) {
        let mut state = self.0.subscribe();
        let State { phase, cuts } = *state.borrow_and_update();
        if matches!(phase, Phase::Down { .. }) {
            return client.reset();
        }
        // Cuts are counted, not the phase looked at: a cut may begin and end before this task runs.
        let cut = state.wait_for(|now| now.cuts != cuts);
        let carried = async {
            let mut server = TcpStream::connect(to).await?;
            client.set_nodelay(true)?;
            server.set_nodelay(true)?;
            tokio::select! {
                // An error of one side becomes a reset of both, as without a relay.
                done = copy_bidirectional(&mut client, &mut server) => done.map(drop).inspect_err(|_| server.reset()),
                _ = cut => {
                    server.reset();
                    Err(io::ErrorKind::ConnectionReset.into())
                }
            }
        };
        if carried.await.is_err() {
            client.reset();
        }
    }
}

impl Phase {
    fn mended(self) -> Self {
        match self {
            Self::Up | Self::Down { sealed: false } => Self::Up,
            Self::Sealed | Self::Down { sealed: true } => Self::Sealed,
        }
    }

    fn sealed(self) -> Self {
        match self {
            Self::Up | Self::Sealed => Self::Sealed,
            Self::Down { .. } => Self::Down { sealed: true },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// An echo behind a relay.
    async fn world() -> (Network, SocketAddr) {
        let network = Network::new();
        let echo = TcpListener::bind((HERE, 0)).await.unwrap();
        let to = echo.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = echo.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = socket.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        let address = network.relay(HERE, to).await.unwrap();
        (network, address)
    }

    async fn echoed(socket: &mut TcpStream) -> io::Result<u8> {
        socket.write_u8(7).await?;
        socket.read_u8().await
    }

    #[tokio::test]
    async fn a_cut_aborts_what_is_open_and_refuses_what_is_new_until_it_is_over() {
        let (network, address) = world().await;
        let mut open = TcpStream::connect(address).await.unwrap();
        assert_eq!(echoed(&mut open).await.unwrap(), 7);
        assert!(network.cut() && network.is_down());
        assert!(!network.cut());
        assert_eq!(open.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        let refused = match TcpStream::connect(address).await {
            Ok(mut socket) => echoed(&mut socket).await.is_err(),
            Err(_) => true,
        };
        assert!(refused);
        network.0.subscribe().wait_for(|state| state.phase == Phase::Up).await.unwrap();
        let mut again = TcpStream::connect(address).await.unwrap();
        assert_eq!(echoed(&mut again).await.unwrap(), 7);
        assert_eq!(network.cuts(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sealed_network_is_mended_and_not_cut_again() {
        let network = Network::new();
        assert!(network.cut());
        network.seal();
        assert!(network.is_down());
        sleep(OUTAGE * 2).await;
        assert!(!network.is_down());
        assert!(!network.cut());
    }
}
