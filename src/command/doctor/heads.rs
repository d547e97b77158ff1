//! What the heads of answers tell. Pure.

use std::time::Duration;

use super::{
    finding::{self as found, Finding, seconds},
    judge::Seen,
    visit::{End, Head, Visit},
};
use crate::plain::brief;

/// A head that takes as long as this, and then comes with the first event, was held back.
const LONG: Duration = Duration::from_secs(1);

/// There is nothing that could be watched.
pub(super) fn no_stream(visit: &Visit) -> Option<Finding> {
    let Some(head) = &visit.head else {
        return Some(match &visit.end {
            End::Untrusted(why) => found::UNTRUSTED.seen(why.clone()),
            End::Unreachable(why) => found::UNREACHABLE.seen(why.clone()),
            End::Lost(why) => {
                let waited = seconds(visit.ended.saturating_sub(visit.asked));
                found::UNANSWERED
                    .seen(format!("the connection was closed after {waited}, before an answer: {why}"))
            }
            End::Left | End::Cut | End::Over => {
                let waited = seconds(visit.ended.saturating_sub(visit.asked));
                found::HOLDS_HEAD.seen(format!("no answer within {waited}, not even a head"))
            }
        });
    };
    (!head.is_stream && !head.is_compressed_stream())
        .then(|| found::NO_STREAM.seen(told(head, &visit.excerpt)))
}

/// What an answer was that is no stream.
pub(super) fn told(head: &Head, excerpt: &[u8]) -> String {
    let kind = head
        .kind
        .as_deref()
        .map_or("no Content-Type".to_owned(), |kind| format!("Content-Type: {}", brief(kind)));
    let mut text = format!("status {}, {kind}", head.status);
    if head.is_sized && head.status == 200 {
        text += ", with a Content-Length, so that it is no stream";
    }
    if let Some(location) = &head.location {
        text += &format!(", Location: {}", brief(location));
    }
    if !excerpt.is_empty() {
        text += &format!(", and it begins with {:?}", String::from_utf8_lossy(excerpt));
    }
    text
}

/// The stream is compressed, for a browser at least.
pub(super) fn compressed(seen: &Seen) -> Option<Finding> {
    let asked = seen.probe.head.as_ref()?.coding.clone();
    let unasked = seen.visits().find_map(|visit| visit.head.as_ref()?.coding.clone());
    match (unasked, asked) {
        (Some(coding), _) => Some(
            found::COMPRESSED
                .seen(format!("Content-Encoding: {}, although identity was asked for", brief(&coding))),
        ),
        (None, Some(coding)) => Some(
            found::COMPRESSED
                .seen(format!("Content-Encoding: {}, to a request such as a browser's", brief(&coding))),
        ),
        (None, None) => None,
    }
}

/// Heads came late, and at once with what follows them: on all connections that were opened while nothing happened.
pub(super) fn holds_head(seen: &Seen) -> Option<Finding> {
    let waited = |visit: &Visit| Some(visit.head.as_ref()?.at.saturating_sub(visit.asked));
    let with_first = |visit: &&Visit| {
        let (Some(head), Some(first)) = (&visit.head, visit.first) else { return false };
        first.saturating_sub(head.at) * 10 <= head.at.saturating_sub(visit.asked)
    };
    let opened = [seen.alone.first()?, seen.cut.first()?];
    let silent =
        opened.iter().filter(|visit| visit.head.is_none() && visit.ended - visit.asked >= LONG).count();
    if silent == opened.len() {
        let waited = seconds(opened[0].ended - opened[0].asked);
        return Some(found::HOLDS_HEAD.seen(format!("no head within {waited} on a quiet stream")));
    }
    let held = opened.into_iter().chain([&seen.probe]).map(waited).collect::<Option<Vec<_>>>()?;
    let shortest = held.into_iter().min().filter(|shortest| *shortest >= LONG)?;
    let all = opened.iter().all(with_first);
    let direct = seen
        .direct
        .iter()
        .filter_map(waited)
        .min()
        .map_or(String::new(), |direct| format!("; directly it came after {}", seconds(direct)));
    let said =
        format!("the head came after {} and more, at once with the first bytes{direct}", seconds(shortest));
    all.then(|| found::HOLDS_HEAD.seen(said))
}
