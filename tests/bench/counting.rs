//! What counting costs: the very calls that a delivery makes, and nothing else.

use std::{sync::Barrier, thread, time::Duration};

use respool::metrics::Metrics;

use crate::measure;

/// The processor time that counting so many deliveries takes on each of two threads which count on the same series, at once
/// and all the time: more often than any delivery could meet another.
pub(crate) fn of_deliveries(each: usize) -> Duration {
    let route = Metrics::new().route("/counted");
    let begin = Barrier::new(2);
    let count = || {
        begin.wait();
        let before = measure::own_cpu();
        for _ in 0..each {
            route.sent_events(std::hint::black_box(1));
            route.sent_bytes(std::hint::black_box(250));
        }
        measure::own_cpu() - before
    };
    thread::scope(|scope| {
        let threads = [scope.spawn(count), scope.spawn(count)];
        threads.map(|thread| thread.join().unwrap()).iter().sum()
    })
}
