//! The naive model: it keeps everything, and says in DESIGN's words who is given what.

use std::{collections::HashMap, time::Duration};

use respool::id::Position;
use tokio::time::Instant;

use super::{
    frame::{Event, Frame},
    plan::{Ids, Plan, TTL, is_one},
};

/// Which stream, and its how manieth run.
pub type Run = (usize, usize);

/// What an id line says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Id {
    /// A place of ours.
    Ours(Run, u64),
    /// The upstream's, or none where it is empty.
    Text(String),
}

/// Something that a client is given.
#[derive(Clone, Debug)]
pub enum Step {
    Event(Shown),
    /// A frame that no page sees, with an id.
    Id(Id),
}

/// An event as a page sees it.
#[derive(Clone, Debug)]
pub struct Shown {
    pub kind: String,
    pub data: String,
    /// None: it has what its client has.
    pub id: Option<Id>,
    /// Where it stands, if it is retained.
    pub place: Option<(Run, u64)>,
    /// What it asks.
    pub opens: Option<String>,
}

/// Everything that one upstream connection sent.
#[derive(Debug)]
pub struct Stream {
    pub at: usize,
    /// Whose connection it is.
    pub owner: Option<usize>,
    run: usize,
    /// All that was ever retained, in all runs.
    retained: Vec<Retained>,
    /// The upstream's own ids, each at its first place.
    ids: Vec<(String, Run, u64)>,
    /// The upstream numbers its events.
    theirs: bool,
    /// The id that a page has without us.
    page: String,
    /// Keys, and until when they are closed.
    closed: Vec<(String, Instant)>,
}

#[derive(Debug)]
struct Retained {
    steps: Vec<Step>,
    run: usize,
    seq: u64,
    came: Instant,
    opens: Option<String>,
    withdrawn: bool,
}

/// What becomes of an event.
enum Fate {
    Reset,
    Stale,
    Ephemeral,
    Retained,
}

/// How a client is judged when it comes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    Fresh,
    Resumed { after: u64, missed: usize },
    Gap(&'static str),
    Foreign,
}

impl Verdict {
    pub fn header(&self) -> String {
        match self {
            Self::Fresh => "fresh".into(),
            Self::Resumed { missed, .. } => format!("resumed; missed={missed}"),
            Self::Gap(reason) => format!("gap; reason={reason}"),
            Self::Foreign => "foreign".into(),
        }
    }

    pub fn is_new(&self) -> bool {
        matches!(self, Self::Fresh | Self::Gap(_))
    }
}

/// What a frame changes.
#[derive(Debug, Default)]
pub struct Change {
    /// For whoever is there.
    pub steps: Vec<Step>,
    /// What was asked by this, and not taken yet, is not given any more.
    pub withdraws: Option<String>,
    /// It has a place, and its own id stays among ours.
    kept: bool,
}

impl Stream {
    /// `foreign` is the id of the upstream's that its client came with.
    pub fn new(at: usize, owner: Option<usize>, foreign: Option<String>, plan: &Plan) -> Self {
        Self {
            at,
            owner,
            run: 0,
            retained: Vec::new(),
            ids: Vec::new(),
            theirs: foreign.is_some() && plan.ids == Ids::Keep,
            page: foreign.unwrap_or_default(),
            closed: Vec::new(),
        }
    }

    fn now(&self) -> Run {
        (self.at, self.run)
    }

    pub fn tail(&self) -> u64 {
        self.retained.iter().filter(|event| event.run == self.run).count() as u64
    }

    /// The oldest that a returning client may have; past the tail where there is none.
    pub fn low(&self, plan: &Plan) -> u64 {
        let age = Duration::from_secs(plan.age);
        let young = |event: &&Retained| event.run == self.run && event.came.elapsed() < age;
        let by_age = self.retained.iter().find(young).map_or(self.tail() + 1, |event| event.seq);
        by_age.max((self.tail() + 1).saturating_sub(plan.events)).max(1)
    }

    /// What is retained behind a place, and was not withdrawn.
    pub fn after(&self, seq: u64) -> Vec<Step> {
        let behind = |event: &&Retained| event.run == self.run && event.seq > seq && !event.withdrawn;
        self.retained.iter().filter(behind).flat_map(|event| event.steps.clone()).collect()
    }

    pub fn missed(&self, seq: u64) -> usize {
        self.after(seq).iter().filter(|step| matches!(step, Step::Event(_))).count()
    }

    pub fn was_withdrawn(&self, run: usize, seq: u64) -> bool {
        self.retained.iter().any(|event| event.run == run && event.seq == seq && event.withdrawn)
    }

    /// A client of this stream brings this id.
    pub fn judge(&self, plan: &Plan, id: &Id) -> Verdict {
        let seq = match id {
            Id::Text(text) if text.is_empty() => return Verdict::Fresh,
            Id::Text(text) => match self.place_of(plan, text) {
                Some(seq) => seq,
                None => return Verdict::Foreign,
            },
            Id::Ours(run, _) if *run != self.now() => return Verdict::Gap("generation"),
            Id::Ours(_, seq) => *seq,
        };
        if seq > self.tail() {
            Verdict::Gap("ahead")
        } else if seq + 1 < self.low(plan) {
            Verdict::Gap("expired")
        } else {
            Verdict::Resumed { after: seq, missed: self.missed(seq) }
        }
    }

    /// The place that the window has for an id of the upstream's.
    pub fn place_of(&self, plan: &Plan, text: &str) -> Option<u64> {
        let (_, run, seq) = self.ids.iter().find(|(id, ..)| id == text)?;
        (*run == self.now() && seq + 1 >= self.low(plan)).then_some(*seq)
    }

    /// The id of a client that is given this place.
    pub fn fence(&self, seq: u64) -> Id {
        Id::Ours(self.now(), seq)
    }

    /// The upstream sends a frame.
    pub fn take(&mut self, plan: &Plan, frame: &Frame, now: Instant) -> Change {
        let own = frame.id.clone().filter(|id| !id.is_empty());
        self.page = frame.id.clone().unwrap_or_else(|| self.page.clone());
        self.theirs |= own.is_some() && plan.ids == Ids::Keep;
        let change = match &frame.event {
            None => Change { steps: self.control(plan, frame), ..Change::default() },
            Some(event) => self.event(plan, event, frame, now),
        };
        if let Some(own) = own.filter(|_| plan.ids == Ids::Keep || change.kept)
            && !self.ids.iter().any(|(id, ..)| *id == own)
        {
            self.ids.push((own, self.now(), self.tail()));
        }
        change
    }

    fn event(&mut self, plan: &Plan, event: &Event, frame: &Frame, now: Instant) -> Change {
        let is = |types: &[&str]| event.typed.as_ref().is_some_and(|kind| is_one(types, kind));
        let key = |types: &[&str]| event.key.clone().filter(|_| plan.guard && is(types));
        let (opens, closes) = (key(&["q.asked*"]), key(&["q.answered", "b.c*"]));
        let stale = opens
            .as_ref()
            .is_some_and(|key| self.closed.iter().any(|(closed, until)| closed == key && now < *until));
        let fate = if is(plan.reset) {
            Fate::Reset
        } else if stale {
            Fate::Stale
        } else if is(plan.ephemeral) || (!plan.retain.is_empty() && event.typed.is_some() && !is(plan.retain))
        {
            Fate::Ephemeral
        } else {
            Fate::Retained
        };
        let (kept, has_place) = (is(plan.keep_ids_of), !matches!(fate, Fate::Ephemeral));
        let shown = |id, place| {
            let (kind, data) = (event.kind.clone(), event.data.clone());
            Shown { kind, data, id, place, opens: opens.clone() }
        };
        let steps = match fate {
            Fate::Stale => return Change::default(),
            Fate::Reset => {
                self.run += 1;
                let id = self.first_id(plan, frame, kept);
                self.whole(plan, shown(Some(id), None), 0)
            }
            Fate::Ephemeral => {
                let (id, tail) = (self.ephemeral_id(plan, frame), self.tail());
                self.whole(plan, Shown { opens: None, ..shown(id, None) }, tail)
            }
            Fate::Retained => {
                let seq = self.tail() + 1;
                let id = self.retained_id(plan, frame, kept, seq);
                let steps = self.whole(plan, shown(id, Some((self.now(), seq))), seq);
                self.retained.push(Retained {
                    steps: steps.clone(),
                    run: self.run,
                    seq,
                    came: now,
                    opens: opens.clone(),
                    withdrawn: false,
                });
                steps
            }
        };
        if let Some(key) = &closes {
            self.closed.push((key.clone(), now + Duration::from_secs(TTL)));
            for event in self.retained.iter_mut().filter(|event| event.opens.as_ref() == Some(key)) {
                event.withdrawn = true;
            }
        }
        Change { steps, withdraws: closes, kept: kept && has_place }
    }

    /// An event, and where ids are hidden our place behind it.
    fn whole(&self, plan: &Plan, shown: Shown, seq: u64) -> Vec<Step> {
        if plan.ids != Ids::Hidden {
            return vec![Step::Event(shown)];
        }
        let page = Some(Id::Text(self.page.clone()));
        vec![Step::Event(Shown { id: page, ..shown }), Step::Id(self.fence(seq))]
    }

    fn retained_id(&self, plan: &Plan, frame: &Frame, kept: bool, seq: u64) -> Option<Id> {
        let own = frame.id.clone();
        match plan.ids {
            Ids::Keep if self.theirs => own.map(Id::Text),
            Ids::Replace if kept && own.as_ref().is_some_and(|own| !own.is_empty()) => own.map(Id::Text),
            _ => Some(Id::Ours(self.now(), seq)),
        }
    }

    /// The event that begins a run has an id in any case.
    fn first_id(&self, plan: &Plan, frame: &Frame, kept: bool) -> Id {
        let stays = plan.ids == Ids::Keep || kept;
        let own = frame.id.clone().filter(|own| stays && !own.is_empty());
        own.map_or(Id::Ours(self.now(), 0), Id::Text)
    }

    /// None of ours, and none that would take ours from a client.
    fn ephemeral_id(&self, plan: &Plan, frame: &Frame) -> Option<Id> {
        match plan.ids {
            Ids::Keep => self.kept_id(frame),
            _ => None,
        }
    }

    /// Where ids are kept, those of frames that have no place stay. An empty one would leave the client without any.
    fn kept_id(&self, frame: &Frame) -> Option<Id> {
        let own = frame.id.clone()?;
        Some(if self.theirs { Id::Text(own) } else { self.fence(self.tail()) })
    }

    fn control(&self, plan: &Plan, frame: &Frame) -> Vec<Step> {
        let kept = if plan.ids == Ids::Keep { self.kept_id(frame) } else { None };
        kept.map(Step::Id).into_iter().collect()
    }
}

/// The generations of all runs, as they were first seen.
#[derive(Debug, Default)]
pub struct Generations(HashMap<Run, String>);

impl Generations {
    /// Whether a client holds this id, by its text.
    pub fn is(&mut self, id: &Id, text: &str) -> bool {
        let (run, seq) = match id {
            Id::Text(expected) => return expected == text,
            Id::Ours(run, seq) => (run, seq),
        };
        let Some((generation, counted)) = text.rsplit_once('-') else { return false };
        if Position::parse(text.as_bytes()).is_none() || counted != seq.to_string() {
            return false;
        }
        match self.0.get(run) {
            Some(known) => known == generation,
            None if self.0.values().any(|other| other == generation) => false,
            None => self.0.insert(*run, generation.to_owned()).is_none(),
        }
    }

    pub fn text(&self, id: &Id) -> String {
        match id {
            Id::Text(text) => text.clone(),
            Id::Ours(run, seq) => {
                format!("{}-{seq}", self.0.get(run).map_or("(of a run never seen)", |known| known))
            }
        }
    }
}
