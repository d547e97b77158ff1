//! Ids that nobody gave their bearers: forged, another's, expired, of the future, torn. Whatever a client says it had, it
//! is given its own or what any new client would be given.
//!
//! `REPLAY_IDS=100000` tries so many.

use std::collections::HashMap;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use tokio::time::sleep;

use crate::support::world::{Client, Exchange, World, event_source, settle};

const IDS: usize = 4_000;
const TENANTS: [&str; 4] = ["ada", "bob", "cyd", "dan"];
/// Private; shared by all that could mean somebody else; by a header, with the upstream's yes; without ids that show; with
/// the upstream's own ids.
const PATHS: [&str; 5] = ["/mine", "/all", "/room", "/hidden", "/numbered"];
const CONFIG: &str = "
[limits]
lingering = 1_000_000
streams = 1_000_000
[window]
events = 4
age = '24h'
[[route]]
path = '/{mine,numbered}'
linger = '24h'
[[route]]
path = '/all'
mode = 'shared'
[[route]]
path = '/room'
mode = 'shared'
key = ['path', 'header:authorization']
[[route]]
path = '/hidden'
linger = '24h'
ids = 'hidden'
";

/// The places of one tenant's stream, and the connections that keep it there.
struct Stream {
    ids: Vec<String>,
    #[expect(dead_code, reason = "held for its drop")]
    kept: (Option<Client>, Exchange),
}

struct Trial {
    dice: StdRng,
    world: World,
    streams: HashMap<(&'static str, &'static str), Stream>,
    /// Of streams that are over.
    ended: Vec<String>,
}

/// What an id is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Kind {
    Forged,
    Anothers,
    Ended,
    Expired,
    Ahead,
    Malformed,
}

const KINDS: [Kind; 6] =
    [Kind::Forged, Kind::Anothers, Kind::Ended, Kind::Expired, Kind::Ahead, Kind::Malformed];

fn request(path: &str, tenant: &str, id: &[u8]) -> Vec<u8> {
    let plain = event_source(path, "") + "\nAuthorization: " + tenant;
    let head = plain.replace('\n', "\r\n").into_bytes();
    let line = if id.is_empty() { Vec::new() } else { [b"\r\nLast-Event-ID: ", id].concat() };
    [head, line].concat()
}

impl Trial {
    async fn new() -> Self {
        let world = World::new(CONFIG);
        let dice = StdRng::seed_from_u64(7);
        let mut trial = Self { dice, world, streams: HashMap::new(), ended: Vec::new() };
        for path in PATHS {
            for tenant in TENANTS {
                trial.end(path, tenant).await;
            }
        }
        // Nothing of them is left.
        sleep(std::time::Duration::from_secs(25 * 3600)).await;
        for path in PATHS {
            for tenant in TENANTS {
                trial.begin(path, tenant).await;
            }
        }
        trial
    }

    /// A stream of ten events, and what a client that had one after the other would come back with.
    async fn told(&mut self, path: &'static str, tenant: &str) -> (Client, Exchange, Vec<String>) {
        let mut client = self.world.send_raw(&request(path, tenant, b"")).await;
        let mut upstream = self.world.origin.accept().await;
        upstream.begin().await;
        let mut ids = Vec::new();
        for n in 1..=10 {
            let own = if path == "/numbered" { format!("id: {n}\n") } else { String::new() };
            upstream.send(format!("{own}data: secret of {tenant} at {path}\n\n")).await;
            ids.push(client.id().await);
        }
        (client, upstream, ids)
    }

    async fn end(&mut self, path: &'static str, tenant: &'static str) {
        let (_, upstream, ids) = self.told(path, tenant).await;
        drop(upstream);
        // Those of the upstream's are names that it gives again.
        self.ended.extend(ids.into_iter().filter(|id| id.starts_with('r')));
    }

    async fn begin(&mut self, path: &'static str, tenant: &'static str) {
        let (client, upstream, ids) = self.told(path, tenant).await;
        // A session of its own lingers, a shared stream goes on.
        let client = matches!(path, "/all" | "/room").then_some(client);
        settle().await;
        self.streams.insert((path, tenant), Stream { ids, kept: (client, upstream) });
    }

    fn id(&mut self, kind: Kind, path: &'static str, tenant: &'static str) -> Vec<u8> {
        let own = self.streams[&(path, tenant)].ids.clone();
        let run = |id: &str| id.rsplit_once('-').map(|(run, _)| run.to_owned());
        let dice = &mut self.dice;
        match kind {
            Kind::Forged => {
                let digits = if dice.random() { 13 } else { 24 };
                let digit = |dice: &mut StdRng| char::from_digit(dice.random_range(0..32), 32).unwrap();
                let rest: String = (1..digits).map(|_| digit(dice)).collect();
                format!("r0{rest}-{}", dice.random_range(0..20)).into()
            }
            Kind::Anothers => {
                // An id of the upstream's own is no secret of anybody's: the same may be one's own, too.
                let others =
                    self.streams.iter().filter(|(of, _)| **of != (path, tenant) && of.0 != "/numbered");
                let others: Vec<_> = others.map(|(_, stream)| &stream.ids).collect();
                let mut others: Vec<_> =
                    others.into_iter().flatten().filter(|id| id.starts_with('r')).collect();
                others.sort();
                let id = (*others.choose(dice).unwrap()).clone();
                let seq = dice.random_range(0..12);
                if dice.random() { id.into() } else { format!("{}-{seq}", run(&id).unwrap()).into() }
            }
            Kind::Ended => self.ended.choose(dice).unwrap().clone().into(),
            Kind::Expired => own[dice.random_range(0..4)].clone().into(),
            Kind::Ahead => match run(&own[9]) {
                Some(run) => format!("{run}-{}", dice.random_range(11..u64::MAX)).into(),
                None => format!("{}", dice.random_range(11..u64::MAX)).into(),
            },
            Kind::Malformed => self.torn(&own[9]),
        }
    }

    /// One's own id, or another's, and not quite.
    fn torn(&mut self, own: &str) -> Vec<u8> {
        let streams = self.streams.values().map(|stream| &stream.ids[7]);
        let mut all: Vec<_> = streams.filter(|id| id.starts_with('r')).cloned().collect();
        all.sort();
        all.push(own.to_owned());
        let dice = &mut self.dice;
        let mut id = all.choose(dice).unwrap().clone().into_bytes();
        for _ in 0..dice.random_range(1..4) {
            let at = dice.random_range(0..id.len());
            match dice.random_range(0..6) {
                0 => id[at] = dice.random_range(33..127),
                1 => id[at] = dice.random_range(128..=255),
                2 => id.insert(at, b"0-%\t \"';,r"[dice.random_range(0..10)]),
                3 => id.truncate(at + 1),
                4 => id.extend_from_within(..at),
                _ => id = id.to_ascii_uppercase(),
            }
        }
        id
    }

    /// An answer to this request, in which the upstream says what it says to any new client.
    async fn answer(&mut self, path: &'static str, tenant: &'static str, id: &[u8]) -> Answer {
        let in_query =
            self.dice.random_ratio(1, 4) && id.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-');
        let sent = if in_query {
            let id = String::from_utf8_lossy(id);
            request(&format!("{path}?lastEventId={id}"), tenant, b"")
        } else {
            request(path, tenant, id)
        };
        let mut client = self.world.send_raw(&sent).await;
        settle().await;
        let mut asked = Vec::new();
        while let Some(mut upstream) = self.world.origin.waiting().await {
            upstream.begin().await;
            upstream.events([format!("new for {tenant} at {path}")]).await;
            asked.push(upstream);
        }
        client.read().await;
        let (head, body) = (client.head.clone(), client.text());
        Answer { status: client.status, resume: client.resume().to_owned(), head, body }
    }
}

struct Answer {
    status: u16,
    resume: String,
    head: String,
    body: String,
}

impl Answer {
    /// What a new client of a new session would see another of: the session's name.
    fn plain(&self) -> String {
        let mut plain =
            self.head.lines().filter(|line| !line.starts_with("date: ")).collect::<Vec<_>>().join("\n");
        for line in self.body.lines() {
            plain += "\n";
            plain += match line
                .strip_prefix("id:")
                .map(str::trim_start)
                .filter(|id| id.starts_with('r'))
                .and_then(|id| id.split_once('-'))
            {
                Some((_, seq)) => seq,
                None => line,
            };
        }
        format!("{} {plain}", self.status)
    }
}

#[tokio::test(start_paused = true)]
async fn no_id_shows_anybody_what_is_not_theirs() {
    let count = std::env::var("REPLAY_IDS").ok().map_or(IDS, |text| text.parse().expect("a number"));
    let mut trial = Trial::new().await;
    let mut said: HashMap<String, usize> = HashMap::new();
    let mut alike: HashMap<(&str, &str), String> = HashMap::new();
    for n in 0..count {
        let (kind, path, tenant) = (KINDS[n % KINDS.len()], PATHS[n / 6 % PATHS.len()], TENANTS[n / 30 % 4]);
        let id = trial.id(kind, path, tenant);
        let answer = trial.answer(path, tenant, &id).await;
        let shown = String::from_utf8_lossy(&id);
        for event in answer.body.lines().filter_map(|line| line.strip_prefix("data: ")) {
            let own = [format!("secret of {tenant} at {path}"), format!("new for {tenant} at {path}")];
            assert!(
                own.iter().any(|own| own == event),
                "{tenant} at {path} with {kind:?} {shown:?}: {event}"
            );
        }
        let place = matches!(answer.resume.as_str(), "gap; reason=expired" | "gap; reason=ahead")
            || answer.resume.starts_with("resumed");
        let own = &trial.streams[&(path, tenant)].ids[9];
        let own = own.rsplit_once('-').map_or(own.as_str(), |(run, _)| run);
        let of_its_own = path == "/numbered" || shown.starts_with(own);
        assert!(!place || of_its_own, "{tenant} at {path} with {kind:?} {shown:?}: {}", answer.resume);
        match kind {
            // What no window has of another's form is the upstream's to know.
            Kind::Expired | Kind::Ahead if path == "/numbered" => {}
            Kind::Expired => assert_eq!(answer.resume, "gap; reason=expired", "{tenant} at {path}"),
            Kind::Ahead => {
                assert_eq!(answer.resume, "gap; reason=ahead", "{tenant} at {path}")
            }
            _ => {}
        }
        if matches!(kind, Kind::Forged | Kind::Anothers | Kind::Ended) {
            let plain = answer.plain();
            let first = alike.entry((path, tenant)).or_insert_with(|| plain.clone());
            assert_eq!(*first, plain, "{tenant} at {path} with {kind:?} {shown:?}");
        }
        *said.entry(format!("{kind:?} {}", answer.resume)).or_default() += 1;
    }
    // What never happens cannot fail.
    for what in [
        "Forged gap; reason=generation",
        "Anothers gap; reason=generation",
        "Ended gap; reason=generation",
        "Expired gap; reason=expired",
        "Ahead gap; reason=ahead",
        "Malformed foreign",
    ] {
        assert!(said.get(what).is_some_and(|times| times * 40 > count), "{what}: {said:?}");
    }
}

/// To whom the upstream says no, an id is worth nothing: not even one's own, where the stream is not one's own connection. And
/// what is said to a forged one is said to all others.
#[tokio::test(start_paused = true)]
async fn to_whom_the_upstream_says_no_all_ids_are_alike() {
    let mut trial = Trial::new().await;
    for (path, tenant) in PATHS.iter().flat_map(|path| TENANTS.map(|tenant| (*path, tenant))) {
        let mut ids = vec![Vec::new()];
        for kind in [Kind::Forged, Kind::Anothers, Kind::Ended] {
            ids.extend((0..5).map(|_| trial.id(kind, path, tenant)));
        }
        if matches!(path, "/all" | "/room") {
            ids.extend(trial.streams[&(path, tenant)].ids.iter().map(|own| own.clone().into_bytes()));
        }
        let mut said = Vec::new();
        for id in ids {
            let mut client = trial.world.send_raw(&request(path, tenant, &id)).await;
            settle().await;
            let mut asked = 0;
            while let Some(mut upstream) = trial.world.origin.waiting().await {
                upstream.raw("HTTP/1.1 401 No\r\nWWW-Authenticate: x\r\nContent-Length: 2\r\n\r\nno").await;
                asked += 1;
            }
            client.read().await;
            let shown = String::from_utf8_lossy(&id).into_owned();
            assert_eq!((client.status, client.text().as_str(), asked), (401, "no", 1), "{path} {shown}");
            said.push(client.head.clone());
        }
        assert!(said.iter().all(|head| *head == said[0]), "{path} {tenant}: {said:?}");
    }
}
