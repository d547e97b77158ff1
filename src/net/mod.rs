//! Wires: listen and dial, over TCP, TLS and unix sockets, and the one handle by which a request reaches its own
//! connection.

mod control;
pub mod descriptors;
mod dial;
mod inherited;
mod listen;
mod permission;
mod protocol;
mod refusal;
pub mod tls;

pub use control::{Client, Control, Peer, Secure, Socket};
pub(crate) use dial::is_address;
pub use dial::{BoxFuture, BoxIo, Dial, Dialer, Io, Upstream, UpstreamError};
pub use inherited::Sockets;
pub use listen::{Accept, Accepted, Address, AddressError, Listener};
pub use protocol::Protocol;
pub use refusal::Refuse;
