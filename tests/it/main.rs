//! Everything that is seen from outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    clippy::unreachable,
    reason = "a test that cannot go on says so by panicking"
)]
#![allow(unreachable_pub, reason = "a binary has no outside")]

/// What the admin's listener answers, and to whom.
mod admin;
/// Who is let into a shared stream: so many at a time, by turns, by the upstream's yes.
mod admission;
/// A shared stream that loses its upstream: who is cut, who stays, and what they are told.
mod breaks;
/// 100 MB each way through the binary, with flat memory.
mod bulk;
/// The clock jumps while the program runs.
mod clock;
/// The binary from outside: what it says, and the code that it exits with.
mod command;
/// What the operator wrote: what it resolves to, or what is wrong with it and where.
mod config;
/// A client that its upstream refuses because of the connection that it had.
mod conflict;
/// Which tests show which statement of the contract.
mod contract;
/// Cookies that the upstream replaces.
mod cookies;
/// What a page of another origin may bring.
mod cors;
/// How many writes a client's events are.
mod cost;
/// Cursors in the query, of clients that cannot set a header.
mod cursor;
/// The demo: what it says of both sides, and the code that it exits with.
mod demo;
/// The files in `deploy/` hold: the examples load, one of them is complete, the unit starts what exists.
mod deploy;
/// What the pages in `deploy/docs` say holds: examples, names, links, numbers, and each row of their tables.
mod docs;
/// The doctor: a healthy path comes out clean, and each thing that can be wrong on the way is found.
mod doctor;
/// Beginning and end: limits, signals, drains, what is left of what was open.
mod edges;
/// The format against its naive twin: any stream, any chunking, torn anywhere.
mod format;
/// Everything that is no event stream: bytes and headers unchanged, upgrades, trailers, 1xx.
mod forward;
/// The corpora of what is fuzzed, each input once.
mod fuzz;
/// Fall off by count, by bytes, by age, by generation; an empty window; a cursor ahead; ids that are not ours.
mod gap;
/// Configurations, and what is said of them.
mod golden;
/// What was answered is not asked again.
mod guard;
/// An event stream is written without hyper, and its connection lives on behind it.
mod handover;
/// `respool health`: what it says of one that runs, and the code that it exits with.
mod health;
/// What is sent when nothing was for a while.
mod heartbeat;
/// What a server says to each new connection of a shared stream.
mod hello;
/// Ids that pages do not see.
mod hidden;
/// Requests that a proxy must refuse, raw, on real sockets.
mod hygiene;
/// Which requests share a stream, and which never may.
mod identity;
/// An upstream and clients that put into their bytes what would be lines, headers, markup or commands of their own.
mod inject;
/// Replay for the handlers of a Rust server.
mod layer;
/// The import table in `src/lib.rs` is what the sources do.
mod layers;
/// Memory, lingering connections, streams: bounded by configuration, whatever clients and upstreams do.
mod limits;
/// Ten thousand events on real sockets, each client cut a hundred times.
mod load;
/// What the log says, and what it never says.
mod logs;
/// What each metric says: it moves when it should, and nothing else of its family does.
mod metrics;
/// Clients of a shared stream that came with an id which only the upstream knows.
mod moving;
/// HTTP/2 with clients: many requests on one connection, each with limits, a cut and an end of its own.
mod multiplex;
/// What a run of changed programs has come to.
mod mutants;
/// Random rules, streams and cuts, against a naive model that keeps everything.
mod naive;
/// Odd input: what becomes of it, and that it is no matter of other streams.
mod odd;
/// An upstream that is away, or whose answers say so.
mod outage;
/// What a panic takes along where respool talks to the upstream.
mod panics;
/// What bit others, each once.
mod pitfalls;
/// Answers to a POST, which go on with a GET.
mod post;
/// What presets are for, server by server.
mod presets;
/// Sessions: one upstream connection for one client, which it finds again.
mod private;
/// Raw requests that two readers could read in two ways: refused, or passed on once and the same.
mod raw;
/// What `README.md` says holds: its commands, files, keys, numbers and answers.
mod readme;
/// Clients of a shared stream that are asked about again: on time, and cut with all that waits for them.
mod readmit;
/// Another configuration while clients are served: what changes, what stays, and whom it touches.
mod reload;
/// Ids that nobody gave their bearers show them nothing.
mod replay;
/// An event after which nothing from before counts: a new run of the same stream.
mod reset;
/// Cut the client at every byte: what it holds plus what it gets equals what the upstream sent.
mod resume;
/// After how long clients are told to come back.
mod retry;
/// What a reviewer broke once, and must not break again.
mod review;
/// What becomes of events by their types.
mod rules;
/// The schema of the configuration: complete, and as strict as what reads the file.
mod schema;
/// Shared streams: one upstream connection for all, each client admitted, a new generation when it is lost.
mod shared;
/// A seeded world: many clients, cuts, stalls, losses and clock jumps, with invariants after each step.
mod sim;
/// Clients that write slowly.
mod slow;
/// What is done about programs that a check needs and that cannot be had.
mod steps;
/// The whole program under what should be too much for it.
mod strain;
/// What a client is sent: which answers are streams, what stays as it came, who gets ids, and where.
mod stream;
/// Clients that make an event of every blank line once they hold an id.
mod stumbling;
mod support;
/// Sockets that the service manager listens on, and what it is told.
mod systemd;
/// Tenants of every kind, on routes of every kind: nobody is shown what is not theirs.
mod tenants;
/// TLS with clients: what is spoken, who is told what, and certificates that change.
mod tls;
/// The upstream's answers, torn at every byte, and split in every way.
mod torn;
/// The trace that a request says it is part of.
mod trace;
/// An upstream by https, by HTTP/2, or by both.
mod upstream;
/// Sessions that are found again by an id of the upstream's.
mod upstream_ids;
