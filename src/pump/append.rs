//! What becomes of each frame that an upstream sends: where it goes in the window, and as what.

use std::{sync::Arc, time::Instant};

use super::numbering::{Numbering, upstream_id};
use crate::{
    id::{Generation, Position},
    metrics::RouteMetrics,
    route::Route,
    rules::Class,
    sse::Frame,
    window::Writer,
};

/// Which generation of a stream comes after this one. It is asked under a window's lock, and may take none that a
/// window's lock is taken under.
pub type Successor = Box<dyn Fn(Generation) -> Generation + Send + Sync>;

/// Appends frames to a window, by the rules of a route.
pub(super) struct Appender {
    pub(super) ids: Numbering,
    pub(super) route: Arc<Route>,
    pub(super) metrics: RouteMetrics,
    pub(super) successor: Successor,
    /// Where the connection before this one ended, if the upstream was asked to go on behind it.
    pub(super) resumed: Option<Position>,
    /// It has not gone on there: nothing that it sends is taken any more.
    pub(super) contradicted: bool,
}

/// What an event is to a stream that goes on over a loss.
enum Return {
    /// It has not been seen before.
    New,
    /// It was here before the loss.
    Repeat,
    /// Its id was here before the loss, with another event.
    Contradiction,
}

impl Appender {
    /// Appends a frame.
    pub(super) fn append(&mut self, writer: &mut Writer<'_>, frame: &Frame<'_>, now: Instant) {
        if self.contradicted {
            return;
        }
        self.ids.see(frame);
        let class = frame.is_event().then(|| self.route.rules.class(frame));
        if let (Some(end), Some(Class::Retained)) = (self.resumed, class) {
            match self.returns(writer, frame, end) {
                Return::New => {}
                Return::Repeat => return,
                Return::Contradiction => {
                    self.contradicted = true;
                    return;
                }
            }
        }
        match class {
            Some(Class::Retained) => self.retain(writer, frame, now),
            Some(Class::Reset) => self.reset(writer, frame, now),
            Some(Class::Ephemeral) => {
                let tail = writer.window().tail();
                writer.pass(|| self.ids.ephemeral(frame, tail));
            }
            None => {
                let tail = writer.window().tail();
                writer.pass(|| self.ids.control(frame, tail));
            }
        }
        if let Some(id) = upstream_id(frame).filter(|_| self.ids.are_names()) {
            let has_place = matches!(class, Some(Class::Retained | Class::Reset));
            if writer.window().name(id, !has_place) {
                self.metrics.repeated_id();
                self.ids.note_repeat();
            }
        }
        if let Some(retry) = frame.retry() {
            writer.window().set_retry(retry);
        }
    }

    /// What an event is to a stream that was lost behind `end`.
    fn returns(&mut self, writer: &mut Writer<'_>, frame: &Frame<'_>, end: Position) -> Return {
        let next = writer.window().next();
        let Some(known) = upstream_id(frame).and_then(|id| writer.window().named_event(id)) else {
            return Return::New;
        };
        let (position, event) = known;
        if position.generation != end.generation || position.seq > end.seq {
            return Return::New;
        }
        if event == Some(self.ids.encode(frame, next, false)) {
            Return::Repeat
        } else {
            Return::Contradiction
        }
    }

    fn retain(&mut self, writer: &mut Writer<'_>, frame: &Frame<'_>, now: Instant) {
        let kept = self.route.rules.keeps_id(frame);
        let event = self.ids.encode(frame, writer.window().next(), kept);
        self.metrics.appended(event.len());
        writer.window().push(event, now);
    }

    /// A new generation begins with this event. Its own id, or ours at the new generation's first position, takes the
    /// place of one from before, which would be a gap.
    fn reset(&mut self, writer: &mut Writer<'_>, frame: &Frame<'_>, now: Instant) {
        let generation = (self.successor)(writer.window().tail().generation);
        let kept = self.route.rules.keeps_id(frame);
        let event = self.ids.first(frame, generation, kept);
        self.metrics.reset();
        writer.window().begin(generation, Some(event), now);
    }
}
