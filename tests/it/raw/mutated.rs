//! Rows of the table, changed at random: what reaches the upstream is, request by request, what a strict reader finds in
//! the bytes that were sent. `RESPOOL_MUTANTS` says how many, `RESPOOL_SEED` where to begin.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::time::timeout;

use super::{
    recorder::{Recorder, Seen},
    strict::{Manner, read_all},
    table::rows,
};
use crate::support::Binary;

/// What two readers may read in two ways, and what stands around it.
const PIECES: [&str; 24] = [
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    " ",
    "\t",
    ":",
    ",",
    ";",
    "\0",
    "\u{b}",
    "0",
    "5",
    "0x",
    "+",
    "chunked",
    "identity",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Host: b\r\n",
    "Connection: close\r\n",
    "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
    "0\r\n\r\n",
    "HTTP/1.0",
];

/// One of the rows, changed in a few places.
fn mutant(dice: &mut StdRng, all: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = all[dice.random_range(0..all.len())].clone();
    for _ in 0..dice.random_range(1..4) {
        let at = dice.random_range(0..=bytes.len());
        let end = (at + dice.random_range(0..6)).min(bytes.len());
        let piece = PIECES[dice.random_range(0..PIECES.len())].as_bytes();
        match dice.random_range(0..4) {
            0 => drop(bytes.splice(at..at, piece.iter().copied())),
            1 => drop(bytes.splice(at..end, piece.iter().copied())),
            2 => drop(bytes.drain(at..end)),
            _ => {
                let other = &all[dice.random_range(0..all.len())];
                bytes.splice(at..at, other.iter().copied());
            }
        }
    }
    bytes
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(otherwise)
}

/// So many requests may be on their way.
const LATE: usize = 16;

#[tokio::test]
async fn what_reaches_the_upstream_of_a_mutant_is_what_was_sent() {
    let (mutants, first) = (number("RESPOOL_MUTANTS", 2000), number("RESPOOL_SEED", 1));
    let all: Vec<_> = rows().into_iter().map(|row| row.sent).filter(|sent| sent.len() < 2000).collect();
    let upstream = Recorder::start().await;
    let own = upstream.address.to_string();
    let binary = Binary::to(upstream.address).await;
    // What one left behind may come while others are sent, on a machine that is slow.
    let (mut may_come, mut passed) = (Vec::new(), 0);
    for seed in first..first + mutants {
        let sent = mutant(&mut StdRng::seed_from_u64(seed), &all);
        let mut client = binary.connect().await;
        let _ = client.try_send(&sent).await;
        let _ = timeout(Duration::from_millis(15), client.rest_or(|_| false)).await;
        drop(client);
        let (requests, _) = read_all(&sent, Manner::Taken);
        let said: Vec<_> = requests.iter().map(|request| request.meaning(&own)).collect();
        may_come.extend(said.iter().cloned());
        for seen in upstream.take() {
            match seen {
                Seen::Whole(request, _) => {
                    let meaning = request.meaning(&own);
                    let at = may_come.iter().position(|may| *may == meaning);
                    let shown = String::from_utf8_lossy(&sent);
                    let at =
                        at.unwrap_or_else(|| panic!("seed {seed}: {meaning:?} of {shown:?}, not {said:?}"));
                    may_come.remove(at);
                    passed += 1;
                }
                Seen::Torn(_) => {}
                Seen::Wrong(wrong) => panic!("seed {seed}: {wrong}"),
            }
        }
        may_come.drain(..may_come.len().saturating_sub(LATE));
    }
    assert!(passed > mutants / 20, "{passed} of {mutants} passed something");
    assert!(!binary.log().contains("panicked"), "{}", binary.log());
}
