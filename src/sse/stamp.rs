//! The stamp: untouched bytes, and an id line where a torn frame cannot leave it behind.

use std::{fmt, io::Write as _};

use super::frame::{Field, Frame};

/// Writes a frame that moves a client's place to `id` and that no page listens for: an event without data, of a type that
/// is nobody's. By the standard a lone id would do (HTML Standard 9.2.6), but some engines take none from a frame without
/// data.
pub fn carrier(id: impl fmt::Display, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "event:~\ndata\nid:{id}\n\n");
}

/// Writes a frame to `out`, id lines right before the blank line: those of the upstream, byte for byte, if they are
/// kept (`theirs`), then `id`, if there is one. A client that takes an id from a torn frame would lose the event; at the end of the
/// frame nothing of it is missing when the id is there.
///
/// Ours ends as the line before it does. A frame without a blank line takes no id.
pub fn stamp(frame: &Frame<'_>, theirs: bool, id: Option<&[u8]>, out: &mut Vec<u8>) {
    let facts = &frame.facts;
    let (lines, blank) = frame.bytes.split_at(facts.blank);
    let eol = &frame.bytes[facts.eol.clone()];
    if facts.id_lines > 0 && !theirs {
        others(frame).for_each(|line| out.extend_from_slice(line.whole));
    } else if facts.id_lines == 0 || facts.id_last && only_the_tail_is_ids(frame) {
        out.extend_from_slice(lines);
    } else {
        move_ids_last(frame, out);
    }
    // A moved line that ends in CR would swallow a blank line that is an LF.
    if out.ends_with(b"\r") && blank.starts_with(b"\n") && eol != b"\r" {
        out.pop();
        out.extend_from_slice(eol);
    }
    if let (Some(id), false) = (id, blank.is_empty()) {
        out.extend_from_slice(b"id: ");
        out.extend_from_slice(id);
        out.extend_from_slice(eol);
    }
    out.extend_from_slice(blank);
}

fn is_id(line: &super::frame::Line<'_>) -> bool {
    line.field() == Field::Id
}

/// The id lines stand together at the end already.
fn only_the_tail_is_ids(frame: &Frame<'_>) -> bool {
    frame.lines().skip_while(|line| !is_id(line)).all(|line| is_id(&line))
}

fn others<'a>(frame: &Frame<'a>) -> impl Iterator<Item = super::frame::Line<'a>> {
    frame.lines().filter(|line| !is_id(line))
}

fn move_ids_last(frame: &Frame<'_>, out: &mut Vec<u8>) {
    others(frame).for_each(|line| out.extend_from_slice(line.whole));
    frame.lines().filter(is_id).for_each(|line| out.extend_from_slice(line.whole));
}

#[cfg(test)]
mod tests {
    use super::super::Splitter;
    use super::*;

    #[track_caller]
    fn check(frame: &str, id: Option<&str>, expected: &str) {
        let mut out = Vec::new();
        let mut splitter = Splitter::new(1024);
        splitter
            .feed(frame.as_bytes(), |frame| {
                stamp(&frame, true, id.map(str::as_bytes), &mut out);
            })
            .unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{frame:?} {id:?}");
    }

    #[test]
    fn the_upstreams_id_lines_can_be_left_out() {
        for (frame, id, expected) in [
            ("id: 7\ndata: a\n\n", Some("r1"), "data: a\nid: r1\n\n"),
            ("data: a\nid\nid: 8\r\n\r\n", Some("r1"), "data: a\nid: r1\r\n\r\n"),
            ("data: a\r\nid: 7\r\r\n", None, "data: a\r\n\r\n"),
            ("id: 7\n\n", None, "\n"),
        ] {
            let mut out = Vec::new();
            let write = |frame: Frame<'_>| stamp(&frame, false, id.map(str::as_bytes), &mut out);
            Splitter::new(99).feed(frame.as_bytes(), write).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{frame:?}");
        }
    }

    #[test]
    fn our_id_goes_right_before_the_blank_line_and_ends_as_the_line_before() {
        check("data: a\n\n", Some("r1"), "data: a\nid: r1\n\n");
        check("data: a\r\n\r\n", Some("r1"), "data: a\r\nid: r1\r\n\r\n");
        check("data: a\r\r", Some("r1"), "data: a\rid: r1\r\r");
        check("data: a\r\ndata: b\n\r\n", Some("r1"), "data: a\r\ndata: b\nid: r1\n\r\n");
        check("data: a\n\n", None, "data: a\n\n");
    }

    #[test]
    fn the_upstreams_id_lines_are_moved_to_the_end_and_kept() {
        check("id: 7\ndata: a\n\n", None, "data: a\nid: 7\n\n");
        check("data: a\nid: 7\n\n", None, "data: a\nid: 7\n\n");
        check("id:7\ndata: a\nid\nevent: x\nid:  9\n\n", None, "data: a\nevent: x\nid:7\nid\nid:  9\n\n");
        check("id: 7\r\ndata: a\r\n\r\n", None, "data: a\r\nid: 7\r\n\r\n");
        check("id: 7\n\n", None, "id: 7\n\n");
    }

    #[test]
    fn ours_counts_where_the_upstreams_is_empty() {
        check("id:\ndata: a\n\n", Some("r1"), "data: a\nid:\nid: r1\n\n");
    }

    #[test]
    fn a_moved_line_does_not_swallow_the_blank_one() {
        check("id: 7\rdata: a\n\n", None, "data: a\nid: 7\n\n");
        check("id: 7\rdata: a\n\n", Some("r1"), "data: a\nid: 7\nid: r1\n\n");
        check("id: 7\ndata: a\r\r", None, "data: a\rid: 7\n\r");
    }

    #[test]
    fn comment_lines_alone_take_no_id() {
        check(": c\n", Some("r1"), ": c\n");
    }
}
