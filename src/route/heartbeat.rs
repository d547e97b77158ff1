//! What is sent when nothing was for a while, so that nothing on the way closes an idle connection.

use std::time::Duration;

use bytes::Bytes;

/// What a heartbeat looks like. No shape suits every client.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum Shape {
    /// A comment line without a blank line: nothing to any client that reads lines.
    #[default]
    Comment,
    /// A comment with a blank line, for clients that wait for one.
    CommentFrame,
    /// An event of this type with empty data and no id, for clients that watch for it.
    Event(String),
}

/// When a heartbeat is sent, and what it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heartbeat {
    /// After how long without anything.
    pub every: Duration,
    frame: Bytes,
    quiet: Bytes,
}

impl Heartbeat {
    /// A heartbeat of this shape, filled up to `pad` bytes by a comment: some middleboxes hold small writes.
    #[must_use]
    pub fn new(every: Duration, shape: &Shape, pad: usize) -> Self {
        let rest = match shape {
            Shape::Comment => String::new(),
            Shape::CommentFrame => "\n".to_owned(),
            Shape::Event(kind) => format!("event: {kind}\ndata: \n\n"),
        };
        let room = pad.saturating_sub(rest.len());
        let comment = match shape {
            Shape::Event(_) if room == 0 => String::new(),
            _ => format!(":{}\n", " ".repeat(room.saturating_sub(2))),
        };
        let frame = Bytes::from(comment.clone() + &rest);
        let quiet = match shape {
            Shape::CommentFrame => frame.slice(..comment.len()),
            Shape::Comment | Shape::Event(_) => frame.clone(),
        };
        Self { every, frame, quiet }
    }

    /// The heartbeat as it is sent; to a client that stumbles over frames without data, no such frame.
    #[must_use]
    pub fn frame(&self, stumbles: bool) -> Bytes {
        if stumbles { self.quiet.clone() } else { self.frame.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(shape: &Shape, pad: usize, frame: &str, quiet: &str) {
        let heartbeat = Heartbeat::new(Duration::ZERO, shape, pad);
        assert_eq!(
            (&heartbeat.frame(false)[..], &heartbeat.frame(true)[..]),
            (frame.as_bytes(), quiet.as_bytes())
        );
    }

    #[test]
    fn a_shape_is_what_it_says_and_as_large() {
        let event = Shape::Event("beat".into());
        check(&Shape::Comment, 0, ":\n", ":\n");
        check(&Shape::Comment, 5, ":   \n", ":   \n");
        check(&Shape::CommentFrame, 1, ":\n\n", ":\n");
        check(&Shape::CommentFrame, 5, ":  \n\n", ":  \n");
        check(&event, 20, "event: beat\ndata: \n\n", "event: beat\ndata: \n\n");
        check(&event, 24, ":  \nevent: beat\ndata: \n\n", ":  \nevent: beat\ndata: \n\n");
    }
}
