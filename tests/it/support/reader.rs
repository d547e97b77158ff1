//! The naive twin: the event stream format as the standard's text has it (9.2.5, 9.2.6), one character at a time.

/// What a page is given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    pub kind: String,
    pub data: String,
    /// `lastEventId`.
    pub id: String,
}

/// What a client holds after it has read `bytes`.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Held {
    pub events: Vec<Event>,
    /// What it would send as `Last-Event-ID`.
    pub id: String,
    pub retry: Option<u64>,
}

impl Held {
    pub fn data(&self) -> Vec<&str> {
        self.events.iter().map(|event| event.data.as_str()).collect()
    }
}

/// Reads a stream from its start. `id` is what the client brought.
pub fn read(bytes: &[u8], id: &str) -> Held {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut held = Held { id: id.to_owned(), ..Held::default() };
    let (mut data, mut kind, mut next_id) = (String::new(), String::new(), id.to_owned());
    for line in lines(text) {
        if line.is_empty() {
            held.id.clone_from(&next_id);
            if !data.is_empty() {
                data.pop();
                let kind = if kind.is_empty() { "message".to_owned() } else { kind.clone() };
                held.events.push(Event { kind, data: data.clone(), id: held.id.clone() });
            }
            data.clear();
            kind.clear();
            continue;
        }
        if line.starts_with(':') {
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => data = data + value + "\n",
            "event" => kind = value.to_owned(),
            "id" if !value.contains('\0') => next_id = value.to_owned(),
            "retry" if !value.is_empty() && value.chars().all(|c| c.is_ascii_digit()) => {
                held.retry = value.parse().ok();
            }
            _ => {}
        }
    }
    held
}

/// The lines that have an end: what follows the last end is no line.
fn lines(text: &str) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' => {
                chars.next_if_eq(&'\n');
                lines.push(std::mem::take(&mut line));
            }
            '\n' => lines.push(std::mem::take(&mut line)),
            c => line.push(c),
        }
    }
    lines
}

#[test]
fn the_standards_own_examples_are_read_as_it_says() {
    let held =
        read(b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event", "");
    assert_eq!(held.data(), ["first event", "second event"]);
    assert_eq!((held.events[0].id.as_str(), held.id.as_str()), ("1", ""));
    assert_eq!(read(b"data\n\ndata\ndata\n\ndata:", "").data(), ["", "\n"]);
    assert_eq!(read(b"data:test\n\ndata: test\n\n", "").data(), ["test", "test"]);
}
