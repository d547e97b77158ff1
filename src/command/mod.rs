//! What the program does beside proxying.

pub mod check;
pub mod demo;
pub mod doctor;
pub mod explain;
pub mod health;
pub mod reload;
mod renewal;
pub mod run;
pub mod schema;
