//! A setting that may be another one from now on.

use std::sync::{Arc, PoisonError, RwLock};

/// A value that is read often and replaced seldom. Clones share it.
#[derive(Debug)]
pub struct Current<T>(Arc<RwLock<Arc<T>>>);

impl<T> Clone for Current<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Current<T> {
    /// Begins with this one.
    pub fn new(value: T) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(value))))
    }

    /// The value as it is now; whoever has it keeps it. One lock that is shared by all who read, and no waiting but for
    /// the moment in which it is replaced.
    #[must_use]
    pub fn get(&self) -> Arc<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another one in its place.
    pub fn set(&self, value: T) {
        let value = Arc::new(value);
        let former = std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), value);
        // Not under the lock: it may take long to drop.
        drop(former);
    }
}
