//! What the streams of each route come to, for whoever measures.

use std::sync::{Arc, Weak};

use super::{Inner, Registry, inspect::Totals};
use crate::metrics::{Survey, Surveyor, Windows};

impl Registry {
    /// Surveys all streams when it is asked to; holds nothing alive.
    pub(super) fn surveyor(&self) -> Surveyor {
        let inner: Weak<Inner> = Arc::downgrade(&self.0);
        Box::new(move || inner.upgrade().map_or_else(Survey::default, |inner| Self(inner).survey()))
    }

    fn survey(&self) -> Survey {
        // None of them by itself.
        let all = self.inspect(0, 0);
        Survey {
            routes: all.routes.iter().map(|(route, totals)| (route.to_string(), measured(totals))).collect(),
            memory_limit: self.limits().memory as u64,
            draining: self.draining().is_some(),
        }
    }
}

fn measured(of: &Totals) -> Windows {
    Windows { events: of.events, bytes: of.bytes as u64, age: of.oldest, lag: of.furthest as u64 }
}
