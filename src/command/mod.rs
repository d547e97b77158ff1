//! What the program does beside proxying.

pub mod check;
pub mod demo;
pub mod explain;
pub mod health;
pub mod run;
pub mod schema;
