//! What the program does beside proxying.

pub mod check;
pub mod demo;
pub mod explain;
mod renewal;
pub mod run;
pub mod schema;
