//! The stamp: untouched bytes, and an id line where a torn frame cannot leave it behind.

use std::{fmt, io::Write as _};

use super::frame::{Field, Frame, Line};

/// Writes a frame that moves a client's place to `id` and that no page listens for: an event without data, of a type that
/// is nobody's. By the standard a lone id would do (HTML Standard 9.2.6), but some engines take none from a frame without
/// data.
pub fn carrier(id: impl fmt::Display, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "event:~\ndata\nid:{id}\n\n");
}

/// Writes a frame to `out`, id lines right before the blank line: those of the upstream, byte for byte, if they are
/// kept (`theirs`), then `id`, if there is one. A client that takes an id from a torn frame would lose the event; at the end of the
/// frame nothing of it is missing when the id is there. Lines with a NUL, which are no id (HTML Standard 9.2.6), come
/// behind all others: Firefox takes no notice of the line after one.
///
/// Ours ends as the line before it does. A frame without a blank line takes no id.
pub fn stamp(frame: &Frame<'_>, theirs: bool, id: Option<&[u8]>, out: &mut Vec<u8>) {
    let facts = &frame.facts;
    let (lines, blank) = frame.bytes.split_at(facts.blank);
    let eol = frame.part(&facts.eol);
    if facts.id_lines == 0 || theirs && is_in_order(frame) {
        out.extend_from_slice(lines);
    } else {
        write(frame, |line| !is_id(line), out);
        write(frame, |line| theirs && is_id(line) && !has_nul(line), out);
    }
    mend(blank, eol, out);
    if let (Some(id), false) = (id, blank.is_empty()) {
        out.extend_from_slice(b"id: ");
        out.extend_from_slice(id);
        out.extend_from_slice(eol);
    }
    if facts.id_lines > 0 && theirs && !is_in_order(frame) {
        write(frame, |line| is_id(line) && has_nul(line), out);
        mend(blank, eol, out);
    }
    out.extend_from_slice(blank);
}

/// A moved line that ends in CR would swallow a blank line that is an LF.
fn mend(blank: &[u8], eol: &[u8], out: &mut Vec<u8>) {
    if out.ends_with(b"\r") && blank.starts_with(b"\n") && eol != b"\r" {
        out.pop();
        out.extend_from_slice(eol);
    }
}

fn is_id(line: &Line<'_>) -> bool {
    line.field() == Field::Id
}

fn has_nul(line: &Line<'_>) -> bool {
    line.whole.contains(&0)
}

/// The id lines stand together at the end already, and each is one.
fn is_in_order(frame: &Frame<'_>) -> bool {
    let is_good = |line: Line<'_>| is_id(&line) && !has_nul(&line);
    frame.facts.id_last && frame.lines().skip_while(|line| !is_id(line)).all(is_good)
}

fn write(frame: &Frame<'_>, wanted: impl Fn(&Line<'_>) -> bool, out: &mut Vec<u8>) {
    frame.lines().filter(wanted).for_each(|line| out.extend_from_slice(line.whole));
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
                if let (Some(id), 0, true) = (id, frame.facts.id_lines, frame.is_event()) {
                    let grown = out.len() - frame.bytes().len();
                    assert_eq!(frame.id_line_len(id.as_bytes()), grown);
                }
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
    fn a_line_with_a_nul_comes_behind_all_ids_that_are_ones() {
        check("id: x\0y\ndata: a\n\n", Some("r1"), "data: a\nid: r1\nid: x\0y\n\n");
        check("id: x\0y\nid: 7\ndata: a\n\n", None, "data: a\nid: 7\nid: x\0y\n\n");
        check("data: a\nid: x\0y\nid: 7\n\n", None, "data: a\nid: 7\nid: x\0y\n\n");
        check("data: a\nid: x\0y\n\n", None, "data: a\nid: x\0y\n\n");
        check("id: x\0y\rdata: a\n\n", Some("r1"), "data: a\nid: r1\nid: x\0y\n\n");
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
