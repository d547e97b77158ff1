//! respool: a reverse proxy that gives any event server replay.
//!
//! Server-Sent Events lose what is sent while a client is away. respool stands in front of an event server, gives
//! passing events ids, keeps the newest of them, and answers a client's `Last-Event-ID` with what it missed,
//! spliced with the live stream. Server and clients change nothing.
//!
//! # The one idea
//!
//! Live is replay that has caught up. A client is a [cursor](window::Cursor) on a [window](window::Window) and
//! nothing else: its body takes everything between the cursor and the tail, and when there is nothing it waits for
//! the tail to move. There is no replay phase with a queue of live events beside it, so there is no hand-over in
//! which an event could be lost, doubled or reordered.
//!
//! ```text
//! upstream response ──▶ frames ──▶ stamp id ──▶ window ──▶ cursor ──▶ client
//!       (pump)          (sse)       (pump)   (one a stream) (one a client)
//! ```
//!
//! # What always holds
//!
//! - Everything that decides is pure: `id`, `sse`, `route` and the window take bytes and the time as arguments.
//! - A window is written by one pump and read by many cursors; an event is encoded once, when it is appended.
//! - Nothing is queued for a slow client: it is a cursor far behind.
//! - What is said to be contiguous is: continuity is proven within a generation, never across two.
//! - No event is handed out that the upstream would not hand to this very request (in a session: has not).
//!
//! # Who may import whom
//!
//! Words at the bottom, mechanisms above them, actors above those, HTTP above actors, edges beside HTTP, one root.
//! Each module may import those named behind it, and a test compares.
//!
//! ```text
//! imports
//! current:
//! id:
//! plain:
//! dice: id
//! sse:
//! window: id metrics
//! rules: sse
//! route: rules window
//! metrics: net
//! seldom:
//! trace:
//! drain:
//! reload:
//! net: drain
//! body:
//! fault: body seldom
//! head: id route sse window
//! pump: body id metrics route rules seldom sse window
//! registry: body current dice fault head id metrics net pump route rules seldom window
//! proxy: body current dice drain fault head id metrics net pump registry route seldom trace window
//! server: body drain metrics net seldom
//! admin: body drain metrics net pump registry reload window
//! log:
//! config: admin net plain proxy route rules server window
//! app: config current dice drain metrics net proxy registry reload route server
//! layer: body config dice fault metrics net proxy registry route server
//! command: admin app body config dice drain head id metrics net plain route rules server sse
//! ```

pub mod current;
pub mod dice;
pub mod id;
pub mod plain;
pub mod rules;
pub mod sse;

pub mod route;
pub mod window;

pub mod drain;
pub mod metrics;
pub mod net;
pub mod reload;
pub mod seldom;
pub mod trace;

pub mod body;
pub mod fault;
pub mod head;
pub mod pump;
pub mod registry;

pub mod proxy;
pub mod server;

pub mod admin;
pub mod log;

pub mod config;

pub mod app;
pub mod command;
pub mod layer;
