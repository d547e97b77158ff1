//! The floor: the simplest possible broadcaster, a program of its own. Nothing that gives each client each event in
//! a write of its own can be cheaper. It reads no requests, keeps no windows, and hands on what it reads as it is.

use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use crate::source::{HEAD, until_blank_line};

/// Serves so many clients what the upstream says, and tells on standard output where.
pub(crate) fn run(upstream: &str, clients: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("{}", listener.local_addr().unwrap());
    let mut clients: Vec<Client> = (0..clients).map(|_| Client::greet(&listener)).collect();
    let mut upstream = TcpStream::connect(upstream).unwrap();
    upstream.write_all(b"GET /shared HTTP/1.1\r\nHost: floor\r\n\r\n").unwrap();
    until_blank_line(&mut upstream);
    let mut log = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match upstream.read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => log.extend_from_slice(&buffer[..read]),
            Err(fault) if fault.kind() == ErrorKind::WouldBlock => {}
            Err(fault) => panic!("{fault}"),
        }
        // Every client, whether or not it has something coming.
        if clients.iter_mut().fold(true, |all, client| client.write(&log) & all) {
            log.clear();
            clients.iter_mut().for_each(|client| client.at = 0);
            upstream.set_read_timeout(None).unwrap();
        } else {
            upstream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        }
    }
}

struct Client {
    socket: TcpStream,
    /// What it has of the log.
    at: usize,
}

impl Client {
    fn greet(listener: &TcpListener) -> Self {
        let (mut socket, _) = listener.accept().unwrap();
        until_blank_line(&mut socket);
        socket.write_all(HEAD).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, at: 0 }
    }

    /// Whether it has everything.
    fn write(&mut self, log: &[u8]) -> bool {
        match self.socket.write(&log[self.at..]) {
            Ok(written) => self.at += written,
            Err(fault) if fault.kind() == ErrorKind::WouldBlock => {}
            Err(fault) => panic!("{fault}"),
        }
        self.at == log.len()
    }
}
