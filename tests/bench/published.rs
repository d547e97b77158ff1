//! How events get to servers that are told of each: what is said to them by HTTP, and the server that a request for a stream is
//! passed to.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

use crate::source;

/// Somebody who is told of events.
pub(crate) struct Publisher {
    to: SocketAddr,
    manner: Manner,
    connection: Option<TcpStream>,
}

#[derive(Clone, Copy)]
pub(crate) enum Manner {
    /// A request for each, with what its data says.
    Data,
    /// One request for all of them, with the bytes of each as its clients get them.
    Frames,
}

impl Publisher {
    pub(crate) fn new(to: SocketAddr, manner: Manner) -> Self {
        Self { to, manner, connection: None }
    }

    /// Tells of these, by what their data says.
    pub(crate) fn publish(&mut self, events: &[String]) {
        match self.manner {
            Manner::Data => self.each(events),
            Manner::Frames => self.all(events),
        }
    }

    fn each(&mut self, events: &[String]) {
        let connection = self.connection.get_or_insert_with(|| TcpStream::connect(self.to).unwrap());
        connection.set_nodelay(true).unwrap();
        // No more at a time than both sides have room for.
        for events in events.chunks(50) {
            let requests: Vec<u8> = events.iter().flat_map(|event| post("/publish", event)).collect();
            connection.write_all(&requests).unwrap();
            for _ in events {
                let head = source::until_blank_line(connection);
                assert!(head.starts_with("HTTP/1.1 20"), "not published: {head}");
                let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
                let mut body = vec![0; length.unwrap().trim().parse().unwrap()];
                connection.read_exact(&mut body).unwrap();
            }
        }
    }

    fn all(&mut self, events: &[String]) {
        let item = |event: &String| {
            let frame = format!("data: {event}\n\n").replace('"', "\\\"").replace('\n', "\\n");
            format!(r#"{{"channel":"shared","formats":{{"http-stream":{{"content":"{frame}"}}}}}}"#)
        };
        let items: Vec<String> = events.iter().map(item).collect();
        let mut connection = TcpStream::connect(self.to).unwrap();
        connection.write_all(&post("/publish/", &format!(r#"{{"items":[{}]}}"#, items.join(",")))).unwrap();
        let head = source::until_blank_line(&mut connection);
        assert!(head.contains(" 200 "), "not published: {head}");
    }
}

fn post(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// A server that lets everybody have the events of one channel, and says where it listens.
pub(crate) fn that_holds() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            source::until_blank_line(&mut connection);
            let head = "Content-Type: text/event-stream\r\nGrip-Hold: stream\r\nGrip-Channel: shared";
            let answer =
                format!("HTTP/1.1 200 OK\r\n{head}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
            let _ = connection.write_all(answer.as_bytes());
        }
    });
    address
}
