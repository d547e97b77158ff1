//! What is counted, instruction by instruction: the calls that each event, each client and each request makes inside, and
//! nothing of the kernel's. Every one is done so many times, on what was set up before.

use std::{
    fmt::Write as _,
    hint::black_box,
    num::NonZeroUsize,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Request;
use respool::{
    config::{Config, Flags},
    id::{Asked, Generation, Position},
    metrics::Metrics,
    route::{Keyer, Routes},
    sse::{Splitter, stamp},
    window::{Bounds, Budget, Cursor, LiveWindow, Step, Window},
};

use crate::typed;

/// One thing that is done often.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// How often, at least, to be counted.
    pub(crate) times: u64,
    /// How many of what the row is of are done each time.
    pub(crate) each: u64,
    /// Does it so many times.
    pub(crate) run: fn(u64),
}

/// Each has a name of its own, by which it is known in the file of what is expected.
pub(crate) const ROWS: [Row; 13] = [
    Row { name: "an event of 200 bytes, split", times: 20, each: 1000, run: split_whole },
    Row { name: "an event of 200 bytes, split, in pieces of 7", times: 5, each: 1000, run: split_in_pieces },
    Row { name: "an event given its id line", times: 10_000, each: 1, run: stamped },
    Row { name: "an event appended, 1,000 retained", times: 20_000, each: 1, run: appended::<1_000> },
    Row { name: "an event appended, 100,000 retained", times: 20_000, each: 1, run: appended::<100_000> },
    Row { name: "an event appended and delivered to 100 clients", times: 200, each: 100, run: delivered },
    Row { name: "a resume, 1,000 missed of 2,000", times: 50, each: 1, run: resumed::<2_000> },
    Row { name: "a resume, 1,000 missed of 100,000", times: 50, each: 1, run: resumed::<100_000> },
    Row { name: "a type found by pointer, last in 2 KB", times: 1_000, each: 1, run: typed_last },
    Row { name: "a type found by pointer, first in 2 KB", times: 10_000, each: 1, run: typed_first },
    Row { name: "a route found by a glob on the path", times: 10_000, each: 1, run: routed },
    Row { name: "the key of a request by everything", times: 2_000, each: 1, run: key_by_everything },
    Row { name: "the key of a request by its path", times: 10_000, each: 1, run: key_by_path },
];

/// What does not grow with what is retained: the second of two rows is at most a quarter more than the first.
pub(crate) const FLAT: [(&str, &str); 2] = [
    ("an event appended, 1,000 retained", "an event appended, 100,000 retained"),
    ("a resume, 1,000 missed of 2,000", "a resume, 1,000 missed of 100,000"),
];

/// An event of 200 bytes as it comes from upstream.
fn event(n: u64) -> String {
    let mut event = format!("event: message\ndata: {{\"n\":{n:08},\"text\":\"");
    while event.len() < 196 {
        event.push('x');
    }
    event + "\"}\n\n"
}

fn thousand() -> Vec<u8> {
    (0..1000).map(event).collect::<String>().into_bytes()
}

/// Feeds a thousand events in pieces of so many bytes.
fn split(times: u64, size: usize) {
    let (stream, mut splitter, mut events) = (thousand(), Splitter::new(1 << 20), 0);
    for _ in 0..times {
        for piece in stream.chunks(size) {
            splitter
                .feed(black_box(piece), |frame| events += u64::from(black_box(frame).is_event()))
                .unwrap();
        }
    }
    assert_eq!(events, times * 1000);
}

fn split_whole(times: u64) {
    split(times, usize::MAX);
}

fn split_in_pieces(times: u64) {
    split(times, 7);
}

fn generation() -> Generation {
    Generation::shared(1_732_492_800_123, 7, None)
}

fn stamped(times: u64) {
    let (generation, mut id, mut out) = (generation(), String::new(), Vec::new());
    let give = |frame: respool::sse::Frame<'_>| {
        for seq in 1_000_000..1_000_000 + times {
            id.clear();
            out.clear();
            write!(id, "{}", black_box(Position { generation, seq })).unwrap();
            stamp(black_box(&frame), false, Some(id.as_bytes()), &mut out);
            black_box(Bytes::copy_from_slice(&out));
        }
    };
    Splitter::new(1 << 20).feed(event(1).as_bytes(), give).unwrap();
}

/// A window that retains so many events and has as many; and one more of them.
fn window(retained: usize) -> (LiveWindow, Bytes, Instant) {
    let now = Instant::now();
    let large = NonZeroUsize::new(1 << 30).unwrap();
    let events = NonZeroUsize::new(retained).unwrap();
    let bounds = Bounds { events, bytes: large, age: Duration::from_secs(3600) };
    let budget = Budget::new(1 << 30, Metrics::new().memory.clone());
    let live = LiveWindow::new(Window::new(generation(), bounds, now), budget, None);
    let event = Bytes::from(event(1));
    for _ in 0..=retained {
        live.write(|writer| writer.window().push(event.clone(), now));
    }
    (live, event, now)
}

fn appended<const RETAINED: usize>(times: u64) {
    let (live, event, now) = window(RETAINED);
    for _ in 0..times {
        live.write(|writer| writer.window().push(black_box(&event).clone(), now));
    }
}

/// Takes all that is there for a client; says how many events that was.
fn take(cursor: &mut Cursor) -> u64 {
    let (cx, mut events) = (&mut Context::from_waker(Waker::noop()), 0);
    while let Poll::Ready(step) = cursor.poll_step(cx, 64 << 10) {
        let Step::Parts(parts) = black_box(step) else { panic!("events only") };
        events += parts.events;
    }
    events
}

fn delivered(times: u64) {
    let (live, event, now) = window(1_000);
    let mut cursors: Vec<_> = (0..100).map(|_| live.attach(&Asked::Nothing, now).1).collect();
    cursors.iter_mut().for_each(|cursor| assert_eq!(take(cursor), 0));
    for _ in 0..times {
        live.write(|writer| writer.window().push(black_box(&event).clone(), now));
        for cursor in &mut cursors {
            assert_eq!(take(cursor), 1);
        }
    }
}

fn resumed<const RETAINED: usize>(times: u64) {
    let (live, _, now) = window(RETAINED);
    let tail = live.look(|window| window.tail());
    let id = Position { seq: tail.seq - 1_000, ..tail }.to_string();
    for _ in 0..times {
        let (_, mut cursor) = live.attach(&Asked::by(black_box(id.as_bytes())), now);
        assert_eq!(take(&mut cursor), 1_000);
    }
}

fn typed_last(times: u64) {
    black_box(typed::Event::new(2000, typed::Stands::Last).read(times));
}

fn typed_first(times: u64) {
    black_box(typed::Event::new(2000, typed::Stands::First).read(times));
}

const CONFIG: &str = "upstream = 'http://127.0.0.1:9000'
[[route]]
path = '/global/event'
mode = 'shared'
key = ['path']
[[route]]
path = '/rooms/*/events'
mode = 'shared'
key = ['path']
";

fn routes() -> Routes {
    let config = Config::resolve(&Flags::default(), &|_| None, Some(("respool.toml", CONFIG))).unwrap();
    Routes::new(config.routes)
}

fn routed(times: u64) {
    let routes = routes();
    for _ in 0..times {
        assert!(black_box(routes.find(black_box("/rooms/4711/events"))).unwrap().path.is_some());
    }
}

/// The key of a browser's request on the route of this path.
fn key(times: u64, path: &str) {
    let (routes, keyer) = (routes(), Keyer::new(7));
    let route = routes.find(path).unwrap();
    let request = Request::get(format!("{path}?room=4711&token=0123456789abcdef"))
        .header("host", "events.example.com")
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
        .header("accept", "text/event-stream")
        .header("accept-language", "en-US,en;q=0.5")
        .header("accept-encoding", "gzip, deflate, br, zstd")
        .header("authorization", "Bearer 0123456789abcdef0123456789abcdef")
        .header("cookie", "session=0123456789abcdef; theme=dark")
        .header("last-event-id", "7")
        .header("cache-control", "no-cache");
    let request = request.body(()).unwrap().into_parts().0;
    for _ in 0..times {
        black_box(keyer.key(route, black_box(&request)));
    }
}

fn key_by_everything(times: u64) {
    key(times, "/any/other");
}

fn key_by_path(times: u64) {
    key(times, "/rooms/4711/events");
}
