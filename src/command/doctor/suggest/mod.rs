//! `respool doctor --suggest URL`: watches the bare event server through several connections, and proposes the route.
//!
//! Two connections from the start, one that comes later, one that sends an id back, and, where credentials were given, one
//! without them. What follows from what they saw is pure.

use std::{
    io::Write,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::watch::Receiver, time::Instant};

use super::{
    DoctorError, Patient, Settings, channel,
    client::{Client, Plan},
    finding::{self, Finding},
    heads, joined,
    judge::Seen,
    report::Report,
    visit::Visit,
    watch,
};

mod hello;
mod kinds;
mod propose;
mod same;
mod written;

use propose::propose;
use written::Proposal;

/// What the connections saw.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    /// The two from the start.
    pub(super) first: Visit,
    pub(super) second: Visit,
    /// The one that came later.
    pub(super) late: Option<Visit>,
    /// The one that sent an id back, if there was one to send.
    pub(super) returning: Option<Visit>,
    /// The one without credentials, if there were some to leave out.
    pub(super) bare: Option<Visit>,
}

/// Watches, and writes a configuration file on `out`, or says on `err` why there is none: `out` is likely to be a file by then,
/// in which nobody would look for that. An object is one on `out`, whatever it says. True if there is a configuration.
///
/// # Errors
///
/// When nothing can be said.
pub(super) async fn run(
    mut patient: Patient<'_>,
    settings: &Settings,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Result<bool, DoctorError> {
    patient.client.keep = true;
    // Nobody has to wait to hear that there is nothing to watch.
    let probe = patient.probe(settings.length).await;
    let (visit, finding) = if let Some(finding) = no_bare_stream(&probe) {
        (probe, finding)
    } else {
        let watched = watch(&mut patient, settings).await?;
        let Some(finding) = refusal(&watched.first) else {
            return proposed(&watched, &patient, settings, out);
        };
        (watched.first, finding)
    };
    let url = settings.target.to_string();
    let report = Report::found(url, patient.client.now(), &Seen::probed(visit), vec![finding]);
    if settings.json {
        report.write_json(out)?;
    } else {
        report.write(err)?;
    }
    Ok(false)
}

fn proposed(
    watched: &Watched,
    patient: &Patient<'_>,
    settings: &Settings,
    out: &mut impl Write,
) -> Result<bool, DoctorError> {
    let proposal = Proposal::new(&settings.target, patient.client.now(), propose(watched));
    if settings.json {
        proposal.write_json(out)?;
    } else {
        out.write_all(proposal.config.as_bytes())?;
        out.flush()?;
    }
    Ok(true)
}

/// Nothing is there that could be watched.
fn no_bare_stream(visit: &Visit) -> Option<Finding> {
    let resume = visit.head.as_ref().and_then(|head| head.resume.as_ref());
    let is_respool = resume.map(|said| finding::IS_RESPOOL.seen(format!("Respool-Resume: {said}")));
    is_respool.or_else(|| heads::no_stream(visit))
}

/// Why nothing can be proposed.
fn refusal(visit: &Visit) -> Option<Finding> {
    let coding = visit.head.as_ref().filter(|head| !head.is_stream).and_then(|head| head.coding.as_ref());
    let compressed = coding.map(|coding| {
        finding::COMPRESSED.seen(format!("Content-Encoding: {coding}, although identity was asked for"))
    });
    no_bare_stream(visit).or(compressed)
}

async fn watch(patient: &mut Patient<'_>, settings: &Settings) -> Result<Watched, DoctorError> {
    let (from, length) = (Instant::now(), settings.length);
    let (over, stop) = channel();
    let client = patient.client.clone();
    let heard = Heard::default();
    let first = tokio::spawn(first(client.clone(), heard.clone(), stop.clone()));
    let once = |client: &Client, after, cursor| {
        tokio::spawn(watch::once(client.clone(), after, cursor, stop.clone()))
    };
    let second = once(&client, Duration::ZERO, None);
    let late = once(&client, length / 3, None);
    let mut bare = client.clone();
    bare.headers.retain(|header| !header.is_credential());
    let has_credentials = bare.headers.len() < client.headers.len();
    let bare = has_credentials.then(|| once(&bare, length / 4, None));
    let line = || format!("{} events", heard.number());
    let early = patient.wait(from, length / 2, &line).await?;
    let cursor = heard.cursor().filter(|_| !early);
    let returning = cursor.map(|cursor| once(&client, Duration::ZERO, Some(cursor)));
    if !early {
        patient.wait(from, length, &line).await?;
    }
    over.send_replace(true);
    Ok(Watched {
        first: joined(first).await?,
        // The run is not over before it begins.
        second: joined(second).await?.unwrap_or_else(|| Visit::new(Duration::ZERO, None)),
        late: joined(late).await?,
        returning: match returning {
            Some(returning) => joined(returning).await?,
            None => None,
        },
        bare: match bare {
            Some(bare) => joined(bare).await?,
            None => None,
        },
    })
}

/// The first connection, of whose ids one is sent back by another.
async fn first(client: Client, heard: Heard, mut stop: Receiver<bool>) -> Visit {
    let mut note = |event: &super::visit::Event| heard.note(event.id.clone());
    client.visit(None, Plan::Stay, &mut stop, &mut note).await
}

/// The ids that came so far, one for each event. Clones are the same ones.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<Option<Bytes>>>>);

impl Heard {
    fn note(&self, id: Option<Bytes>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(id);
    }

    fn number(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// An id that some events followed.
    fn cursor(&self) -> Option<Bytes> {
        let ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let followed = ids.iter().rev().skip(3).find_map(Clone::clone);
        followed.or_else(|| ids.iter().find_map(Clone::clone))
    }
}
