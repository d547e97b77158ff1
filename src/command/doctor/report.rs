//! What is said of a run: in words, or as an object.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    time::Duration,
};

use serde::Serialize;

use super::{
    compare::Comparison,
    finding::{Finding, count, seconds},
    judge::{Seen, judge},
    visit::Visit,
};
use crate::plain;

/// No more types are named.
const TYPES: usize = 20;

/// A run and what came of it, as `--json` shows it. Times are in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    pub(super) url: String,
    /// Nothing is wrong.
    pub(super) whole: bool,
    pub(super) milliseconds: u64,
    pub(super) events: Events,
    pub(super) connections: Connections,
    pub(super) cuts: u64,
    pub(super) returns: Returns,
    pub(super) lost: u64,
    pub(super) repeated: u64,
    pub(super) reordered: usize,
    pub(super) times: Times,
    pub(super) findings: Vec<Finding>,
}

/// How many events came.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Events {
    /// To the client that was left alone.
    pub(super) alone: usize,
    /// To the client that was cut, over all its connections.
    pub(super) cut: usize,
    /// Those that both should have, and that can be told apart.
    pub(super) compared: usize,
    /// Types that have no ids although others do, and so are not kept for who is away.
    pub(super) types_not_kept: Vec<String>,
    /// Types that are each connection's own.
    pub(super) types_own: Vec<String>,
}

/// How many connections were made by each of the two.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Connections {
    pub(super) alone: usize,
    pub(super) cut: usize,
}

/// How those were answered who came back with an id: what `Respool-Resume` says.
#[derive(Clone, Default, Debug, Serialize)]
pub(super) struct Returns {
    pub(super) resumed: usize,
    /// The sum of their `missed`.
    pub(super) missed: u64,
    pub(super) fresh: usize,
    pub(super) gap: usize,
    pub(super) foreign: usize,
    /// Streams without that header.
    pub(super) untold: usize,
    /// What was no stream.
    pub(super) refused: usize,
}

/// What the first connection that was left alone took.
#[derive(Clone, Default, Debug, Serialize)]
pub(super) struct Times {
    pub(super) head: Option<u64>,
    pub(super) first_byte: Option<u64>,
    pub(super) longest_silence: u64,
}

impl Report {
    pub(super) fn of(url: String, length: Duration, seen: &Seen) -> Self {
        let (comparison, findings) = judge(seen);
        Self::new(url, length, seen, comparison, findings)
    }

    /// Of a run that came to nothing but this.
    pub(super) fn found(url: String, length: Duration, seen: &Seen, findings: Vec<Finding>) -> Self {
        Self::new(url, length, seen, Comparison::default(), findings)
    }

    fn new(
        url: String,
        length: Duration,
        seen: &Seen,
        comparison: Comparison,
        findings: Vec<Finding>,
    ) -> Self {
        let (lost, repeated) = (comparison.losses(), comparison.repeats());
        Self {
            url,
            whole: !findings.iter().any(|finding| finding.wrong),
            milliseconds: millis(length),
            connections: Connections { alone: seen.alone.len(), cut: seen.cut.len() },
            cuts: seen.cuts,
            returns: Returns::of(seen),
            lost,
            repeated,
            reordered: comparison.reordered,
            times: seen.alone.first().map(Times::of).unwrap_or_default(),
            events: Events::of(seen, comparison),
            findings,
        }
    }

    /// As an object, on lines of its own.
    pub(super) fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{}", plain::json(&serde_json::to_string_pretty(self)?))?;
        out.flush()
    }

    /// In words.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        if !self.events.is_nothing() || self.connections.alone > 0 {
            self.write_numbers(out)?;
        }
        for finding in &self.findings {
            write_finding(finding, out)?;
        }
        let wrong = self.findings.iter().filter(|finding| finding.wrong).count() as u64;
        if self.whole {
            writeln!(
                out,
                "Whole: {} that both should have came to both, once and in order.",
                self.compared()
            )?;
        } else {
            writeln!(out, "NOT whole: {} of {}.", count(wrong, "finding"), self.url)?;
        }
        out.flush()
    }

    fn compared(&self) -> String {
        count(self.events.compared as u64, "event")
    }

    fn write_numbers(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { events, returns, .. } = self;
        let connections = |number: usize| count(number as u64, "connection");
        writeln!(out, "{}, watched for {}", self.url, seconds(Duration::from_millis(self.milliseconds)))?;
        let (alone, cut) = (count(events.alone as u64, "event"), count(events.cut as u64, "event"));
        writeln!(out, "  left alone  {alone} by {}", connections(self.connections.alone))?;
        writeln!(
            out,
            "  cut         {cut} by {}; {}, {} resumed with {} made up for",
            connections(self.connections.cut),
            count(self.cuts, "cut"),
            returns.resumed,
            count(returns.missed, "missed event"),
        )?;
        let Self { lost, repeated, reordered, .. } = self;
        writeln!(
            out,
            "  compared    {}: {lost} lost, {repeated} repeated, {reordered} out of order, {} answered by a gap",
            self.compared(),
            returns.gap
        )?;
        let time =
            |time: Option<u64>| time.map_or("none".to_owned(), |time| seconds(Duration::from_millis(time)));
        let Times { head, first_byte, longest_silence } = &self.times;
        writeln!(
            out,
            "  times       head {}, first byte {}, longest silence {}",
            time(*head),
            time(*first_byte),
            time(Some(*longest_silence))
        )?;
        let Events { types_not_kept, types_own, .. } = &self.events;
        for (what, types, why) in [
            ("not kept", types_not_kept, "they have no ids; not compared"),
            ("own", types_own, "they differ on each connection; not compared"),
        ] {
            if !types.is_empty() {
                writeln!(out, "  {what:<12}{} ({why})", types.join(", "))?;
            }
        }
        writeln!(out)
    }
}

fn write_finding(finding: &Finding, out: &mut impl Write) -> io::Result<()> {
    let Finding { code, wrong, seen, means, remedy, lines } = finding;
    writeln!(out, "{}: {code}", if *wrong { "wrong" } else { "note" })?;
    writeln!(out, "  seen:   {seen}")?;
    writeln!(out, "  means:  {means}")?;
    writeln!(out, "  remedy: {remedy}")?;
    for (of, lines) in lines.iter().map(|lines| (lines.of, lines.lines)) {
        for (at, line) in lines.iter().enumerate() {
            let of = if at == 0 { format!("{of}:") } else { String::new() };
            writeln!(out, "    {of:<9} {line}")?;
        }
    }
    writeln!(out)
}

/// What the first types are called.
fn named(types: BTreeSet<String>) -> Vec<String> {
    types.iter().take(TYPES).map(|kind| plain::brief(kind).into_owned()).collect()
}

impl Events {
    fn of(seen: &Seen, comparison: Comparison) -> Self {
        let number = |visits: &[Visit]| visits.iter().map(|visit| visit.events.len()).sum();
        Self {
            alone: number(&seen.alone),
            cut: number(&seen.cut),
            compared: comparison.compared,
            types_not_kept: named(comparison.unkept),
            types_own: named(comparison.own),
        }
    }

    fn is_nothing(&self) -> bool {
        self.alone + self.cut == 0
    }
}

impl Returns {
    fn of(seen: &Seen) -> Self {
        let mut returns = Self::default();
        for visit in seen.returns() {
            match visit.resume().map(|said| said.split(';').next().unwrap_or(said)) {
                _ if visit.is_refused() => returns.refused += 1,
                Some("resumed") => returns.resumed += 1,
                Some("fresh") => returns.fresh += 1,
                Some("gap") => returns.gap += 1,
                Some("foreign") => returns.foreign += 1,
                _ => returns.untold += 1,
            }
            let missed = visit.resume().and_then(|said| said.split_once("missed=")?.1.parse::<u64>().ok());
            returns.missed += missed.unwrap_or(0);
        }
        returns
    }
}

impl Times {
    fn of(visit: &Visit) -> Self {
        let since = |at: Duration| millis(at.saturating_sub(visit.asked));
        Self {
            head: visit.head.as_ref().map(|head| since(head.at)),
            first_byte: visit.first.map(since),
            longest_silence: millis(visit.silence),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
