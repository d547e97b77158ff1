//! What was seen of one connection, with the time of everything in it. Pure: bytes and times go in.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, header, response};

use crate::{
    head::{self, LAST_EVENT_ID},
    rules::Pointer,
    sse::{Frame, Splitter},
};

/// The largest event that is read.
const EVENT: usize = 8 * 1024 * 1024;
/// The part of a body that is no stream's which is kept to be shown.
const EXCERPT: usize = 200;
/// What is kept of the data of one connection's events, where it is kept at all.
const KEPT: usize = 16 * 1024 * 1024;
/// Half a frame that stands for less than this is a matter of packets.
const HALF: Duration = Duration::from_millis(500);

/// One connection, from the request to its end. Times are since the run began.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    /// When the request was sent.
    pub(super) asked: Duration,
    /// The id that it came with.
    pub(super) cursor: Option<Bytes>,
    /// The answer's head, if there was one.
    pub(super) head: Option<Head>,
    /// The first byte of its body.
    pub(super) first: Option<Duration>,
    /// The last byte of it, or the head, or the request.
    pub(super) last: Duration,
    /// The longest time in which nothing came and after which more did.
    pub(super) silence: Duration,
    /// How long half a frame stood until more came, each time that it was long.
    pub(super) halves: Vec<Duration>,
    /// What it dispatched.
    pub(super) events: Vec<Event>,
    /// The id that a client would come back with.
    pub(super) place: Option<Bytes>,
    /// The first bytes of a body that is no stream.
    pub(super) excerpt: Vec<u8>,
    /// How it ended.
    pub(super) end: End,
    /// And when.
    pub(super) ended: Duration,
}

/// How a connection ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// We left: what we wanted to see was seen.
    Left,
    /// We cut it.
    Cut,
    /// The other side ended it properly.
    Over,
    /// It was lost.
    Lost(String),
    /// Nobody answered.
    Unreachable(String),
    /// Whoever did has a certificate that is not trusted.
    Untrusted(String),
}

/// What matters of an answer's head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) at: Duration,
    pub(super) status: u16,
    /// Its bytes are an event stream that can be read.
    pub(super) is_stream: bool,
    /// `Content-Type`.
    pub(super) kind: Option<String>,
    /// `Content-Encoding`, if it is one.
    pub(super) coding: Option<String>,
    /// `Respool-Resume`.
    pub(super) resume: Option<String>,
    /// `Location`.
    pub(super) location: Option<String>,
    /// It has a `Content-Length`: it is no stream, whatever it says.
    pub(super) is_sized: bool,
}

/// An event as a client dispatched it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Event {
    pub(super) at: Duration,
    /// The value of its `event` field; empty where there is none.
    pub(super) field: String,
    /// Its type: that field, else where many servers say it in the data, else `message`.
    pub(super) kind: String,
    /// Equal for equal fields and data.
    pub(super) print: u64,
    /// The id that came with it or right behind it.
    pub(super) id: Option<Bytes>,
    /// The data, where it is kept.
    pub(super) data: Option<Bytes>,
}

impl Visit {
    /// A request with this cursor, before any answer.
    pub(super) fn new(asked: Duration, cursor: Option<Bytes>) -> Self {
        Self {
            asked,
            place: cursor.clone(),
            cursor,
            head: None,
            first: None,
            last: asked,
            silence: Duration::ZERO,
            halves: Vec::new(),
            events: Vec::new(),
            excerpt: Vec::new(),
            end: End::Left,
            ended: asked,
        }
    }

    /// An event stream came.
    pub(super) fn is_stream(&self) -> bool {
        self.head.as_ref().is_some_and(|head| head.is_stream)
    }

    /// It was answered, and with something else.
    pub(super) fn is_refused(&self) -> bool {
        self.head.as_ref().is_some_and(|head| !head.is_stream)
    }

    /// What the answer says of the cursor.
    pub(super) fn resume(&self) -> Option<&str> {
        self.head.as_ref()?.resume.as_deref()
    }

    /// The other side ended it, or the way did: after how long a silence, and after how long in all.
    pub(super) fn ended_idle(&self) -> Option<(Duration, Duration)> {
        let theirs = matches!(self.end, End::Over | End::Lost(_)) && self.is_stream();
        theirs.then(|| (self.ended.saturating_sub(self.last), self.ended.saturating_sub(self.asked)))
    }
}

impl Head {
    pub(super) fn of(at: Duration, parts: &response::Parts) -> Self {
        let text = |name: HeaderName| {
            let value = parts.headers.get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let coding = text(header::CONTENT_ENCODING);
        Self {
            at,
            status: parts.status.as_u16(),
            is_stream: head::is_stream(parts),
            kind: text(header::CONTENT_TYPE),
            coding: coding.filter(|name| !["identity", "none"].contains(&name.to_lowercase().trim())),
            resume: text(HeaderName::from_static("respool-resume")),
            location: text(header::LOCATION),
            is_sized: parts.headers.contains_key(header::CONTENT_LENGTH),
        }
    }

    /// An event stream, were it not compressed.
    pub(super) fn is_compressed_stream(&self) -> bool {
        let essence = self.kind.as_deref().unwrap_or_default().split(';').next().unwrap_or_default();
        self.status == 200
            && self.coding.is_some()
            && essence.trim().eq_ignore_ascii_case("text/event-stream")
    }
}

/// Reads one connection, and notes what it sees.
#[derive(Debug)]
pub(super) struct Recorder {
    visit: Visit,
    splitter: Splitter,
    /// Since when half a frame stands.
    half: Option<Duration>,
    /// The last frame was an event, so that a lone id right behind it is its own.
    behind_event: bool,
    /// How many bytes of data may still be kept.
    room: usize,
}

impl Recorder {
    /// Of a request that is sent now. `keep`: the data of events is wanted afterwards.
    pub(super) fn new(asked: Duration, cursor: Option<Bytes>, keep: bool) -> Self {
        let room = if keep { KEPT } else { 0 };
        let visit = Visit::new(asked, cursor);
        Self { visit, splitter: Splitter::new(EVENT), half: None, behind_event: false, room }
    }

    /// The head has come.
    pub(super) fn head(&mut self, at: Duration, parts: &response::Parts) {
        self.visit.head = Some(Head::of(at, parts));
        self.visit.last = at;
    }

    /// Bytes of the body have come. False if no more can be made of them.
    pub(super) fn piece(&mut self, at: Duration, bytes: &[u8]) -> bool {
        if bytes.is_empty() {
            return true;
        }
        self.note_time(at);
        if !self.visit.is_stream() {
            let room = EXCERPT - self.visit.excerpt.len();
            self.visit.excerpt.extend(bytes.iter().take(room));
            return self.visit.excerpt.len() < EXCERPT;
        }
        let Self { visit, splitter, behind_event, room, .. } = self;
        let whole = splitter.feed(bytes, |frame| take(visit, &frame, at, behind_event, room)).is_ok();
        self.half = (self.splitter.held() > 0).then_some(at);
        whole
    }

    fn note_time(&mut self, at: Duration) {
        let visit = &mut self.visit;
        if visit.first.is_some() {
            visit.silence = visit.silence.max(at.saturating_sub(visit.last));
        }
        visit.first.get_or_insert(at);
        visit.last = at;
        let stood = self.half.map(|since| at.saturating_sub(since));
        visit.halves.extend(stood.filter(|stood| *stood >= HALF));
    }

    /// A client that is cut now comes back to where it was, or there is no such place on this stream.
    pub(super) fn can_be_cut(&self) -> bool {
        self.visit.place.is_some() || self.visit.events.len() >= 3
    }

    /// What has come so far.
    pub(super) fn visit(&self) -> &Visit {
        &self.visit
    }

    /// It is over.
    pub(super) fn end(self, at: Duration, end: End) -> Visit {
        Visit { end, ended: at, ..self.visit }
    }
}

/// What a frame means to an `EventSource`.
fn take(visit: &mut Visit, frame: &Frame<'_>, at: Duration, behind_event: &mut bool, room: &mut usize) {
    let id = frame.id().map(Bytes::copy_from_slice);
    if let Some(id) = &id {
        visit.place = Some(id.clone()).filter(|id| !id.is_empty());
    }
    let id = id.filter(|id| !id.is_empty());
    // An id that is hidden from pages comes in a frame of its own, which some engines need a type and data in.
    let is_carrier = frame.event() == Some(b"~") && frame.data().is_empty();
    if frame.is_event() && !is_carrier {
        let data = frame.data();
        let kept = Some(&*data).filter(|data| data.len() <= *room && *room > 0);
        *room -= kept.map_or(0, |data| data.len());
        let kept = kept.map(Bytes::copy_from_slice);
        visit.events.push(Event { id, data: kept, ..event(at, frame.event().unwrap_or_default(), &data) });
        *behind_event = true;
    } else if id.is_some() || is_carrier {
        let behind = visit.events.last_mut().filter(|_| *behind_event);
        if let Some(event) = behind.filter(|event| is_carrier || event.id.is_none()) {
            event.id = id;
        }
        *behind_event = false;
    }
}

/// An event of this field and data, without an id.
pub(super) fn event(at: Duration, field: &[u8], data: &[u8]) -> Event {
    let mut hasher = DefaultHasher::new();
    (field, data).hash(&mut hasher);
    let field = String::from_utf8_lossy(field).into_owned();
    let kind =
        if field.is_empty() { said(data).unwrap_or_else(|| "message".to_owned()) } else { field.clone() };
    Event { at, field, kind, print: hasher.finish(), id: None, data: None }
}

/// The type that the data says, where many servers do.
fn said(data: &[u8]) -> Option<String> {
    if data.first() != Some(&b'{') {
        return None;
    }
    ["/type", "/payload/type", "/event"].iter().find_map(|at| at.parse::<Pointer>().ok()?.find(data))
}

/// The name of the header that a client comes back with, for whoever tells of it.
pub(super) const CURSOR: HeaderName = LAST_EVENT_ID;

#[cfg(test)]
pub(super) mod tests {
    use http::Response;

    use super::*;

    pub(in super::super) fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A stream's head.
    pub(in super::super) fn head(resume: &str) -> response::Parts {
        let mut head = Response::builder().header("content-type", "text/event-stream");
        if !resume.is_empty() {
            head = head.header("respool-resume", resume);
        }
        head.body(()).unwrap().into_parts().0
    }

    /// A connection that was asked for at `from`, with its head a millisecond later, and these pieces.
    pub(in super::super) fn visit(
        from: u64,
        cursor: &str,
        resume: &str,
        pieces: &[(u64, &str)],
        end: End,
    ) -> Visit {
        let cursor = Some(Bytes::copy_from_slice(cursor.as_bytes())).filter(|id| !id.is_empty());
        let mut recorder = Recorder::new(ms(from), cursor, true);
        recorder.head(ms(from + 1), &head(resume));
        assert!(pieces.iter().all(|(at, bytes)| recorder.piece(ms(*at), bytes.as_bytes())));
        let last = recorder.visit().last;
        recorder.end(last + ms(1), end)
    }

    #[track_caller]
    fn check(stream: &str, events: &[(&str, &str)], place: &str) {
        let visit = visit(0, "old", "", &[(5, stream)], End::Left);
        let id = |event: &Event| String::from_utf8(event.id.clone().unwrap_or_default().to_vec()).unwrap();
        let had: Vec<_> = visit.events.iter().map(|event| (event.kind.clone(), id(event))).collect();
        let wanted: Vec<_> = events.iter().map(|(kind, id)| ((*kind).to_owned(), (*id).to_owned())).collect();
        assert_eq!(had, wanted, "{stream:?}");
        assert_eq!(visit.place.as_deref().unwrap_or_default(), place.as_bytes());
    }

    #[test]
    fn events_have_a_type_and_an_id_and_leave_a_place() {
        check("data: a\n\n", &[("message", "")], "old");
        check("event: x\ndata: a\nid: 7\n\n", &[("x", "7")], "7");
        check("data: {\"type\":\"t\"}\n\n", &[("t", "")], "old");
        check("data: {\"payload\":{\"type\":\"t\"}}\n\n", &[("t", "")], "old");
        check("id: 7\n\n", &[], "7");
        check("data: a\nid\n\n", &[("message", "")], "");
        check("data: a\nid: 8\n\ndata: b\nid: 9\n", &[("message", "8")], "8");
    }

    #[test]
    fn an_id_right_behind_an_event_is_its_own() {
        check("data: a\n\nid: 7\n\n", &[("message", "7")], "7");
        check("data: a\n\nevent: ~\nid: 7\ndata:\n\n", &[("message", "7")], "7");
        check("data: a\nid: 6\n\nid: 7\n\n", &[("message", "6")], "7");
        check("data: a\nid: 6\n\nevent:~\ndata\nid:7\n\n", &[("message", "7")], "7");
        check("id: 5\n\ndata: a\n\nid: 6\n\ndata: b\n\n", &[("message", "6"), ("message", "")], "6");
    }

    #[test]
    fn equal_events_have_equal_prints() {
        let print = |field: &str, data: &str| event(ms(1), field.as_bytes(), data.as_bytes()).print;
        assert_eq!(print("a", "b"), print("a", "b"));
        assert_ne!(print("a", "b"), print("", "b"));
        assert_ne!(print("a", "b"), print("ab", ""));
    }

    #[test]
    fn half_a_frame_that_stands_is_noted_and_silence_too() {
        let pieces = [(5, "data: a\n\nda"), (900, "ta: b\n\n"), (1000, "data: c"), (1100, "\n\n")];
        let visit = visit(0, "", "", &pieces, End::Left);
        assert_eq!((visit.halves, visit.silence), (vec![ms(895)], ms(895)));
        assert_eq!((visit.events.len(), visit.first, visit.last), (3, Some(ms(5)), ms(1100)));
    }

    #[test]
    fn who_ended_it_and_how_long_it_was_silent() {
        let seen = |end| visit(0, "", "", &[(10, "data: a\n\n")], end).ended_idle();
        assert_eq!(seen(End::Left), None);
        assert_eq!(seen(End::Over), Some((ms(1), ms(11))));
        assert_eq!(seen(End::Lost("reset".into())), Some((ms(1), ms(11))));
    }

    #[test]
    fn what_is_no_stream_is_shown_from_its_beginning() {
        let parts = Response::builder().status(404).body(()).unwrap().into_parts().0;
        let mut recorder = Recorder::new(ms(0), None, false);
        recorder.head(ms(1), &parts);
        assert!(recorder.piece(ms(2), b"not here"));
        assert!(!recorder.piece(ms(2), &[b'x'; 500]));
        let visit = recorder.end(ms(3), End::Over);
        assert!(
            visit.is_refused() && visit.excerpt.starts_with(b"not herexxx") && visit.excerpt.len() == EXCERPT
        );
    }
}
