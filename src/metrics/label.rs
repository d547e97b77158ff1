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
    /// How a pump came to an end.
    End, "end" {
        /// The upstream ended the stream properly.
        Finished = "finished",
        /// Continuity was lost; why is counted as a [`Break`].
        Broken = "broken",
        /// Nobody listened, and nobody had an id to come back with.
        Abandoned = "abandoned",
        /// Nobody came back in time.
        Lingered = "lingered",
        /// Nobody listened, and too many others lingered more recently.
        Evicted = "evicted",
        /// Its client moved onto a shared stream.
        Moved = "moved",
    }
}

label! {
    /// Why a stream could not go on where it was: who comes back to it finds a new generation.
    Break, "reason" {
        /// The upstream's connection was lost.
        Lost = "lost",
        /// The upstream was to go on behind an id, and answered with no stream.
        Refused = "refused",
        /// The upstream was to go on behind an id, and did not answer as long as anybody wanted it to.
        Unanswered = "unanswered",
        /// The upstream was to go on behind an id, and sent that id with another event.
        Contradicted = "contradicted",
        /// An event was larger than the limit.
        Oversized = "oversized",
        /// There was no memory for the event that the upstream was sending.
        Starved = "starved",
    }
}

label! {
    /// Why something that was kept for clients who may come back was let go before its time.
    Eviction, "cause" {
        /// A window gave way, since all together held as much as they may.
        Memory = "memory",
        /// An upstream connection without a client ended, since there were too many.
        Lingering = "lingering",
    }
}

label! {
    /// How it ended that a request for an event stream was held, because the upstream could not be reached.
    Release, "outcome" {
        /// The upstream answered after all.
        Answered = "answered",
        /// It did not in time, and the client was cut.
        Cut = "cut",
        /// The program is about to end, and the client was cut.
        Drained = "drained",
        /// The client had gone before.
        Left = "left",
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
        /// The upstream would not let it in any more.
        Revoked = "revoked",
    }
}

label! {
    /// What a client did so much of, or took so long for, that its connection was ended.
    Overuse, "reason" {
        /// It began a head and did not come to its end in time.
        Head = "head",
        /// It sent frames of HTTP/2 that ask for nothing.
        Frames = "frames",
        /// It gave up requests before they were answered.
        GivenUp = "given_up",
        /// It did what HTTP/2 as such is known to be abused with: heads without an end, resets, frames without anything.
        Protocol = "protocol",
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
        /// New connections use it.
        Done = "done",
        /// It cannot be used: the former one stays.
        Failed = "failed",
    }
}
