//! What the event server sends: frames that are known by heart, so that nobody has to read them again.

use rand::{
    RngExt as _,
    rngs::StdRng,
    seq::{IndexedRandom as _, SliceRandom as _},
};

use super::plan::Plan;

/// A frame: its bytes, and what they mean.
#[derive(Clone, Debug)]
pub struct Frame {
    pub bytes: String,
    /// None where nobody dispatches it.
    pub event: Option<Event>,
    /// What its id line says, if a client takes it: perhaps nothing.
    pub id: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Event {
    /// As a page has it.
    pub kind: String,
    pub data: String,
    /// As the operator's rules have it.
    pub typed: Option<String>,
    /// What it asks, or answers.
    pub key: Option<String>,
}

/// Some are of several rules.
const TYPES: &[&str] = &[
    "message",
    "a",
    "a",
    "a",
    "b.c",
    "beat",
    "beat.2",
    "q.asked",
    "q.asked",
    "q.asked",
    "q.asked.beat",
    "q.asked.gone",
    "q.answered",
    "q.answered",
    "gone",
    "gone.2",
    "hi",
];

/// The data of event `number`, by what its type is: lines, the type, the key.
type Data = (Vec<String>, Option<String>, Option<String>);

/// Writes the frames of one stream.
#[derive(Debug)]
pub struct Writer {
    /// Which stream: its ids are its own.
    pub stream: usize,
    pub number: usize,
    pub ids: Vec<String>,
}

impl Writer {
    /// Anything.
    pub fn any(&mut self, plan: &Plan, dice: &mut StdRng) -> Frame {
        self.number += 1;
        let own = self.own_id(plan, dice);
        if dice.random_ratio(1, 6) {
            return control(plan, dice, own);
        }
        let kind = *TYPES.choose(dice).unwrap();
        let typed = !plan.pointer || dice.random_ratio(5, 6);
        self.event(plan, dice, typed.then_some(kind), own)
    }

    /// One event of a hello.
    pub fn hello(&mut self, plan: &Plan, dice: &mut StdRng) -> Frame {
        self.number += 1;
        self.event(plan, dice, Some("hi.there"), None)
    }

    /// What its id line says, if there is one. NUL makes it none.
    fn own_id(&mut self, plan: &Plan, dice: &mut StdRng) -> Option<String> {
        let own = match dice.random_range(0..20) {
            0 => String::new(),
            1 => "x\0y".into(),
            2..4 if plan.numbers => self.ids.choose(dice)?.clone(),
            4..12 if plan.numbers => format!("n{}\u{e9}-{}", self.stream, self.number),
            _ => return None,
        };
        if !own.contains('\0') && !own.is_empty() {
            self.ids.push(own.clone());
        }
        Some(own)
    }

    fn event(&self, plan: &Plan, dice: &mut StdRng, kind: Option<&str>, own: Option<String>) -> Frame {
        let (data, typed, key) =
            if plan.pointer { self.pointed(dice, kind) } else { self.named(dice, kind.unwrap()) };
        // Where types stand in the data the field means nothing.
        let field =
            if plan.pointer { ["message", "gone", "beat"].choose(dice).copied() } else { kind }.unwrap();
        let mut others = Vec::new();
        if field != "message" || dice.random_ratio(1, 9) {
            others.push(format!("event: {field}"));
        }
        others.extend(own.as_ref().map(|id| format!("id: {id}")));
        for line in [": comment", "retry: 700", "other: x"] {
            if dice.random_ratio(1, 9) {
                others.push(line.to_owned());
            }
        }
        others.shuffle(dice);
        let mut lines: Vec<String> = data.iter().map(|line| format!("data: {line}")).collect();
        for line in others {
            lines.insert(dice.random_range(0..=lines.len()), line);
        }
        let event = Event { kind: field.to_owned(), data: data.join("\n"), typed, key };
        frame(plan, &lines, Some(event), own)
    }

    /// An event with its type in its field.
    fn named(&self, dice: &mut StdRng, kind: &str) -> Data {
        let number = self.number;
        let (lines, key) = match dice.random_range(0..6) {
            0 => (vec![format!("no JSON {number}"), String::new()], None),
            1 => (vec![format!("{{\"n\":{number}}}")], None),
            _ => {
                let key = key(dice);
                (vec![format!("{{\"n\":{number},"), format!("\"id\":\"{key}\"}}")], Some(key))
            }
        };
        (whole(dice, lines), Some(kind.to_owned()), key)
    }

    /// An event with its type in its data, or without one.
    fn pointed(&self, dice: &mut StdRng, kind: Option<&str>) -> Data {
        let number = self.number;
        let Some(kind) = kind else {
            let untyped = [
                format!("no JSON {number}"),
                format!("{{\"n\":{number},\"kind\":\"gone\"}}"),
                format!("{{\"n\":{number},\"type\":{{\"gone\":1}}}}"),
                format!("{{\"n\":{number},\"type\":null}}"),
                format!("{{\"n\":{number},\"type\":\"gone"),
                format!("[{number},\"gone\"]"),
            ];
            return (vec![untyped.choose(dice).unwrap().clone()], None, None);
        };
        let key = dice.random_ratio(4, 5).then(|| key(dice));
        let mut lines = vec![format!("\"n\":{number}"), format!("\"type\":\"{kind}\"")];
        lines.extend(key.iter().map(|key| format!("\"id\":\"{key}\"")));
        lines.shuffle(dice);
        let last = lines.len() - 1;
        let lines = lines.iter().enumerate().map(|(at, line)| {
            let (start, end) = (if at == 0 { "{" } else { "" }, if at == last { "}" } else { "," });
            format!("{start}{line}{end}")
        });
        (whole(dice, lines.collect()), Some(kind.to_owned()), key)
    }
}

fn key(dice: &mut StdRng) -> String {
    (*["k1", "k2", "k3"].choose(dice).unwrap()).to_owned()
}

/// The lines, or all of them as one.
fn whole(dice: &mut StdRng, lines: Vec<String>) -> Vec<String> {
    if dice.random() { lines } else { vec![lines.concat()] }
}

fn control(plan: &Plan, dice: &mut StdRng, own: Option<String>) -> Frame {
    let mut lines = vec![(*[": comment", "retry: 250", "event: gone"].choose(dice).unwrap()).to_owned()];
    lines.extend(own.as_ref().map(|id| format!("id: {id}")));
    frame(plan, &lines, None, own)
}

fn frame(plan: &Plan, lines: &[String], event: Option<Event>, own: Option<String>) -> Frame {
    let bytes = lines.iter().map(|line| line.as_str()).chain([""]);
    let bytes = bytes.map(|line| format!("{line}{}", plan.eol)).collect();
    Frame { bytes, event, id: own.filter(|id| !id.contains('\0')) }
}
