//! HTTP: from a client's request to its answer.

pub mod fault;
pub mod hygiene;
pub mod route;
