//! What is fuzzed: each target takes any bytes and panics where something that is promised does not hold.

mod configuration;
mod ids;
mod keys;
mod pointers;
mod rules;
mod splitter;

/// Takes any bytes.
pub type Target = fn(&[u8]);

/// The targets by the names of their corpora.
pub const ALL: [(&str, Target); 6] = [
    ("configuration", configuration::run),
    ("ids", ids::run),
    ("keys", keys::run),
    ("pointers", pointers::run),
    ("rules", rules::run),
    ("splitter", splitter::run),
];
