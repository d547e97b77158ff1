//! The locks under a window. In unit tests they are the model checker's, which tries every interleaving: what
//! takes them can be tested there only inside such a check.

#[cfg(not(test))]
pub(super) use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, Weak,
    atomic::{AtomicU64, Ordering},
};

#[cfg(test)]
pub(super) use shuttle::sync::{
    Arc, Mutex, MutexGuard, PoisonError, Weak,
    atomic::{AtomicU64, Ordering},
};
