//! HTTP: from a client's request to its answer.

pub mod answer;
mod connector;
mod expect;
pub mod fault;
pub mod forward;
pub mod hygiene;
pub mod outage;
pub mod route;
mod tunnel;
