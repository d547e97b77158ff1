//! What those are given who stumble over frames without data once they hold an id.

use bytes::Bytes;

use crate::{
    sse::{self, Frame, Splitter},
    window::Passed,
};

/// A control frame as it is sent, with what of it is for those who stumble.
pub(super) fn control(bytes: Bytes) -> Passed {
    Passed { quiet: sse::quiet(&bytes), ..bytes.into() }
}

/// Whole frames, with no blank line but those that end an event.
#[must_use]
pub fn quiet(frames: &[u8]) -> Bytes {
    let mut lines = Vec::with_capacity(frames.len());
    let mut splitter = Splitter::new(usize::MAX);
    let mut write =
        |frame: Frame<'_>| lines.extend_from_slice(frame.bytes().get(frame.quiet()).unwrap_or_default());
    // They were within the limit, each, when they came. A byte order mark before them is none: the start is behind us.
    let _ = splitter.feed(b"\n", &mut write);
    let _ = splitter.feed(frames, &mut write);
    let _ = splitter.finish(&mut write);
    lines.into()
}

#[cfg(test)]
mod tests {
    use super::quiet;

    #[test]
    fn events_stay_as_they_are_and_what_is_between_them_is_lines() {
        let frames =
            b": welcome\n\nevent: hi\ndata: 1\n\nid: 7\nretry: 5\n\n\n\n: c\n\nevent: no\n\ndata: 2\nid: F\n\n";
        assert_eq!(&*quiet(frames), b": welcome\nevent: hi\ndata: 1\n\nretry: 5\n: c\ndata: 2\nid: F\n\n");
    }
}
