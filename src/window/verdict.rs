//! How a client is answered, and how a generation ends.

/// How a generation ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The upstream ended the stream properly.
    Finished,
    /// It was lost, or given up: clients are cut, so that they come back.
    Lost,
}

/// Why a client that brings an id cannot have what it missed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gap {
    /// Older than the window.
    Expired,
    /// Of another generation, or of no stream that this request means.
    Generation,
    /// Ahead of the tail.
    Ahead,
}

impl Gap {
    /// The reason as clients and operators read it.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Generation => "generation",
            Self::Ahead => "ahead",
        }
    }
}

/// How a client is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It brought no id.
    Fresh,
    /// It gets every retained event after `after`, once, in order, then live.
    Resumed {
        /// The seq of the last event that it has.
        after: u64,
        /// How many it missed.
        missed: u64,
    },
    /// It is served as a new one.
    Gap(Gap),
    /// Its id is none of ours and none of this window.
    Foreign,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_says_why() {
        let reasons = [Gap::Expired, Gap::Generation, Gap::Ahead].map(Gap::reason);
        assert_eq!(reasons, ["expired", "generation", "ahead"]);
    }
}
