//! What a connection is ended for: that its client did more of something than is taken, by HTTP/2, or took longer for a head
//! than is waited. Each is counted, and told in the log; none of these limits is a setting.

use std::{
    error::Error as _,
    sync::Arc,
    time::{Duration, Instant},
};

use h2::Reason;

use crate::{
    metrics::{Counts, Label as _, Overuse},
    seldom::Seldom,
};

/// What a limit that is no setting is called where others have the name of theirs.
const FIXED: &str = "fixed";

/// Counts and tells what connections are ended for. Clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Overuses {
    counts: Option<Counts<Overuse>>,
    told: Arc<Told>,
}

#[derive(Debug, Default)]
struct Told {
    head: Seldom,
    frames: Seldom,
    given_up: Seldom,
    protocol: Seldom,
}

impl Overuses {
    /// Those that are counted here.
    pub(super) fn counted(counts: Counts<Overuse>) -> Self {
        Self { counts: Some(counts), told: Arc::default() }
    }

    /// A client began a head, and did not come to its end within this time.
    pub(super) fn note_head(&self, limit: Duration) {
        self.note(Overuse::Head, &self.told.head, |reason, times| {
            let setting = FIXED;
            tracing::warn!(
                reason,
                ?limit,
                setting,
                times,
                "a connection was ended: the head of its request did not come in time"
            );
        });
    }

    /// A client sent more frames that ask for nothing than so many at once.
    pub(super) fn note_frames(&self, limit: u32) {
        self.note_limit(Overuse::Frames, &self.told.frames, limit);
    }

    /// A client gave up more requests than so many at once before they were answered.
    pub(super) fn note_given_up(&self, limit: u32) {
        self.note_limit(Overuse::GivenUp, &self.told.given_up, limit);
    }

    fn note_limit(&self, what: Overuse, told: &Seldom, limit: u32) {
        self.note(what, told, |reason, times| {
            let setting = FIXED;
            tracing::warn!(
                reason,
                limit,
                setting,
                times,
                "a connection was ended: its client did more than is taken"
            );
        });
    }

    /// A connection ended with this fault, which may be that HTTP/2 itself takes no more of something.
    pub(super) fn note_fault(&self, fault: &hyper::Error) {
        let Some(error) = fault.source().and_then(|source| source.downcast_ref::<h2::Error>()) else {
            return;
        };
        if error.is_library() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM) {
            self.note(Overuse::Protocol, &self.told.protocol, |reason, times| {
                let setting = FIXED;
                tracing::warn!(
                    reason,
                    %error,
                    setting,
                    times,
                    "a connection was ended: its client did more than is taken"
                );
            });
        }
    }

    fn note(&self, what: Overuse, told: &Seldom, tell: impl FnOnce(&'static str, u64)) {
        if let Some(counts) = &self.counts {
            counts.count(what);
        }
        if let Some(times) = told.again(Instant::now()) {
            tell(what.text(), times);
        }
    }
}
