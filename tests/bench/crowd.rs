//! Many clients at once that are no help: that read nothing, or that all come back.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
};

use socket2::{Domain, Socket, Type};

use crate::load::Load;

/// What the kernel takes of a stream for a client that does not read: as little as it can, and in packets of Ethernet; by
/// the large ones of a host to itself ours would take megabytes ahead.
const TAKEN: usize = 4096;
const PACKET: u32 = 1400;

/// So many clients of the shared stream that read their heads and nothing else, as long as they are kept.
pub(crate) fn that_reads_nothing(address: SocketAddr, clients: usize) -> Vec<TcpStream> {
    let request = b"GET /shared HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n";
    let one = |_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(TAKEN).unwrap();
        socket.set_tcp_mss(PACKET).unwrap();
        socket.connect(&address.into()).unwrap();
        let mut socket = TcpStream::from(socket);
        socket.write_all(request).unwrap();
        socket
    };
    let mut all: Vec<_> = (0..clients).map(one).collect();
    for socket in &mut all {
        assert_eq!(socket.read(&mut [0]).unwrap(), 1, "no answer");
    }
    all
}

/// So many clients that come back to the shared stream at once, to whom everything behind the event `had` is new.
pub(crate) struct Storm {
    is_over: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Storm {
    /// Begins; it is over when each has the event `last`.
    pub(crate) fn begin(
        address: SocketAddr,
        generation: String,
        clients: usize,
        (had, last): (u64, u64),
    ) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let thread = thread::spawn(move || {
            let mut load = Load::new();
            load.connect(address, "/shared", clients, had, Some(&generation));
            load.read_past(last);
            over.store(true, SeqCst);
        });
        Self { is_over, thread }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(SeqCst) || self.thread.is_finished()
    }

    /// Whether all had everything, once, in order.
    pub(crate) fn end(self) {
        self.thread.join().expect("each has each event once");
    }
}
