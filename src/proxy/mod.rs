//! HTTP: from a client's request to its answer.

pub mod absent;
pub mod admission;
pub mod answer;
mod connector;
mod crumbs;
mod expect;
pub mod forward;
pub mod greeting;
pub mod hygiene;
mod lanes;
pub mod outage;
mod pace;
pub mod piece;
pub mod readmission;
pub mod rotating;
pub mod splice;
pub mod stream;
pub mod stumbling;
mod tunnel;
mod unnumbered;
mod waiting;
