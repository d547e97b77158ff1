//! Wires: listen and dial, over TCP and unix sockets, and the one handle by which a request reaches its own
//! connection.

mod control;
mod dial;
mod listen;
mod protocol;
mod refusal;

pub use control::{Client, Control, Peer, Socket};
pub(crate) use dial::is_address;
pub use dial::{BoxFuture, BoxIo, Dial, Io, Upstream, UpstreamError};
pub use listen::{Accept, Accepted, Address, AddressError, Listener};
pub use protocol::Protocol;
pub use refusal::Refuse;
