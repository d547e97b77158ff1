//! What a whole run is judged by: what is measured, in what, and what it may be at most. The docs have these rows.

pub(crate) const LIMITS: [(&str, &str, f64); 21] = [
    ("fan-out, steady, 1000 clients: CPU", "× floor", 1.25),
    ("fan-out, steady, 5000 clients: CPU", "× floor", 1.25),
    ("fan-out, a burst of 500 to 1000 clients: CPU", "× coalescing floor", 1.7),
    ("the hop, 10 clients, 50 events/s: p50", "× direct", 2.3),
    ("the hop, 10 clients, 50 events/s: p99", "× direct", 2.0),
    ("the hop, a shared stream, 10 clients, 50 events/s: p50", "× direct", 2.3),
    ("the hop, a shared stream, 10 clients, 50 events/s: p99", "× direct", 2.0),
    ("1000 clients, 10 events/s: p50", "× floor", 1.3),
    ("1000 clients, 10 events/s: p99", "× floor", 1.5),
    ("memory of an idle client of a shared stream, as it should be", "KB", 1.5),
    ("memory of an idle private session and its upstream connection", "KB", 12.0),
    ("replay of 10,000 events to one client: CPU", "× floor", 2.0),
    ("replay of 100,000 events to one client: CPU", "× floor", 2.0),
    ("replay of ten times as many to one client: time", "× of 10,000", 11.0),
    ("storm, 1000 clients × 1000 missed events: CPU", "× floor", 2.0),
    ("storm, until all have them", "s", 0.5),
    ("splice, the storm while 500 more arrive: CPU", "× floor", 2.0),
    ("ordinary HTTP, 1 KiB, 64 connections: CPU", "× nginx", 1.3),
    // Eight for each ten of nginx's.
    ("ordinary HTTP, 1 KiB, from one answer to the next", "× nginx", 1.25),
    ("ordinary HTTP, 1 MiB, 64 connections: CPU", "× nginx", 1.0),
    ("a type found by pointer in a 2 KB event", "µs", 1.0),
];
