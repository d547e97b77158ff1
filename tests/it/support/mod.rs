//! What tests are made of.

/// An `EventSource` as the standard describes it, line by line.
pub mod reader;
/// An app on in-memory pipes, with the clock stopped.
pub mod world;
