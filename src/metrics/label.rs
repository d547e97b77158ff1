//! The closed labels: what a metric can tell apart.

use std::{fmt, hash::Hash};

/// A label whose values are known when the program is built.
pub trait Label: Copy + Eq + Hash + fmt::Debug + Send + Sync + 'static {
    /// The label's name.
    const NAME: &'static str;
    /// Every value, each at its [`Label::place`].
    const ALL: &'static [Self];
    /// The value as it is read.
    fn text(self) -> &'static str;
    /// Where the value stands in [`Label::ALL`].
    fn place(self) -> usize;
}

macro_rules! label {
    ($(#[$about:meta])* $name:ident, $label:literal { $($(#[$doc:meta])* $value:ident = $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $name { $($(#[$doc])* $value,)+ }

        impl Label for $name {
            const NAME: &'static str = $label;
            const ALL: &'static [Self] = &[$(Self::$value,)+];
            fn text(self) -> &'static str {
                match self { $(Self::$value => $text,)+ }
            }
            fn place(self) -> usize {
                self as usize
            }
        }
    };
}

label! {
    /// The kind of a stream.
    Kind, "kind" {
        /// A session: one upstream connection for one client.
        Private = "private",
        /// One upstream connection for every client with the same key.
        Shared = "shared",
    }
}

label! {
    /// How a request for an event stream was answered.
    Answer, "answer" {
        /// It brought no id: a new client.
        Fresh = "fresh",
        /// It got everything that it missed.
        Resumed = "resumed",
        /// Its id is older than the window.
        GapExpired = "gap_expired",
        /// Its id is of another generation.
        GapGeneration = "gap_generation",
        /// Its id is ahead of the tail.
        GapAhead = "gap_ahead",
        /// Its id is none of ours: the upstream may know it.
        Foreign = "foreign",
        /// It was given no ids, so nothing is kept for it.
        Passed = "passed",
    }
}

label! {
    /// How the upstream answered when a stream was opened.
    Connect, "outcome" {
        /// With an event stream.
        Stream = "stream",
        /// With anything else.
        Refused = "refused",
        /// Not at all.
        Failed = "failed",
    }
}

label! {
    /// Where a client stands that is to be let into a shared stream.
    Admitting, "state" {
        /// It waits for its turn, or for somebody whose answer is its own too.
        Waiting = "waiting",
        /// The upstream was asked, and it has a place.
        Asking = "asking",
        /// The upstream was asked long ago, and it has no place any more.
        Late = "late",
    }
}

label! {
    /// What became of the admission of a client to a shared stream.
    Admission, "answer" {
        /// The upstream said yes: it answered with the stream.
        Yes = "yes",
        /// The upstream said no: it answered with anything else.
        No = "no",
        /// The upstream did not answer.
        Failed = "failed",
        /// A yes from before counted.
        Cached = "cached",
        /// Its place was given up, since the upstream was slow to answer; the answer itself is counted when it comes.
        Late = "late",
    }
}

label! {
    /// How a stream ended.
    End, "end" {
        /// The upstream ended it properly.
        Finished = "finished",
        /// The upstream's connection was lost.
        Lost = "lost",
        /// An event was larger than the limit.
        Oversized = "oversized",
        /// Its lingering upstream connection gave way to others, or its time was over.
        Evicted = "evicted",
        /// Its client moved onto a shared stream.
        Moved = "moved",
        /// The program is about to end.
        Drained = "drained",
    }
}

label! {
    /// How an opening event was dropped that asked what was answered.
    Dropped, "dropped" {
        /// It came after its answer, and went to nobody.
        Live = "live",
        /// It was retained when its answer came, and is given to nobody from then on.
        Withdrawn = "withdrawn",
    }
}

label! {
    /// How much came, in time, of the hello that a connection was to begin with.
    Hello, "hello" {
        /// All of its events.
        Complete = "complete",
        /// Some of them.
        Partial = "partial",
        /// Not one.
        None = "none",
    }
}

label! {
    /// Why a client was cut.
    Cut, "reason" {
        /// Its upstream was lost.
        Lost = "lost",
        /// What it had coming is no longer retained.
        Behind = "behind",
        /// The program is about to end.
        Drain = "drain",
        /// It took nothing for too long.
        Stalled = "stalled",
    }
}

label! {
    /// What became of a request.
    Outcome, "outcome" {
        /// The upstream answered it.
        Forwarded = "forwarded",
        /// We answered it: it was no request that may be forwarded.
        Refused = "refused",
        /// The upstream did not answer it, or answered nonsense.
        Failed = "failed",
    }
}

label! {
    /// What became of the configuration when it was read again.
    Reload, "result" {
        /// It is in force.
        Loaded = "loaded",
        /// It said nothing new.
        Unchanged = "unchanged",
        /// It was wrong, or could not be read: nothing has changed.
        Refused = "refused",
    }
}

label! {
    /// What became of a new certificate.
    Renewal, "result" {
        /// New clients are shown it.
        Done = "done",
        /// It cannot be used: they are shown the former one.
        Failed = "failed",
    }
}
