//! Randomness: of a cryptographic source in the program, of a seed in a test that wants to be repeated.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::{
    Rng, SeedableRng,
    rngs::{StdRng, SysRng},
};

/// The operating system gives no randomness.
pub use rand::rngs::SysError;

use crate::id::Generation;

/// A source of randomness. Clones draw from the same one.
#[derive(Clone, Debug)]
pub struct Dice(Arc<Mutex<StdRng>>);

impl Dice {
    /// A cryptographic source, seeded by the operating system.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn new() -> Result<Self, SysError> {
        Ok(Self(Arc::new(Mutex::new(StdRng::try_from_rng(&mut SysRng)?))))
    }

    /// A source that gives the same each time; for tests.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// A number below 2^64.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }

    /// 128 bits that nobody can guess.
    #[must_use]
    pub fn secret(&self) -> u128 {
        u128::from(self.number()) << 64 | u128::from(self.number())
    }

    /// A generation for a session.
    #[must_use]
    pub fn session(&self) -> Generation {
        Generation::session(self.secret())
    }

    /// Anything from zero up to `most`: full jitter.
    #[must_use]
    pub fn up_to(&self, most: Duration) -> Duration {
        most.mul_f64((self.number() >> 11) as f64 / (1_u64 << 53) as f64)
    }
}
