//! A client that takes nothing on trust: its events and their ids go on where they should, over all its connections.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::ask;
use crate::support::Multiplexed;

/// What a client has had, over all its connections. The event server's data say on which of its connections an event was
/// sent and which one it was there: `connection:number`.
#[derive(Default)]
pub(super) struct Follower {
    path: String,
    /// What it would come back with.
    id: String,
    /// The last event, and the place in its id.
    last: Option<((u64, u64), u64)>,
    /// How many events it had.
    pub(super) events: usize,
    /// How many of its answers went on where it was, and how many were gaps.
    pub(super) resumed: usize,
    pub(super) gaps: usize,
    frame: Frame,
}

/// What there is of a frame that is not whole.
#[derive(Default, PartialEq, Eq, Debug)]
struct Frame {
    data: Option<String>,
    id: Option<String>,
}

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ended {
    /// The client had so many events as it wanted, and left.
    Enough,
    /// Between two frames, without its proper end.
    Cut,
    Properly,
}

impl Follower {
    pub(super) fn of(path: &str) -> Self {
        Self { path: path.to_owned(), ..Self::default() }
    }

    /// Asks for the stream and reads until it had so many events more, or until the connection ends.
    pub(super) async fn follow(&mut self, proxy: SocketAddr, most: usize) -> Ended {
        let mut lines = BufReader::new(ask(proxy, &self.path, &self.id).await).lines();
        let enough = self.events + most;
        // No chunk splits a line, and the last one has a line of its own.
        while let Ok(Some(line)) = lines.next_line().await {
            self.take(line.trim_end());
            if line.trim_end() == "0" {
                return Ended::Properly;
            }
            if self.events >= enough {
                // Torn at any place: what is not whole is not taken.
                return self.torn(Ended::Enough);
            }
        }
        assert_eq!(self.frame, Frame::default(), "a client of {} was cut in a frame", self.path);
        Ended::Cut
    }

    /// The same by HTTP/2, on a connection that there is; the stream is reset behind so many pieces.
    pub(super) async fn follow_multiplexed(&mut self, connection: &mut Multiplexed, pieces: usize) {
        let mut stream = connection.events(&self.path, &self.id).await;
        let said = stream.headers["respool-resume"].to_str().unwrap().to_owned();
        self.answered(&said);
        let mut read = 0;
        for _ in 0..pieces {
            stream.read_one().await;
            let whole = stream.body.iter().rposition(|byte| *byte == b'\n').map_or(read, |at| at + 1);
            for line in String::from_utf8_lossy(&stream.body[read..whole]).lines() {
                self.take(line);
            }
            read = whole;
        }
        self.torn(Ended::Enough);
    }

    fn torn(&mut self, ended: Ended) -> Ended {
        self.frame = Frame::default();
        ended
    }

    fn answered(&mut self, said: &str) {
        let resumed = said.starts_with("resumed");
        self.resumed += usize::from(resumed);
        self.gaps += usize::from(said.starts_with("gap"));
        if !resumed {
            self.last = None;
        }
        self.frame = Frame::default();
    }

    fn take(&mut self, line: &str) {
        if let Some(said) = line.strip_prefix("respool-resume: ") {
            self.answered(said);
        } else if let Some(data) = line.strip_prefix("data: ") {
            self.frame.data = Some(data.to_owned());
        } else if let Some(id) = line.strip_prefix("id: ") {
            self.frame.id = Some(id.to_owned());
        } else if line.is_empty() {
            self.dispatch();
        }
    }

    fn dispatch(&mut self) {
        let Frame { data, id } = std::mem::take(&mut self.frame);
        if let Some(id) = id {
            self.id = id;
        }
        let Some(data) = data else { return };
        let (connection, number) = data.split_once(':').unwrap();
        let event = (connection.parse().unwrap(), number.parse().unwrap());
        let place = self.id.rsplit_once('-').unwrap().1.parse().unwrap();
        if let Some(((connection, number), before)) = self.last {
            let next = ((connection, number + 1), before + 1);
            assert_eq!((event, place), next, "a client of {}, after {} events", self.path, self.events);
        }
        self.last = Some((event, place));
        self.events += 1;
    }
}
