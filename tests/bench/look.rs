//! Somebody who looks at the status.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Asks once; says how long the answer took, and what it was.
pub(crate) fn once(admin: SocketAddr) -> (Duration, String) {
    let mut socket = TcpStream::connect(admin).unwrap();
    let start = Instant::now();
    socket.write_all(b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    (start.elapsed(), answer)
}

/// Asks again and again until this is dropped.
pub(crate) struct Looking(Arc<AtomicBool>, Option<thread::JoinHandle<()>>);

pub(crate) fn all_the_time(admin: SocketAddr) -> Looking {
    let over = Arc::new(AtomicBool::new(false));
    let told = over.clone();
    let thread = thread::spawn(move || {
        while !told.load(Ordering::Relaxed) {
            once(admin);
        }
    });
    Looking(over, Some(thread))
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        let _ = self.1.take().map(thread::JoinHandle::join);
    }
}
