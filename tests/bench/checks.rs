//! What limits and checks cost: the very calls that a request and a delivery make, and nothing else. They cannot be turned
//! off, so that there is nothing to compare with.

use std::{
    hint::black_box,
    io,
    pin::{Pin, pin},
    sync::Barrier,
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use http::{Request, Response};
use respool::{
    drain::Drain,
    metrics::Metrics,
    net::{Client, Control, Socket},
    proxy::hygiene,
    server::Metered,
    window::Budget,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    frames::{PREFACE, WINDOW, frame, get, settings},
    measure,
};

/// A socket that takes everything, and has these bytes for whoever reads first, and the others from then on.
struct Endless {
    first: Option<Vec<u8>>,
    then: Vec<u8>,
}

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.first.take() {
            Some(first) => buf.put_slice(&first),
            None => buf.put_slice(&self.then),
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Socket for Endless {}

/// The processor time that something takes so many times, in a runtime that has a clock.
fn taken(times: usize, mut what: impl FnMut(&mut Context<'_>)) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _inside = runtime.enter();
    let cx = &mut Context::from_waker(Waker::noop());
    let before = measure::own_cpu();
    for _ in 0..times {
        what(cx);
    }
    measure::own_cpu() - before
}

/// A client's connection as the server keeps it, with the meter that one of HTTP/2 has.
fn metered(read: Vec<u8>) -> Metered<Client<Endless, ()>> {
    let control = Control::new(Drain::new(Duration::from_secs(10)));
    control.limit_stalls(Duration::from_secs(30));
    let first = Some([PREFACE, &settings(&[])].concat());
    Metered::new(Client::new(Endless { first, then: read }, control, ()))
}

/// The bytes that a client has taken, as far as limits look at them: what was written is looked at for a stall, and as an
/// answer for which there may be more frames.
fn write(client: &mut Metered<Client<Endless, ()>>, cx: &mut Context<'_>, bytes: &[u8]) {
    assert!(Pin::new(&mut *client).poll_write(cx, black_box(bytes)).is_ready());
    assert!(Pin::new(client).poll_flush(cx).is_ready());
}

/// An ordinary request and its answer: all that is judged of both heads; what is taken out of them; the time that the head
/// may take; the frames by which it comes, if it is by HTTP/2; and what is written, looked at for a stall.
pub(crate) fn of_requests(times: usize) -> Duration {
    let request = Request::get("/a/path?with=a&query=too")
        .header("host", "bench")
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
        .header("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
        .header("accept-language", "en-US,en;q=0.5")
        .header("accept-encoding", "gzip, deflate, br, zstd")
        .header("cookie", "session=0123456789abcdef");
    let mut request = request.body(()).unwrap().into_parts().0;
    let answer = Response::builder().header("content-type", "text/plain").header("content-length", "1024");
    let mut answer = answer.body(()).unwrap().into_parts().0;
    let mut client =
        metered([get(1, "/a/path?with=a&query=too"), frame(WINDOW, 0, 0, &[0, 0, 4, 0])].concat());
    let (body, mut buffer) = (vec![b'x'; 1200], vec![0; 4096]);
    let read = |client: &mut Metered<_>, cx: &mut Context<'_>, buffer: &mut [u8]| {
        let mut buf = ReadBuf::new(buffer);
        assert!(matches!(Pin::new(client).poll_read(cx, &mut buf), Poll::Ready(Ok(()))));
    };
    taken(times, |cx| {
        let timer = pin!(tokio::time::sleep(Duration::from_secs(10)));
        assert!(timer.poll(cx).is_pending());
        read(&mut client, cx, &mut buffer);
        hygiene::check(black_box(&request)).unwrap();
        black_box(hygiene::asks_for_upgrade(black_box(&request.headers)));
        black_box(hygiene::wants_events(black_box(&request)));
        black_box(hygiene::wants_events(black_box(&request)));
        // Of one that has nothing to be taken out, nothing is: it is the same the next time.
        black_box(hygiene::strip_request(black_box(&mut request)));
        hygiene::strip_response(black_box(&mut answer)).unwrap();
        write(&mut client, cx, &body);
    })
}

/// A delivery: what is written to its client, looked at for a stall and by the meter of HTTP/2; and of the event, which so
/// many clients share, what is charged to the budget: the frame while it is not whole, the window, and whether all together
/// have too much. On two threads that charge the same budget at once, and all the time.
pub(crate) fn of_deliveries(times: usize, clients: usize) -> Duration {
    let budget = Budget::new(1 << 30, Metrics::new().memory.clone());
    let begin = Barrier::new(2);
    let deliver = || {
        let mut client = metered(Vec::new());
        let (event, mut delivered) = (vec![b'x'; 250], 0);
        begin.wait();
        taken(times / 2, |cx| {
            if delivered % clients == 0 {
                charge(&budget);
            }
            delivered += 1;
            write(&mut client, cx, &event);
        })
    };
    thread::scope(|scope| {
        let threads = [scope.spawn(deliver), scope.spawn(deliver)];
        threads.map(|thread| thread.join().unwrap()).iter().sum()
    })
}

/// As for one event: a frame that is not whole and then is, and a window that takes it and lets another one go.
fn charge(budget: &Budget) {
    budget.charge(black_box(0), black_box(100));
    budget.charge(black_box(1000), black_box(1250));
    budget.charge(black_box(1250), black_box(1000));
    budget.charge(black_box(100), black_box(0));
    assert!(black_box(budget.excess()) < 1 << 20);
}
