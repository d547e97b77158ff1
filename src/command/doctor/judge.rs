//! From what was seen to what was found. Pure.

use std::time::Duration;

use super::{
    compare::{Comparison, compare},
    delay::Delay,
    finding::{self as found, Finding, count, seconds},
    heads::{compressed, holds_head, no_stream, told},
    ids::{self, Ids},
    visit::{End, Event, Visit},
};
use crate::plain::brief;

/// A connection that was silent for less was not idle.
const IDLE: Duration = Duration::from_millis(400);

/// Everything that was seen.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// The first connection of all: it asked as a browser does, for whatever coding, and left with the head.
    pub(super) probe: Visit,
    /// The connections of the client that was left alone.
    pub(super) alone: Vec<Visit>,
    /// Those of the client that was cut.
    pub(super) cut: Vec<Visit>,
    /// One that was opened later on.
    pub(super) late: Option<Visit>,
    /// Two connections past everything, if there is a way.
    pub(super) direct: Vec<Visit>,
    /// How often it was cut.
    pub(super) cuts: u64,
}

impl Seen {
    /// Only the probe came to something.
    pub(super) fn probed(probe: Visit) -> Self {
        Self { probe, alone: Vec::new(), cut: Vec::new(), late: None, direct: Vec::new(), cuts: 0 }
    }

    /// All connections to the stream but the probe.
    pub(super) fn visits(&self) -> impl Iterator<Item = &Visit> {
        self.alone.iter().chain(&self.cut).chain(&self.late)
    }

    /// Connections with which a client came back.
    pub(super) fn returns(&self) -> impl Iterator<Item = &Visit> {
        self.alone.iter().chain(&self.cut).filter(|visit| visit.cursor.is_some() && visit.head.is_some())
    }
}

/// All findings, what explains others first.
pub(super) fn judge(seen: &Seen) -> (Comparison, Vec<Finding>) {
    if let Some(finding) = no_stream(&seen.probe) {
        return (Comparison::default(), vec![finding]);
    }
    let comparison = compare(&seen.alone, &seen.cut);
    let mut found: Vec<Finding> = Vec::new();
    found.extend(compressed(seen));
    found.extend(holds_head(seen));
    found.extend(buffers(seen, &comparison));
    found.extend(ends(seen));
    found.extend(answers(seen));
    found.extend(ids(seen));
    found.extend(differences(&comparison));
    found.extend(unproven(seen, &comparison));
    found.sort_by_key(|finding| !finding.wrong);
    (comparison, found)
}

fn buffers(seen: &Seen, comparison: &Comparison) -> Option<Finding> {
    let delay = Delay::of(&seen.alone, &seen.cut, &seen.direct);
    let mut what = Vec::new();
    if delay.withheld > 0 {
        what.push(format!("nothing came, and {} directly", count(delay.withheld as u64, "event")));
    }
    if !delay.behind.is_empty() {
        what.push(format!("{} came later than directly", count(delay.behind.len() as u64, "event")));
    }
    if !delay.skewed.is_empty() {
        let events = count(delay.skewed.len() as u64, "event");
        what.push(format!("{events} came later by one open connection than by the other"));
    }
    if !delay.halves.is_empty() {
        what.push(format!(
            "half an event stood {} before the rest came",
            count(delay.halves.len() as u64, "time")
        ));
    }
    let mut said = what.join("; ");
    if !delay.longest().is_zero() {
        said += &format!("; by up to {}", seconds(delay.longest()));
    }
    if delay.is_proven(comparison.is_one_stream) {
        Some(found::BUFFERS.seen(said))
    } else {
        (delay.is_uneven() && seen.direct.is_empty()).then(|| found::UNEVEN.seen(said))
    }
}

/// Connections that nobody cut and that ended all the same.
fn ends(seen: &Seen) -> Vec<Finding> {
    let all: Vec<_> = seen.visits().filter_map(|visit| Some((visit, visit.ended_idle()?))).collect();
    // A timeout is at the end of the longest silence of all.
    let is_idle =
        |(visit, (idle, _)): &(&Visit, (Duration, Duration))| *idle >= IDLE && *idle * 5 >= visit.silence * 4;
    let (idle, busy): (Vec<_>, Vec<_>) = all.into_iter().partition(is_idle);
    let mut found = Vec::new();
    if let Some((visit, (silent, lived))) = idle.iter().max_by_key(|(_, (idle, _))| *idle) {
        let how = if visit.end == End::Over { "ended" } else { "cut off" };
        let times = count(idle.len() as u64, "connection");
        found.push(found::ENDS_IDLE.seen(format!(
            "{times} {how} while idle: after {} in which nothing came; it lived for {}",
            seconds(*silent),
            seconds(*lived)
        )));
    }
    if let Some((_, (_, lived))) = busy.iter().max_by_key(|(_, (_, lived))| *lived) {
        let times = count(busy.len() as u64, "connection");
        found.push(
            found::ENDED.seen(format!("{times}; the one that lived longest did for {}", seconds(*lived))),
        );
    }
    found
}

/// How clients were answered that came back.
fn answers(seen: &Seen) -> Vec<Finding> {
    let mut found = Vec::new();
    let refused: Vec<_> = seen.visits().filter(|visit| visit.is_refused()).collect();
    if let Some((visit, head)) = refused.iter().find_map(|visit| Some((visit, visit.head.as_ref()?)))
        && !head.is_compressed_stream()
    {
        found.push(found::REFUSED.seen(told(head, &visit.excerpt)));
    }
    let said = |start: &str| {
        let those = seen.returns().filter_map(Visit::resume).filter(|said| said.starts_with(start));
        those.map(str::to_owned).collect::<Vec<_>>()
    };
    let returns = seen.returns().count() as u64;
    let of_all = |some: usize| format!("{} of {}", some, count(returns, "return"));
    let (fresh, gaps, foreign) = (said("fresh"), said("gap"), said("foreign"));
    if !fresh.is_empty() {
        let times = of_all(fresh.len());
        found.push(
            found::STRIPS_CURSOR.seen(format!(
                "{times} answered `fresh`, although a Last-Event-ID was sent: it did not arrive"
            )),
        );
    }
    if let Some(gap) = gaps.first() {
        found.push(found::GAP.seen(format!("{} answered `{}`", of_all(gaps.len()), brief(gap))));
    }
    if !foreign.is_empty() {
        found.push(found::FOREIGN.seen(format!("{} answered `foreign`", of_all(foreign.len()))));
    }
    if seen.visits().filter(|visit| visit.is_stream()).all(|visit| visit.resume().is_none()) && returns > 0 {
        found.push(found::NOT_RESPOOL.seen("no answer has the header Respool-Resume"));
    }
    found
}

/// Whether clients have something to come back with, and whether it is a place.
fn ids(seen: &Seen) -> Option<Finding> {
    let connections: Vec<Vec<&Event>> = [&seen.alone, &seen.cut]
        .into_iter()
        .map(|visits| visits.iter().flat_map(|visit| &visit.events).collect())
        .chain(seen.late.iter().map(|visit| visit.events.iter().collect()))
        .collect();
    let events = connections.first().map_or(0, Vec::len) as u64;
    let none = seen.alone.iter().chain(&seen.cut).all(|visit| visit.place.is_none());
    match ids::judge(&connections) {
        Ids::Counted => {
            Some(found::IDS_COUNTED.seen("the same events have other numbers on other connections"))
        }
        Ids::Random => Some(found::IDS_RANDOM.seen("the same events have other ids on other connections")),
        Ids::Repeated => Some(found::IDS_REPEATED.seen("one id came with several events")),
        Ids::None if none && events > 0 => {
            Some(found::NO_IDS.seen(format!("{} came, and no id", count(events, "event"))))
        }
        Ids::None | Ids::Unordered | Ids::Rising { .. } => None,
    }
}

/// What the comparison came to.
fn differences(comparison: &Comparison) -> Vec<Finding> {
    let mut found = Vec::new();
    if comparison.losses() > 0 {
        let first = comparison.lost.first().map_or(String::new(), |lost| {
            let id = lost
                .id
                .as_deref()
                .map_or("no id".into(), |id| format!("id {}", brief(&String::from_utf8_lossy(id))));
            format!(
                "; the first of them came to the other after {}: type `{}`, {id}",
                seconds(lost.at),
                brief(&lost.kind)
            )
        });
        let events = count(comparison.losses(), "event");
        found.push(found::LOST.seen(format!("{events} did not come to the client that was cut{first}")));
    }
    if comparison.repeats() > 0 {
        let events = count(comparison.repeats(), "event");
        found.push(found::REPEATED.seen(format!("{events} came again to the client that was cut")));
    }
    if comparison.reordered > 0 {
        let events = count(comparison.reordered as u64, "event");
        // Two connections to the server may differ; one cannot.
        let kind = if comparison.is_one_stream { &found::REORDERED } else { &found::SHUFFLED };
        found
            .push(kind.seen(format!("{events} came to the client that was cut before one that goes before")));
    }
    found
}

/// Why it may be that nothing was proven.
fn unproven(seen: &Seen, comparison: &Comparison) -> Option<Finding> {
    if seen.visits().any(|visit| visit.is_refused()) || seen.alone.is_empty() {
        return None;
    }
    let nothing = [&seen.alone, &seen.cut].into_iter().flatten().all(|visit| visit.events.is_empty());
    if nothing {
        return Some(found::SILENT.seen("no event on either connection"));
    }
    if seen.cuts == 0 {
        return Some(found::UNCUT.seen("no cut"));
    }
    let answered = |visit: &Visit| visit.head.as_ref().map_or(visit.asked, |head| head.at);
    let later = seen.cut.iter().skip(1);
    let times: Vec<_> = seen.cut.iter().zip(later).map(|(one, next)| (one.ended, answered(next))).collect();
    let meanwhile = |event: &&Event| times.iter().any(|(from, to)| (*from..*to).contains(&event.at));
    let events = seen.alone.iter().flat_map(|visit| &visit.events);
    let missed = events.filter(|event| !comparison.own.contains(&event.kind)).filter(meanwhile).count();
    (missed == 0).then(|| found::UNPROVEN.seen("no event while the connection was away"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::visit::{
        Recorder,
        tests::{ms, visit},
    };

    /// A stream on which nothing is wrong: an event each 100 ms, cut once between the third and the fifth.
    fn whole() -> Seen {
        let frame = |n: u64| format!("data: {n}\nid: r0000000000007-{n}\n\n");
        let seen = |from, cursor, resume, events: &mut dyn Iterator<Item = u64>, end| {
            let frames: Vec<_> = events.map(|n| ((n * 100).max(from + 2), frame(n))).collect();
            let pieces: Vec<_> = frames.iter().map(|(at, frame)| (*at, frame.as_str())).collect();
            visit(from, cursor, resume, &pieces, end)
        };
        Seen {
            probe: seen(0, "", "fresh", &mut std::iter::empty(), End::Left),
            alone: vec![seen(2, "", "fresh", &mut (1..=20), End::Left)],
            cut: vec![
                seen(2, "", "fresh", &mut (1..=3), End::Cut),
                seen(520, "r0000000000007-3", "resumed; missed=2", &mut (4..=20), End::Left),
            ],
            late: None,
            direct: Vec::new(),
            cuts: 1,
        }
    }

    #[track_caller]
    fn check(seen: &Seen, codes: &[&str]) {
        let found = judge(seen).1;
        assert_eq!(found.iter().map(|finding| finding.code).collect::<Vec<_>>(), codes, "{found:#?}");
    }

    fn mend(change: impl FnOnce(&mut Seen)) -> Seen {
        let mut seen = whole();
        change(&mut seen);
        seen
    }

    #[test]
    fn what_is_whole_has_no_finding() {
        check(&whole(), &[]);
    }

    #[test]
    fn what_is_no_stream_says_what_it_is() {
        let parts =
            http::Response::builder().status(404).header("content-type", "text/html").body(()).unwrap();
        let mut recorder = Recorder::new(ms(0), None, false);
        recorder.head(ms(1), &parts.into_parts().0);
        recorder.piece(ms(2), b"<html>");
        let (_, found) = judge(&Seen::probed(recorder.end(ms(3), End::Over)));
        assert_eq!(found[0].seen, "status 404, Content-Type: text/html, and it begins with \"<html>\"");
        let nobody = Visit { end: End::Unreachable("refused".into()), ..Visit::new(ms(0), None) };
        check(&Seen::probed(nobody), &["unreachable"]);
        let waited = Visit { ended: ms(9000), ..Visit::new(ms(0), None) };
        check(&Seen::probed(waited), &["holds-head"]);
    }

    #[test]
    fn a_coding_is_one_on_the_probe_too() {
        let gzip = |visit: &mut Visit| visit.head.as_mut().unwrap().coding = Some("gzip".into());
        check(&mend(|seen| gzip(&mut seen.probe)), &["compressed"]);
        check(&mend(|seen| gzip(&mut seen.alone[0])), &["compressed"]);
    }

    #[test]
    fn a_head_that_waits_for_the_first_event_is_held_back() {
        let late = |visit: &mut Visit, head: u64, first: u64| {
            visit.head.as_mut().unwrap().at = visit.asked + ms(head);
            visit.first = Some(visit.asked + ms(first));
        };
        let with = |first: u64| {
            mend(|seen| {
                late(&mut seen.probe, 1500, 1500);
                late(&mut seen.alone[0], 1500, first);
                late(&mut seen.cut[0], 1500, first);
            })
        };
        assert!(judge(&with(1502)).1.iter().any(|finding| finding.code == "holds-head"));
        assert!(!judge(&with(3000)).1.iter().any(|finding| finding.code == "holds-head"));
    }

    #[test]
    fn an_end_after_the_longest_silence_is_for_being_idle() {
        let ended = |idle: u64| {
            mend(|seen| {
                let visit = &mut seen.alone[0];
                (visit.end, visit.ended) = (End::Over, visit.last + ms(idle));
            })
        };
        check(&ended(700), &["ends-idle"]);
        check(&ended(10), &["ended"]);
        assert!(
            judge(&ended(700)).1[0].seen.contains("after 700 ms in which nothing came; it lived for 2.7 s")
        );
        check(
            &mend(|seen| {
                let visit = &mut seen.alone[0];
                (visit.end, visit.silence, visit.ended) = (End::Over, ms(2000), visit.last + ms(700));
            }),
            &["ended"],
        );
    }

    #[test]
    fn answers_to_who_comes_back_are_read() {
        let said = |said: &str| mend(|seen| seen.cut[1].head.as_mut().unwrap().resume = Some(said.into()));
        check(&said("fresh"), &["strips-last-event-id"]);
        check(&said("gap; reason=expired"), &["gap"]);
        check(&said("foreign"), &["foreign"]);
        check(
            &mend(|seen| {
                let head = seen.cut[1].head.as_mut().unwrap();
                (head.status, head.is_stream) = (503, false);
            }),
            &["refused"],
        );
    }

    #[test]
    fn what_is_not_respools_is_judged_by_the_comparison() {
        let bare = mend(|seen| {
            seen.alone
                .iter_mut()
                .chain(&mut seen.cut)
                .for_each(|visit| visit.head.as_mut().unwrap().resume = None);
        });
        check(&bare, &["not-respool"]);
        check(&mend(|seen| drop(seen.cut[1].events.remove(0))), &["lost"]);
    }

    #[test]
    fn another_order_is_wrong_where_it_is_one_stream() {
        let swap = |seen: &mut Seen| seen.cut[1].events.swap(3, 4);
        check(&mend(swap), &["reordered"]);
        let of_two = mend(|seen| {
            swap(seen);
            seen.alone.iter_mut().flat_map(|visit| &mut visit.events).for_each(|event| {
                event.id = event.id.take().map(|id| [b"r1", &id[2..]].concat().into());
            });
            seen.cut[1].events.iter_mut().for_each(|event| event.id = None);
        });
        check(&of_two, &["shuffled"]);
    }

    #[test]
    fn a_stream_without_ids_cannot_be_resumed() {
        let without = mend(|seen| {
            for visit in seen.alone.iter_mut().chain(&mut seen.cut) {
                (visit.place, visit.cursor) = (None, None);
                visit.events.iter_mut().for_each(|event| event.id = None);
            }
        });
        check(&without, &["no-ids"]);
    }

    #[test]
    fn nothing_is_proven_where_nothing_happened() {
        let silent =
            mend(|seen| seen.alone.iter_mut().chain(&mut seen.cut).for_each(|visit| visit.events.clear()));
        check(&silent, &["silent"]);
        check(&mend(|seen| seen.cuts = 0), &["uncut"]);
        check(&mend(|seen| seen.cut[1].head.as_mut().unwrap().at = seen.cut[0].ended), &["nothing-missed"]);
    }
}
