//! What becomes of each frame that an upstream sends: where it goes in the window, and as what.

use std::{sync::Arc, time::Instant};

use super::{
    Outcome,
    guarding::Guarding,
    moving::Moving,
    numbering::{Numbering, upstream_id},
    quiet,
};
use crate::{
    id::{Generation, Position},
    metrics::RouteMetrics,
    route::Route,
    rules::Class,
    sse::Frame,
    window::{Budget, Passed, Writer},
};

/// Which generation of a stream comes after this one. It is asked under a window's lock, and may take none that a
/// window's lock is taken under.
pub type Successor = Box<dyn Fn(Generation) -> Generation + Send + Sync>;

/// Appends frames to a window, by the rules of a route.
pub(super) struct Appender {
    pub(super) ids: Numbering,
    pub(super) route: Arc<Route>,
    pub(super) metrics: Arc<RouteMetrics>,
    pub(super) successor: Successor,
    /// None where there are no guards.
    pub(super) guarding: Option<Guarding>,
    /// Where the connection before this one ended, if the upstream was asked to go on behind it.
    pub(super) resumed: Option<Position>,
    /// It has not gone on there: nothing that it sends is taken any more.
    pub(super) contradicted: bool,
    /// Where the stream may go on elsewhere.
    pub(super) moving: Option<Moving>,
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
    /// What comes from now on goes by another route. What clients hold as ids is the same in both.
    pub(super) fn change_route(&mut self, route: Arc<Route>, metrics: Arc<RouteMetrics>, budget: &Budget) {
        self.guarding = Guarding::under(&route, self.guarding.take(), budget);
        (self.route, self.metrics) = (route, metrics);
    }

    /// Appends a frame.
    pub(super) fn append(&mut self, writer: &mut Writer<'_>, frame: &Frame<'_>, now: Instant) {
        // The shared window may have come to the newest event since it was appended here.
        if self.contradicted || self.moves(writer) {
            return;
        }
        self.ids.see(frame);
        let has_place = if frame.is_event() {
            let Some(class) = self.event(writer, frame, now) else { return };
            matches!(class, Class::Retained | Class::Reset)
        } else {
            let tail = writer.window().tail();
            let ours = self.ids.gives_back(frame);
            writer.pass(|| Passed { ours, ..quiet::control(self.ids.control(frame, tail)) });
            false
        };
        let id = upstream_id(frame);
        let repeated = id.is_some_and(|id| self.name(writer, frame, id, has_place));
        if let Some(retry) = frame.retry() {
            writer.window().set_retry(retry);
        }
        if let Some(moving) = self.moving.as_mut().filter(|_| has_place) {
            moving.appended(id, repeated);
            moving.moves(writer);
        }
    }

    fn moves(&mut self, writer: &mut Writer<'_>) -> bool {
        self.moving.as_mut().is_some_and(|moving| moving.moves(writer))
    }

    /// How the pump came to an end by what was appended, if it did.
    pub(super) fn over(&self) -> Option<Outcome> {
        if self.contradicted {
            return Some(Outcome::Contradicted);
        }
        self.moving.as_ref().is_some_and(Moving::has_moved).then_some(Outcome::Moved)
    }

    /// Appends an event; says as what. `None`, if it was here before a loss, and is not taken again.
    fn event(&mut self, writer: &mut Writer<'_>, frame: &Frame<'_>, now: Instant) -> Option<Class> {
        let kind = self.route.rules.kind(frame);
        if kind.is_none() && self.route.rules.look() {
            self.metrics.untyped();
        }
        let class = self.route.rules.class(kind.as_deref());
        if class == Class::Retained && !self.is_new(writer, frame) {
            return None;
        }
        let said = kind.and_then(|kind| self.guarding.as_ref()?.read(&kind, frame));
        let class = match (&self.guarding, &said) {
            (Some(guarding), Some(said)) => guarding.judge(class, said, now),
            _ => class,
        };
        match class {
            Class::Retained => self.retain(writer, frame, now),
            Class::Reset => self.reset(writer, frame, now),
            Class::Ephemeral => {
                let tail = writer.window().tail();
                let ours = self.ids.gives_back(frame);
                writer.pass(|| Passed { ours, ..self.ids.ephemeral(frame, tail).into() });
            }
            Class::Stale => {}
        }
        if let (Some(guarding), Some(said)) = (&mut self.guarding, said) {
            guarding.note(class, &said, writer.window(), &self.metrics, now);
        }
        Some(class)
    }

    /// Notes what an id of the upstream's stands for, where clients get to see it. Says whether it is a repeated one.
    fn name(&mut self, writer: &mut Writer<'_>, frame: &Frame<'_>, id: &[u8], has_place: bool) -> bool {
        if !self.ids.are_names() {
            if has_place && self.route.rules.keeps_id(frame) {
                writer.window().name_among_ours(id);
            }
            return false;
        }
        let repeated = writer.window().name(id, !has_place);
        if repeated {
            self.metrics.repeated_id();
            self.ids.note_repeat();
        }
        repeated
    }

    /// Whether the event has not been here before a loss, as far as the stream goes on over one.
    fn is_new(&mut self, writer: &mut Writer<'_>, frame: &Frame<'_>) -> bool {
        let Some(end) = self.resumed else { return true };
        let returned = self.returns(writer, frame, end);
        self.contradicted = matches!(returned, Return::Contradiction);
        matches!(returned, Return::New)
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
        match event {
            // It was withdrawn, and there is nothing to compare it with.
            Some(event) if event.is_empty() => Return::Repeat,
            Some(event) if event == self.ids.encode(frame, next, false) => Return::Repeat,
            _ => Return::Contradiction,
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
