//! Worlds that a seed makes: with the clock stopped, and a log of all that happened.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
};

/// What has happened, a line each. Clones are of one.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, line: impl ToString) {
        self.0.lock().unwrap().push(line.to_string());
    }

    fn text(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }
}

/// A number in the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Lives through a seed's world; says what happened, or what must not have.
pub(crate) fn run<L: Future<Output = ()>>(seed: u64, life: impl FnOnce(Log) -> L) -> Result<String, String> {
    let log = Log::default();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let lived = catch_unwind(AssertUnwindSafe(|| runtime.block_on(async { life(log.clone()).await })));
    let text = log.text();
    lived.map(|()| text.clone()).map_err(|panic| {
        let what = panic.downcast_ref::<String>().cloned();
        let what = what.or_else(|| panic.downcast_ref::<&str>().map(|what| (*what).to_owned()));
        format!("{text}\nseed {seed}: {}", what.unwrap_or_default())
    })
}

/// Lives through `count` seeds from the first on, and hands what happened in each to `each`. `NAME_SEEDS` and `NAME_FROM` in
/// the environment say otherwise; `NAME_SEED` is the only one, and what happens there is said.
///
/// Says how many there were, if it was not that one. A failure names its seed.
#[expect(clippy::print_stdout, reason = "somebody asked for this one")]
pub(crate) fn seeds(
    name: &str,
    count: u64,
    run: impl Fn(u64) -> Result<String, String>,
    mut each: impl FnMut(&str),
) -> Option<u64> {
    let said = |what: &str| number(&format!("{name}_{what}"));
    if let Some(seed) = said("SEED") {
        println!("{}", run(seed).unwrap_or_else(|failure| panic!("{failure}")));
        return None;
    }
    let (from, count) = (said("FROM").unwrap_or(0), said("SEEDS").unwrap_or(count));
    for seed in from..from + count {
        each(&run(seed).unwrap_or_else(|failure| {
            let module = name.to_lowercase();
            panic!("{failure}\n{name}_SEED={seed} cargo test --test it {module}:: -- --nocapture")
        }));
    }
    Some(count)
}
