//! HTTP: from a client's request to its answer.

pub mod answer;
mod connector;
mod expect;
pub mod forward;
pub mod hygiene;
pub mod outage;
mod tunnel;
