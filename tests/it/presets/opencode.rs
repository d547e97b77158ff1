//! opencode: what happened while a client was away is replayed, so that it does not load everything anew; where it cannot
//! be, the server's own hello says so, once.

use std::time::Duration;

use respool::id::Position;
use tokio::time::sleep;

use crate::support::{
    reader,
    world::{Client, Ended, Exchange, World, settle},
};

/// One of its two streams.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Feed {
    /// What happens in a directory.
    Directory,
    /// What happens anywhere, in an envelope, from a stream that is pinned.
    Global,
}

use Feed::{Directory, Global};

const BOTH: [Feed; 2] = [Directory, Global];
/// How often the server's heart beats.
const BEAT: Duration = Duration::from_secs(10);

impl Feed {
    fn target(self) -> &'static str {
        match self {
            Directory => "/event?directory=%2Fd",
            Global => "/global/event",
        }
    }

    /// The data of an event of the server's own.
    fn own(self, kind: &str) -> String {
        let event = format!("{{\"id\":\"evt_0\",\"type\":\"{kind}\",\"properties\":{{}}}}");
        match self {
            Directory => event,
            Global => format!("{{\"payload\":{event}}}"),
        }
    }

    /// The data of something that happened.
    fn happened(self, kind: &str, properties: &str) -> String {
        let event = format!("{{\"id\":\"evt_1\",\"type\":\"{kind}\",\"properties\":{{{properties}}}}}");
        match self {
            Directory => event,
            Global => format!("{{\"directory\":\"/d\",\"project\":\"global\",\"payload\":{event}}}"),
        }
    }

    fn news(self, n: u32) -> String {
        self.happened("session.updated", &format!("\"sessionID\":\"ses_1\",\"info\":{{\"title\":\"{n}\"}}"))
    }

    fn hello(self) -> String {
        self.own("server.connected")
    }
}

/// A stream that is live.
struct Live {
    feed: Feed,
    world: World,
    /// The connection that all is read from.
    pump: Exchange,
    /// The pinned stream's, where that is another.
    pin: Option<Exchange>,
    /// Of the event that the first client had.
    id: String,
}

fn framed(data: &str) -> String {
    format!("data: {data}\n\n")
}

fn position(id: &str) -> Position {
    Position::parse(id.as_bytes()).unwrap_or_else(|| panic!("{id} is none of ours"))
}

/// What the SDK sends, which is a plain fetch.
fn fetch(target: &str, last_event_id: &str) -> String {
    let id =
        if last_event_id.is_empty() { String::new() } else { format!("\nLast-Event-ID: {last_event_id}") };
    format!(
        "GET {target} HTTP/1.1\nHost: h\nAccept: */*\nOrigin: http://localhost:3000\nSec-Fetch-Mode: cors{id}"
    )
}

impl Live {
    /// One of the two, by the preset and these lines, and a client that has its hello and one event.
    async fn new(feed: Feed, lines: &str) -> (Self, Client) {
        let mut world = World::new(&format!("[[route]]\npreset = 'opencode'\n{lines}"));
        let mut pin = world.origin.accept().await;
        assert!(pin.request.starts_with("GET /global/event "), "{}", pin.request);
        pin.begin().await;
        pin.send(framed(&Global.hello())).await;
        let mut client = world.send(&fetch(feed.target(), "")).await;
        let mut asked = world.origin.accept().await;
        asked.begin().await;
        asked.send(framed(&feed.hello())).await;
        let (mut pump, pin) = if feed == Global { (pin, None) } else { (asked, Some(pin)) };
        pump.send(framed(&feed.news(0))).await;
        client.read().await;
        assert_eq!((client.status, client.resume()), (200, "fresh"));
        assert_eq!(client.held().data(), [feed.hello(), feed.news(0)]);
        let id = client.id().await;
        (Self { feed, world, pump, pin, id }, client)
    }

    /// What comes from the server, each event by itself.
    async fn say(&mut self, data: &[String]) {
        for data in data {
            self.pump.send(framed(data)).await;
        }
    }

    fn news(&self, numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
        numbers.into_iter().map(|n| self.feed.news(n)).collect()
    }

    /// Comes back with an id: the server is asked once whether it may, without the id, and says hello as to anybody.
    async fn back(&mut self, id: &str) -> Client {
        let dials = self.world.origin.dials();
        let mut client = self.world.send(&fetch(self.feed.target(), id)).await;
        let mut asked = self.world.origin.accept().await;
        assert_eq!(asked.header("last-event-id"), None, "{}", asked.request);
        asked.begin().await;
        asked.send(framed(&self.feed.hello())).await;
        client.read().await;
        assert_eq!(client.status, 200, "{}", client.head);
        assert!(asked.is_closed().await, "it was asked, and no more");
        assert_eq!(self.world.origin.dials(), dials + 1);
        client
    }

    /// Comes back and is given exactly this, by replay.
    async fn resumes(&mut self, id: &str, missed: &[String]) {
        let mut client = self.back(id).await;
        assert_eq!(client.resume(), format!("resumed; missed={}", missed.len()), "{:?}", self.feed);
        assert_eq!(client.data().await, missed, "{:?}", self.feed);
    }

    /// Comes back and finds a gap: it gets one hello with its fence, and then what happens.
    async fn finds_a_gap(&mut self, id: &str, reason: &str, fence: Position) {
        let mut client = self.back(id).await;
        assert_eq!(client.resume(), format!("gap; reason={reason}"), "{:?}", self.feed);
        assert_eq!(client.data().await, [self.feed.hello()]);
        assert_eq!(position(&client.id().await), fence);
        let next = self.feed.news(999);
        self.say(std::slice::from_ref(&next)).await;
        assert_eq!(client.data().await, [self.feed.hello(), next]);
        assert_eq!(client.text().matches("server.connected").count(), 1);
    }

    /// The fence of who comes now.
    fn fence(&self, seq: u64) -> Position {
        Position { seq, ..position(&self.id) }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_was_away_gets_all_that_it_missed_and_no_hello() {
    for feed in BOTH {
        let (mut live, client) = Live::new(feed, "").await;
        drop(client);
        settle().await;
        let missed = live.news(1..=100);
        live.say(&missed).await;
        let id = live.id.clone();
        live.resumes(&id, &missed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_the_window_is_a_gap_with_one_hello() {
    for feed in BOTH {
        let (mut live, _client) = Live::new(feed, "window = { events = 3 }\n").await;
        live.say(&live.news(1..=5)).await;
        let (id, fence) = (live.id.clone(), live.fence(6));
        live.finds_a_gap(&id, "expired", fence).await;
        let missed = [live.news(4..=5), live.news([999])].concat();
        let id = Position { seq: 4, ..fence }.to_string();
        live.resumes(&id, &missed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_of_another_generation_is_a_gap_with_one_hello() {
    for feed in BOTH {
        let (mut live, _client) = Live::new(feed, "").await;
        live.say(&live.news(1..=2)).await;
        let (forged, fence) = ("r0123456789abc-2", live.fence(3));
        assert_ne!(position(forged).generation, fence.generation);
        live.finds_a_gap(forged, "generation", fence).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_ahead_of_the_tail_is_a_gap_with_one_hello() {
    for feed in BOTH {
        let (mut live, _client) = Live::new(feed, "").await;
        let (ahead, fence) = (live.fence(2).to_string(), live.fence(1));
        live.finds_a_gap(&ahead, "ahead", fence).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_that_age_has_emptied_proves_nothing_and_is_a_gap_with_one_hello() {
    for feed in BOTH {
        let (mut live, _client) = Live::new(feed, "window = { age = '1m' }\n").await;
        live.say(&live.news([1])).await;
        // Heartbeats are nothing to be missed.
        for _ in 0..7 {
            sleep(BEAT).await;
            live.say(&[feed.own("server.heartbeat")]).await;
        }
        let (id, fence) = (live.id.clone(), live.fence(2));
        live.finds_a_gap(&id, "expired", fence).await;
        let (mut live, _client) = Live::new(feed, "window = { age = '1m' }\n").await;
        sleep(Duration::from_secs(70)).await;
        let id = live.id.clone();
        live.resumes(&id, &[]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn heartbeats_come_as_they_are_without_an_id_and_are_never_replayed() {
    for feed in BOTH {
        let (mut live, mut client) = Live::new(feed, "").await;
        let beat = feed.own("server.heartbeat");
        sleep(BEAT).await;
        live.say(std::slice::from_ref(&beat)).await;
        assert_eq!(client.id().await, live.id);
        assert!(client.text().ends_with(&format!("{}\n\n{}", live.id, framed(&beat))), "byte for byte");
        let news = live.news([1]);
        live.say(&news).await;
        live.say(&[beat]).await;
        let id = live.id.clone();
        live.resumes(&id, &news).await;
    }
}

/// Each change of a session comes twice, the second time for whoever keeps a copy.
#[tokio::test(start_paused = true)]
async fn the_twin_that_says_sync_is_replayed_too() {
    let (mut live, _client) = Live::new(Global, "").await;
    let twin = "{\"directory\":\"/d\",\"project\":\"global\",\"payload\":{\"type\":\"sync\",\"syncEvent\":{\"type\":\
                \"session.updated.1\",\"id\":\"evt_1\",\"seq\":1,\"data\":{}}}}"
        .to_owned();
    let both = [Global.news(1), twin];
    live.say(&both).await;
    let id = live.id.clone();
    live.resumes(&id, &both).await;
}

#[tokio::test(start_paused = true)]
async fn who_is_there_when_all_is_disposed_is_told_and_goes_on_from_there() {
    let (mut live, mut client) = Live::new(Global, "").await;
    let disposed = disposed();
    live.say(std::slice::from_ref(&disposed)).await;
    assert_eq!(client.data().await[2..], [disposed]);
    let new = position(&client.id().await);
    assert_ne!(new.generation, position(&live.id).generation);
    assert_eq!((new.seq, client.end), (0, None));
    let news = live.news([1, 2]);
    live.say(&news).await;
    live.resumes(&new.to_string(), &news).await;
    assert_eq!(client.data().await[3..], news);
}

#[tokio::test(start_paused = true)]
async fn who_was_away_when_all_was_disposed_finds_a_gap_with_one_hello() {
    let (mut live, mut client) = Live::new(Global, "").await;
    live.say(&[live.news([1]), vec![disposed()], live.news([2])].concat()).await;
    // One who was there knows where the new run is.
    let fence = position(&client.id().await);
    assert_eq!(fence.seq, 1);
    let id = live.id.clone();
    live.finds_a_gap(&id, "generation", fence).await;
}

fn disposed() -> String {
    "{\"directory\":\"global\",\"payload\":{\"type\":\"global.disposed\",\"properties\":{},\"id\":\"evt_9\"}}"
        .to_owned()
}

/// The server ends the stream of a directory that is disposed.
#[tokio::test(start_paused = true)]
async fn a_directory_that_is_disposed_ends_and_begins_anew_with_one_hello() {
    let (mut live, mut client) = Live::new(Directory, "").await;
    let disposed = Directory.own("server.instance.disposed");
    live.say(std::slice::from_ref(&disposed)).await;
    live.pump.finish().await;
    assert_eq!(client.data().await[2..], [disposed]);
    assert_eq!(client.end, Some(Ended::Properly));
    let id = client.id().await;
    let mut client = live.world.send(&fetch(Directory.target(), &id)).await;
    // On the connection that has ended properly.
    let mut asked = live.pump;
    asked.again().await;
    assert_eq!(asked.header("last-event-id"), None);
    asked.begin().await;
    asked.send(framed(&Directory.hello()) + &framed(&Directory.news(1))).await;
    client.read().await;
    assert_eq!((client.status, client.resume()), (200, "gap; reason=generation"));
    assert_eq!(client.held().data(), [Directory.hello(), Directory.news(1)]);
    assert_ne!(position(&client.id().await).generation, position(&id).generation);
}

#[tokio::test(start_paused = true)]
async fn what_was_answered_is_not_asked_again() {
    for (asked, answered) in [
        ("question.asked", "question.replied"),
        ("question.asked", "question.rejected"),
        ("question.v2.asked", "question.v2.replied"),
        ("question.v2.asked", "question.v2.rejected"),
        ("permission.asked", "permission.replied"),
        ("permission.v2.asked", "permission.v2.replied"),
    ] {
        for feed in BOTH {
            let (mut live, mut client) = Live::new(feed, "").await;
            let ask = |of: &str| {
                feed.happened(asked, &format!("\"id\":\"{of}\",\"sessionID\":\"ses_1\",\"questions\":[]"))
            };
            let answer = feed.happened(answered, "\"sessionID\":\"ses_1\",\"requestID\":\"one\"");
            // The answer overtakes the question, which another client has seen by its own connection.
            let said = [ask("one"), answer.clone(), ask("one"), ask("two")];
            live.say(&said).await;
            let seen = [ask("one"), answer.clone(), ask("two")];
            assert_eq!(client.data().await[2..], seen, "live: {asked} {answered} {feed:?}");
            let id = live.id.clone();
            live.resumes(&id, &[answer, ask("two")]).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_another_session_is_another_answer() {
    for feed in BOTH {
        let (mut live, mut client) = Live::new(feed, "").await;
        let said = [
            feed.happened("question.replied", "\"sessionID\":\"ses_2\",\"requestID\":\"one\""),
            feed.happened("question.asked", "\"id\":\"one\",\"sessionID\":\"ses_1\""),
        ];
        live.say(&said).await;
        assert_eq!(client.data().await[2..], said);
        let id = live.id.clone();
        live.resumes(&id, &said).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_is_cut_anywhere_goes_on_where_it_was() {
    for feed in BOTH {
        let (mut live, _client) = Live::new(feed, "").await;
        let beat = feed.own("server.heartbeat");
        let missed = live.news(1..=4);
        live.say(&[&missed[..2], &[beat][..], &missed[2..]].concat()).await;
        let id = live.id.clone();
        let replayed = live.back(&id).await.body;
        for cut in 0..=replayed.len() {
            let held = reader::read(&replayed[..cut], &id);
            let rest = &missed[held.events.len()..];
            assert_eq!(held.data(), missed[..held.events.len()], "cut at {cut}");
            live.resumes(&held.id, rest).await;
        }
    }
}

/// The server was started anew: clients stay, and are told by its hello.
#[tokio::test(start_paused = true)]
async fn a_lost_server_is_one_hello_on_the_connection_that_there_is() {
    for feed in BOTH {
        let (Live { mut world, pump, pin, id, .. }, mut client) = Live::new(feed, "").await;
        drop(pump);
        let mut pump = world.origin.accept().await;
        pump.begin().await;
        let mut live = Live { feed, world, pump, pin, id };
        live.say(&[feed.hello(), feed.news(1)]).await;
        assert_eq!(client.data().await[2..], [feed.hello(), feed.news(1)]);
        let [.., hello, next] = &client.held().events[..] else { panic!("{}", client.text()) };
        let (hello, next) = (position(&hello.id), position(&next.id));
        assert_eq!((hello.generation, next.seq), (next.generation, hello.seq + 1), "with the new fence");
        assert_ne!(hello.generation, position(&live.id).generation);
        assert_eq!(client.end, None);
        live.resumes(&hello.to_string(), &[feed.news(1)]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_directory_is_a_stream_of_its_own_in_either_way_of_naming_it() {
    let (mut live, _client) = Live::new(Directory, "").await;
    for other in [
        fetch("/event?directory=%2Fother", &live.id),
        fetch("/event?directory=%2Fd&workspace=w", &live.id),
        fetch("/event?directory=%2Fd", &live.id) + "\nx-opencode-directory: %2Fother",
    ] {
        let mut client = live.world.send(&other).await;
        let mut pump = live.world.origin.accept().await;
        pump.begin().await;
        pump.send(framed(&Directory.hello()) + &framed(&Directory.news(7))).await;
        assert_eq!(client.data().await, [Directory.hello(), Directory.news(7)], "{other}");
        assert_eq!((client.status, client.resume()), (200, "gap; reason=generation"));
    }
    // What else a client says makes no other stream of it.
    let missed = live.news([1]);
    live.say(&missed).await;
    let mut same = live.world.send(&(fetch("/event?x=1&directory=%2Fd", &live.id) + "\nx-client: tui")).await;
    live.world.origin.accept().await.begin().await;
    assert_eq!(same.data().await, missed);
    assert_eq!((same.status, same.resume()), (200, "resumed; missed=1"));
}

/// The server may have a password: the preset asks it about each client.
#[tokio::test(start_paused = true)]
async fn whoever_the_server_refuses_is_refused_and_gets_no_replay() {
    for feed in BOTH {
        let (mut live, _client) = Live::new(feed, "").await;
        live.say(&live.news([1])).await;
        let mut client = live.world.send(&fetch(feed.target(), &live.id)).await;
        live.world.origin.accept().await.refuse(401).await;
        client.read().await;
        assert_eq!((client.status, client.body.len()), (401, 0));
    }
}

/// The pin does not say the password, and is refused; a client says it, and the stream is read by its request.
#[tokio::test(start_paused = true)]
async fn a_password_that_the_pin_does_not_say_is_that_of_the_clients() {
    let mut world = World::new("[[route]]\npreset = 'opencode'\n");
    world.origin.accept().await.refuse(401).await;
    let authorized = |id: &str| fetch(Global.target(), id) + "\nAuthorization: Basic b3Blbjpjb2Rl";
    let mut client = world.send(&authorized("")).await;
    let mut pump = loop {
        let mut asked = world.origin.accept().await;
        match asked.header("authorization") {
            Some(_) => break asked,
            None => asked.refuse(401).await,
        }
    };
    pump.begin().await;
    pump.send(framed(&Global.hello()) + &framed(&Global.news(1))).await;
    assert_eq!(client.data().await, [Global.hello(), Global.news(1)]);
    assert_eq!((client.status, client.resume()), (200, "fresh"));
}
