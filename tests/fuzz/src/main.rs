//! One target a run, by the name that `FUZZ_TARGET` has.
#![no_main]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a target says what is wrong by panicking")]
#![allow(dead_code, unreachable_pub, reason = "targets and their twins are shared with the tests")]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

/// The tests' naive twin, by the name that it has there.
#[path = "../../it/support/reader.rs"]
mod reader;
mod support {
    pub(crate) use crate::reader;
}
mod targets;

static TARGET: LazyLock<targets::Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
    let known = targets::ALL.iter().find(|(known, _)| *known == name);
    known.expect("FUZZ_TARGET is a target's name").1
});

fuzz_target!(|data: &[u8]| TARGET(data));
