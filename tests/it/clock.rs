//! The clock on the wall jumps while the program runs, an hour either way: no window is lost, and none comes back.
//!
//! By `libfaketime`, whose library `RESPOOL_FAKETIME` names; without it there is nothing to be seen here.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::time::sleep;

use crate::{
    reload::binary::Running,
    support::{Origin, Wire, until, within, world::event_source},
};

const HOUR: i64 = 3600;
/// One forgets soon, and one is soon forgotten.
const ROUTES: &str = "\
[[route]]\npath = '/shared'\nmode = 'shared'\nkey = 'path'\nadmit = 'none'\n\
[[route]]\npath = '/short'\nwindow = { age = '500ms' }\n\
[[route]]\npath = '/brief'\nlinger = '500ms'\n";

/// A clock that is set while a process goes by it.
struct Clock(PathBuf);

impl Clock {
    fn new(name: &str) -> Self {
        let clock = Self(std::env::temp_dir().join(format!("respool-{}-{name}.time", std::process::id())));
        clock.set(0);
        clock
    }

    /// So many seconds from what it is.
    fn set(&self, offset: i64) {
        let next = self.0.with_extension("next");
        std::fs::write(&next, format!("{offset:+}s\n")).unwrap();
        std::fs::rename(next, &self.0).unwrap();
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// An event server: it says one event on each connection, and one more when it is told to by a `/say`.
async fn server() -> Origin {
    let said = tokio::sync::watch::Sender::new(0_u64);
    Origin::start(move |mut visit| {
        let said = said.clone();
        async move {
            while visit.request().await {
                if visit.head_of_request().starts_with("GET /say ") {
                    said.send_modify(|said| *said += 1);
                    visit.send("HTTP/1.1 204 No Content\r\n\r\n").await;
                    continue;
                }
                let mut heard = said.subscribe();
                visit.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n").await;
                let mut next = *heard.borrow_and_update();
                loop {
                    // None is left out.
                    while next <= *heard.borrow_and_update() {
                        if visit.try_send(format!("data: {next}\n\n")).await.is_err() {
                            return;
                        }
                        next += 1;
                    }
                    if heard.changed().await.is_err() {
                        return;
                    }
                }
            }
        }
    })
    .await
}

struct Client {
    wire: Wire,
    resume: String,
}

async fn join(running: &Running, path: &str, id: &str) -> Client {
    let mut wire = running.binary.connect().await;
    wire.send(format!("{}\r\n\r\n", event_source(path, id).replace('\n', "\r\n"))).await;
    let head = wire.head().await;
    let resume = head.iter().find_map(|line| line.strip_prefix("respool-resume: ")).unwrap_or("none");
    Client { wire, resume: resume.to_owned() }
}

impl Client {
    /// Reads until this event has come; its id.
    async fn id_of(&mut self, data: u64) -> String {
        let mut text = String::new();
        loop {
            let (byte, end) = self.wire.exactly(1).await;
            assert_eq!(end, crate::support::End::Whole, "it ended before {data}: {text}");
            text.push_str(&String::from_utf8_lossy(&byte));
            if text.ends_with("\n\n") && text.contains(&format!("data: {data}\n")) {
                return text.rsplit("id: ").next().unwrap().trim().to_owned();
            }
        }
    }
}

/// The run and the place that an id of ours is of.
fn place(id: &str) -> (String, u64) {
    let (run, seq) = id.rsplit_once('-').unwrap();
    (run.to_owned(), seq.parse().unwrap())
}

/// So many places behind it.
fn behind(id: &str, by: u64) -> (String, u64) {
    let (run, seq) = place(id);
    (run, seq + by)
}

async fn say(running: &Running) {
    let answer = running.binary.connect().await.ask("GET /say HTTP/1.1\r\nHost: h\r\n\r\n").await;
    assert_eq!(answer.status(), 204);
}

/// The time is what the program takes it for.
async fn is_at(running: &Running, offset: i64) {
    let lines = || {
        let log = running.binary.log();
        log.lines().filter(|line| line.contains("it says nothing new")).map(str::to_owned).collect::<Vec<_>>()
    };
    let before = lines().len();
    running.binary.signal("-HUP");
    until(|| lines().len() > before).await;
    let said = lines().pop().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 + offset;
    let minutes = |at: i64| format!("T{:02}:{:02}:", at / 3600 % 24, at / 60 % 60);
    assert!(
        [0, 60].iter().any(|late| said.contains(&minutes(now - late))),
        "it does not go by that clock: {said}"
    );
}

#[tokio::test]
async fn jumps_of_an_hour_lose_no_window_and_revive_none() {
    let Some(library) = std::env::var_os("RESPOOL_FAKETIME") else {
        println!("RESPOOL_FAKETIME names no library");
        return;
    };
    within(async {
        let clock = Clock::new("clock");
        let running = Running::faked(server().await, "clock", ROUTES, &library, &clock.0).await;
        let mut said = 0;
        let mut stays = [join(&running, "/shared", "").await, join(&running, "/private", "").await];
        let mut last = [stays[0].id_of(said).await, stays[1].id_of(said).await];
        let (mut short, mut brief) = (join(&running, "/short", "").await, join(&running, "/brief", "").await);
        let (old, gone) = (short.id_of(said).await, brief.id_of(said).await);
        drop(brief);
        for offset in [HOUR, -HOUR, 0, -HOUR, HOUR, 0] {
            // Who is away for a jump, and misses an event.
            let mut away = [join(&running, "/shared", "").await, join(&running, "/private", "").await];
            say(&running).await;
            said += 1;
            let ids = [away[0].id_of(said).await, away[1].id_of(said).await];
            drop(away);
            say(&running).await;
            clock.set(offset);
            is_at(&running, offset).await;
            say(&running).await;
            said += 2;
            // Whatever of it had come when he was back: he has both, and both once.
            for (path, id) in ["/shared", "/private"].iter().zip(&ids) {
                let mut back = join(&running, path, id).await;
                assert!(back.resume.starts_with("resumed"), "{path}, {offset}: {}", back.resume);
                assert_eq!(place(&back.id_of(said).await), behind(id, 2), "{path}, {offset}");
            }
            // Who was there noticed nothing.
            for (client, last) in stays.iter_mut().zip(&mut last) {
                let id = client.id_of(said).await;
                assert_eq!(place(&id), behind(last, 3), "{offset}");
                *last = id;
            }
            // What was too old stays so, and what was given up stays given up.
            short.id_of(said).await;
            sleep(Duration::from_millis(700)).await;
            assert_eq!(join(&running, "/short", &old).await.resume, "gap; reason=expired", "{offset}");
            assert_eq!(join(&running, "/brief", &gone).await.resume, "gap; reason=generation", "{offset}");
        }
    })
    .await;
}

/// Later generations sort after earlier ones, also where the clock says that they are from before.
#[tokio::test]
async fn a_generation_of_a_clock_that_went_back_is_later_all_the_same() {
    let Some(library) = std::env::var_os("RESPOOL_FAKETIME") else {
        println!("RESPOOL_FAKETIME names no library");
        return;
    };
    within(async {
        let clock = Clock::new("clock-back");
        let file = ROUTES.replace("admit = 'none'", "admit = 'none'\nlinger = '1ms'");
        let running = Running::faked(server().await, "clock-back", &file, &library, &clock.0).await;
        let mut before = String::new();
        for offset in [0, -HOUR, HOUR, -HOUR, 0] {
            clock.set(offset);
            is_at(&running, offset).await;
            let mut client = join(&running, "/shared", "").await;
            assert_eq!(client.resume, "fresh");
            let id = client.id_of(0).await;
            let run = id.rsplit_once('-').unwrap().0.to_owned();
            assert!(run > before, "{run} comes after {before}");
            before = run;
            drop(client);
            while running.metric("respool_streams{kind=\"shared\"} ").await > 0 {
                sleep(Duration::from_millis(10)).await;
            }
        }
    })
    .await;
}
