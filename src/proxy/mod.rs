//! HTTP: from a client's request to its answer.

pub mod hygiene;
