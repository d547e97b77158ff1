//! What the operator wrote in a case, and what the event server is like.

use std::fmt::Write as _;

use rand::{RngExt as _, rngs::StdRng, seq::IndexedRandom as _};

/// Which ids clients see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ids {
    Keep,
    Replace,
    Hidden,
}

/// A route's rules, and the world around them.
#[derive(Clone, Debug)]
pub struct Plan {
    pub shared: bool,
    /// The upstream is asked about each client of a shared stream.
    pub admits: bool,
    /// Types stand in the data.
    pub pointer: bool,
    /// How many events a hello has; none without the rule.
    pub hello: usize,
    pub reset: &'static [&'static str],
    pub ephemeral: &'static [&'static str],
    pub retain: &'static [&'static str],
    pub guard: bool,
    pub ids: Ids,
    pub keep_ids_of: &'static [&'static str],
    /// Who is gapped gets what is still retained.
    pub replay: bool,
    pub gap_event: bool,
    /// How many events a client may have missed, and for how long, in seconds.
    pub events: u64,
    pub age: u64,
    /// The event server greets each connection.
    pub greets: bool,
    /// It gives ids of its own.
    pub numbers: bool,
    pub eol: &'static str,
    pub clients: usize,
    pub steps: usize,
}

/// For how long what was answered is stale, in seconds: no case takes as long, unless time passes on purpose.
pub const TTL: u64 = 600;
/// How long a hello is waited for, in seconds.
pub const HELLO_WAIT: u64 = 1;

impl Plan {
    pub fn draw(dice: &mut StdRng) -> Self {
        let mut one_in = |n| dice.random_ratio(1, n);
        let (shared, greets) = (one_in(2), one_in(2));
        let mut plan = Self {
            shared,
            admits: one_in(3),
            pointer: one_in(2),
            hello: if shared && one_in(2) { 1 + usize::from(one_in(2)) } else { 0 },
            reset: if one_in(2) { &["gone*", "q.asked.gone"] } else { &[] },
            ephemeral: if one_in(2) { &["beat*", "gone.2", "q.asked.beat"] } else { &[] },
            retain: if one_in(4) { &["a", "q.*", "message", "beat"] } else { &[] },
            guard: one_in(2),
            ids: if one_in(2) {
                Ids::Keep
            } else if one_in(2) {
                Ids::Replace
            } else {
                Ids::Hidden
            },
            keep_ids_of: if one_in(3) { &["a"] } else { &[] },
            replay: one_in(2),
            gap_event: one_in(2),
            events: if one_in(2) { 3 } else { 100 },
            age: if one_in(3) { 300 } else { 100_000 },
            greets,
            numbers: one_in(2),
            eol: "\n",
            clients: 3,
            steps: 40,
        };
        plan.eol = ["\n", "\n", "\r\n", "\r"].choose(dice).copied().unwrap_or("\n");
        plan.greets |= plan.hello > 0;
        if plan.ids != Ids::Replace {
            plan.keep_ids_of = &[];
        }
        plan.pointer &= plan.has_rules();
        plan
    }

    fn has_rules(&self) -> bool {
        let sets = [self.reset, self.ephemeral, self.retain, self.keep_ids_of];
        self.hello > 0 || self.guard || sets.iter().any(|set| !set.is_empty())
    }

    pub fn config(&self) -> String {
        let mut file =
            "[[route]]\npath = '/e'\nlinger = '1d'\nheartbeat = 'none'\nkey = ['path']\n".to_owned();
        let mut line = |line: String| writeln!(file, "{line}").unwrap();
        if self.shared {
            line(format!("mode = 'shared'\nadmit = '{}'", if self.admits { "upstream" } else { "none" }));
        }
        if self.pointer {
            line("type = '/type'".into());
        }
        if self.hello > 0 {
            line(format!("hello = 'hi*'\nhello_events = {}\nhello_wait = '{HELLO_WAIT}s'", self.hello));
        }
        for (name, set) in [
            ("reset", self.reset),
            ("ephemeral", self.ephemeral),
            ("retain", self.retain),
            ("keep_ids_of", self.keep_ids_of),
        ] {
            if !set.is_empty() {
                line(format!("{name} = {set:?}"));
            }
        }
        line(format!("ids = '{}'", format!("{:?}", self.ids).to_lowercase()));
        if self.replay {
            line("on_gap = 'replay'".into());
        }
        if self.gap_event {
            line("gap_event = { event = 'gap', data = '{reason}' }".into());
        }
        line(format!("window = {{ events = {}, age = '{}s' }}", self.events, self.age));
        if self.guard {
            line(format!(
                "[[route.guard]]\nopen = 'q.asked*'\nclose = ['q.answered', 'b.c*']\nkey = '/id'\nttl = '{TTL}s'"
            ));
        }
        file
    }
}

/// Whether a type is one of these, in which a star at the end stands for anything.
pub fn is_one(types: &[&str], kind: &str) -> bool {
    types.iter().any(|glob| match glob.strip_suffix('*') {
        Some(start) => kind.starts_with(start),
        None => *glob == kind,
    })
}
