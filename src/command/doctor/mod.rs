//! `respool doctor URL`: proof on the real path, for an operator who wants it.
//!
//! ```text
//!            ┌── left alone ──────────────── what it dispatched ──┐
//! the path ◀─┤                                                    ├─▶ compared
//!            └── cut, back with its id, cut ─ what it dispatched ─┘
//! ```
//!
//! `client` and `watch` move bytes; whatever decides, from what an event is to what was found, takes what was seen with
//! its times and is pure. With `--suggest` (`suggest`) it watches a bare event server, and proposes a configuration.

use std::{
    io::{self, Write},
    time::Duration,
};

use tokio::{
    sync::watch::{Receiver, Sender},
    time::{Instant, interval, sleep},
};

use crate::{
    dice::Dice,
    drain::{self, Signals},
};

mod client;
mod compare;
mod delay;
mod finding;
mod heads;
mod ids;
mod judge;
mod report;
mod suggest;
mod target;
mod visit;
mod watch;

pub use target::{Header, Target, TargetError};

use client::{Client, Plan};
use judge::Seen;
use report::Report;
use visit::Visit;
use watch::{Cuts, Tally};

/// The least that [`Settings::length`] may be.
pub const SHORTEST: Duration = Duration::from_secs(1);
/// The most that [`Settings::length`] may be.
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the client that was cut may take to get what the other one has, once the time is over.
const GRACE: Duration = Duration::from_secs(3);
/// How long an answer is waited for at least: respool itself waits for an event server that cannot be reached, 5 s unless told
/// otherwise, and then closes the connection.
const PATIENCE: Duration = Duration::from_secs(7);
/// How long an event may come later by one connection to a server than by another.
const SETTLED: Duration = Duration::from_millis(250);
/// How often one looks whether it has.
const LOOK: Duration = Duration::from_millis(20);
/// How often progress is drawn.
const DRAWN: Duration = Duration::from_millis(200);

/// How the doctor looks.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The stream.
    pub target: Target,
    /// The same stream past everything: at the event server itself.
    pub direct: Option<Target>,
    /// Headers to ask with besides what a browser sends.
    pub headers: Vec<Header>,
    /// How long.
    pub length: Duration,
    /// How often one of the two connections is cut.
    pub cuts: u32,
    /// The target is a bare event server: a configuration is proposed.
    pub suggest: bool,
    /// The report is an object.
    pub json: bool,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness")]
    Dice(#[from] rand::rngs::SysError),
    /// A signal handler or the output.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Watches the stream, and says on `out` what was found; on `progress`, where there is a terminal, how it goes; and on `err`
/// why nothing could be written on `out`. Ends earlier at SIGINT or SIGTERM, with what was seen by then. True if nothing is
/// wrong.
///
/// # Errors
///
/// When nothing can be said.
pub async fn run(
    settings: Settings,
    (out, err): (&mut impl Write, &mut impl Write),
    progress: Option<&mut dyn Write>,
) -> Result<bool, DoctorError> {
    let mut patient = Patient::new(&settings, progress)?;
    if settings.suggest {
        return suggest::run(patient, &settings, out, err).await;
    }
    let seen = patient.examine(&settings).await?;
    let report = Report::of(settings.target.to_string(), patient.client.now(), &seen);
    if settings.json {
        report.write_json(out)?;
    } else {
        report.write(out)?;
    }
    Ok(report.whole)
}

/// A run: who asks, when it is over, and where its progress is shown.
struct Patient<'a> {
    client: Client,
    signals: Signals,
    progress: Option<&'a mut dyn Write>,
}

impl<'a> Patient<'a> {
    fn new(settings: &Settings, progress: Option<&'a mut dyn Write>) -> Result<Self, DoctorError> {
        let client = Client {
            target: settings.target.clone(),
            headers: settings.headers.clone(),
            keep: false,
            start: Instant::now(),
            dice: Dice::new()?,
        };
        Ok(Self { client, signals: drain::signals()?, progress })
    }

    async fn examine(&mut self, settings: &Settings) -> Result<Seen, DoctorError> {
        let probe = self.probe(settings.length).await;
        if heads::no_stream(&probe).is_some() {
            return Ok(Seen::probed(probe));
        }
        let (from, tally) = (Instant::now(), Tally::default());
        let ((over, stop), (end, last)) = (channel(), channel());
        let cuts = self.cuts(settings, from);
        let alone = tokio::spawn(watch::alone(self.client.clone(), tally.clone(), stop.clone()));
        let cut = tokio::spawn(watch::cut(self.client.clone(), tally.clone(), cuts, last));
        let late = tokio::spawn(watch::once(self.client.clone(), settings.length / 2, None, stop.clone()));
        let direct = settings.direct.iter().flat_map(|direct| [direct; 2]).map(|direct| {
            let client = Client { target: direct.clone(), ..self.client.clone() };
            tokio::spawn(watch::once(client, Duration::ZERO, None, stop.clone()))
        });
        let direct: Vec<_> = direct.collect();
        let line = || {
            let counts = tally.counts();
            let times = finding::count(counts.cuts, "cut");
            format!("{} events left alone, {} cut; {times}", counts.alone, counts.cut)
        };
        self.wait(from, settings.length, &line).await?;
        over.send_replace(true);
        let alone = joined(alone).await?;
        tally.counts().end_alone();
        caught_up(&tally).await;
        end.send_replace(true);
        let mut seen =
            Seen { alone, cut: joined(cut).await?, late: joined(late).await?, ..Seen::probed(probe) };
        for direct in direct {
            seen.direct.extend(joined(direct).await?);
        }
        seen.cuts = tally.counts().cuts;
        Ok(seen)
    }

    /// Asks once, as a browser does, and leaves with the head.
    async fn probe(&mut self, length: Duration) -> Visit {
        let (over, mut stop) = channel();
        let client = self.client.clone();
        let mut heard = |_: &visit::Event| {};
        let mut visit = std::pin::pin!(client.visit(None, Plan::Head, &mut stop, &mut heard));
        tokio::select! {
            visit = &mut visit => return visit,
            () = sleep(length.max(PATIENCE)) => {}
            _ = self.signals.next() => {}
        }
        over.send_replace(true);
        visit.await
    }

    /// Cuts over all the time but for its end, in which what was missed can arrive.
    fn cuts(&self, settings: &Settings, from: Instant) -> Cuts {
        let calm = (settings.length / 4).min(Duration::from_secs(2));
        let slot = (settings.length - calm) / settings.cuts.max(1);
        Cuts { from, slot, times: settings.cuts }
    }

    /// Waits until the time is over or somebody ends it (true), and shows how it goes.
    async fn wait(
        &mut self,
        from: Instant,
        length: Duration,
        line: &(dyn Fn() -> String + Sync),
    ) -> io::Result<bool> {
        let mut tick = interval(DRAWN);
        let mut over = std::pin::pin!(tokio::time::sleep_until(from + length));
        let early = loop {
            tokio::select! {
                () = &mut over => break false,
                _ = self.signals.next() => break true,
                _ = tick.tick() => {}
            }
            let Some(progress) = &mut self.progress else { continue };
            write!(progress, "\r\x1b[2K{} s: {}", from.elapsed().as_secs(), line())?;
            progress.flush()?;
        };
        if let Some(progress) = &mut self.progress {
            write!(progress, "\r\x1b[2K")?;
            progress.flush()?;
        }
        Ok(early)
    }
}

/// Waits until the client that was cut has what the other one has, or will not get it any more.
async fn caught_up(tally: &Tally) {
    let end = Instant::now() + GRACE;
    while Instant::now() < end && !tally.counts().is_even() {
        sleep(LOOK).await;
        if tally.counts().is_past() {
            // A server may write to its connections in any order.
            sleep(SETTLED).await;
            return;
        }
    }
}

fn channel() -> (Sender<bool>, Receiver<bool>) {
    tokio::sync::watch::channel(false)
}

/// What a task of ours has come to. It is never aborted, so that it fails by a panic alone.
async fn joined<T>(task: tokio::task::JoinHandle<T>) -> io::Result<T> {
    task.await.map_err(io::Error::other)
}
