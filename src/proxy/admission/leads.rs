//! Of all who would be given the same answer one asks, and the others wait for it.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

/// Who asks for others too. Clones are the same.
#[derive(Clone)]
pub(super) struct Leads<W>(Arc<Mutex<HashMap<W, watch::Receiver<bool>>>>);

/// Asks for others too. Dropping it without a word, since the client left, lets one of the others ask in its stead.
pub(super) struct Lead<W: Copy + Eq + Hash> {
    leads: Leads<W>,
    who: W,
    settled: watch::Sender<bool>,
}

impl<W: Copy + Eq + Hash> Leads<W> {
    pub(super) fn new() -> Self {
        Self(Arc::default())
    }

    /// The lead, if nobody has it; else it waits for whoever does, and is `None` when that one has settled the matter:
    /// what there is to know is known then. Cancel-safe.
    pub(super) async fn join(&self, who: W) -> Option<Lead<W>> {
        loop {
            let mut ahead = match self.lead(who) {
                Ok(lead) => return Some(lead),
                Err(ahead) => ahead,
            };
            // An error says that it left.
            if ahead.wait_for(|settled| *settled).await.is_ok() {
                return None;
            }
        }
    }

    fn lead(&self, who: W) -> Result<Lead<W>, watch::Receiver<bool>> {
        let mut all = self.lock();
        if let Some(ahead) = all.get(&who) {
            return Err(ahead.clone());
        }
        let (settled, others) = watch::channel(false);
        all.insert(who, others);
        Ok(Lead { leads: self.clone(), who, settled })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<W, watch::Receiver<bool>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Copy + Eq + Hash> Lead<W> {
    /// The others go on: with what is remembered by now, or by asking for themselves.
    pub(super) fn settle(self) {
        self.settled.send_replace(true);
    }
}

impl<W: Copy + Eq + Hash> Drop for Lead<W> {
    fn drop(&mut self) {
        // Before the sender goes: who finds it gone must not find it here again.
        self.leads.lock().remove(&self.who);
    }
}
