//! One that was just started and has nothing to do, with all else as it comes.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use crate::world::Program;

/// What is set: that it listens where nobody else does. Nobody asks for anything upstream.
const CONFIG: &str = "listen = '127.0.0.1:0'\nadmin = '127.0.0.1:0'\nupstream = 'http://127.0.0.1:9'\n";

/// How long it takes from its start until it says that it is ready, and the memory that it has then.
pub(crate) fn start() -> (Duration, f64) {
    let start = Instant::now();
    let (program, [_, admin]) = Program::respool(CONFIG, "info");
    assert!(is_ready(admin), "it listens and is not ready");
    let took = start.elapsed();
    (took, program.memory())
}

/// The size of its file, in bytes.
pub(crate) fn size() -> f64 {
    fs::metadata(env!("CARGO_BIN_EXE_respool")).unwrap().len() as f64
}

fn is_ready(admin: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(admin).unwrap();
    write!(stream, "GET /ready HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.starts_with("HTTP/1.1 200 ")
}
