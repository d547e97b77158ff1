//! File descriptors: a process may have so many, and each connection takes one.

use std::{
    fs, io,
    os::{fd::AsRawFd as _, unix::net::UnixDatagram},
    sync::OnceLock,
};

/// What the system says where there is none left: for this process (EMFILE), or for anybody (ENFILE).
const NONE_LEFT: [i32; 2] = [24, 23];

/// What a descriptor is wanted for. The last ones are kept: whoever is let in needs one more for the upstream's answer,
/// and when both have taken theirs, the admin is still to say how the process is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// One more client.
    Client,
    /// One more connection to the upstream.
    Upstream,
}

impl Wanted {
    /// How many of so many must stay free beside the one that is taken.
    fn kept(self, most: usize) -> usize {
        match self {
            Self::Client => (most / 8).min(256),
            Self::Upstream => (most / 16).min(64),
        }
    }

    /// Whether it can have one when this is the lowest that is free, of so many.
    fn may_have(self, lowest: usize, most: usize) -> bool {
        lowest + self.kept(most) < most
    }
}

/// Whether a descriptor can be spared for this. Costs two calls of the system, and no waiting.
///
/// # Errors
///
/// When it cannot; [`is_none_left`] knows the error.
pub fn spare(wanted: Wanted) -> io::Result<()> {
    // The system gives the lowest that is free, so that its number says how many are taken at least.
    let lowest = match UnixDatagram::unbound() {
        Ok(probe) => usize::try_from(probe.as_raw_fd()).unwrap_or_default(),
        Err(fault) if is_none_left(&fault) => return Err(fault),
        // What has nothing to do with it is for whoever opens something to find.
        Err(_) => return Ok(()),
    };
    static MOST: OnceLock<Option<usize>> = OnceLock::new();
    match *MOST.get_or_init(most) {
        Some(most) if !wanted.may_have(lowest, most) => Err(none_left()),
        _ => Ok(()),
    }
}

/// What the system would say if there were none.
fn none_left() -> io::Error {
    let [ours, _] = NONE_LEFT;
    io::Error::from_raw_os_error(ours)
}

/// Whether it failed because there are no descriptors.
#[must_use]
pub fn is_none_left(fault: &io::Error) -> bool {
    fault.raw_os_error().is_some_and(|code| NONE_LEFT.contains(&code))
}

/// How many this process may have, where the system says it.
#[must_use]
pub fn most() -> Option<usize> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_for_the_upstream_and_the_very_last_for_the_admin() {
        use Wanted::{Client, Upstream};
        let last = |wanted: Wanted, most| (0..most).rev().find(|lowest| wanted.may_have(*lowest, most));
        for (most, client, upstream) in
            [(24, 20, 22), (64, 55, 59), (1024, 895, 959), (1 << 20, 1_048_319, 1_048_511)]
        {
            assert_eq!((last(Client, most), last(Upstream, most)), (Some(client), Some(upstream)), "{most}");
        }
        assert_eq!(last(Client, 0), None);
    }

    #[test]
    fn what_there_is_can_be_had_and_what_there_is_not_is_known() {
        spare(Wanted::Client).unwrap();
        assert!(is_none_left(&none_left()));
        assert!(!is_none_left(&io::ErrorKind::ConnectionRefused.into()));
        assert!(none_left().to_string().starts_with("Too many open files"));
        assert!(most().unwrap() > 3);
    }
}
