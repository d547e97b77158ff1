//! An event whose type stands in its data, among what such servers send: names, numbers, lists, text with escapes.

use std::{fmt::Write as _, hint::black_box, time::Duration};

use respool::{
    rules::{Globs, Kind, Rules},
    sse::Splitter,
};

use crate::measure;

pub(crate) struct Event {
    frame: String,
    rules: Rules,
}

/// Where the type stands: in front of all else, or behind it.
pub(crate) enum Stands {
    First,
    Last,
}

impl Event {
    /// One of about so many bytes.
    pub(crate) fn new(bytes: usize, stands: Stands) -> Self {
        let mut parts = String::new();
        for n in 0.. {
            let part = format!(
                r#"{{"id":"prt_{n:016}","text":"It said \"no\",\nand then went on for a while.","tokens":[{n},12.5,null],"done":false}},"#
            );
            if parts.len() + part.len() > bytes - 150 {
                break;
            }
            parts += &part;
        }
        let (kind, parts) = (r#""type":"message.part.updated""#, parts.trim_end_matches(','));
        let rest = format!(
            r#""properties":{{"sessionID":"ses_0123456789","time":1732492800123,"parts":[{parts}]}}"#
        );
        let payload = match stands {
            Stands::First => format!("{kind},{rest}"),
            Stands::Last => format!("{rest},{kind}"),
        };
        let mut frame = String::new();
        write!(frame, "data: {{\"directory\":\"/home/me/project\",\"payload\":{{{payload}}}}}\n\n").unwrap();
        assert!(frame.len() <= bytes && frame.len() + 200 > bytes, "{} bytes", frame.len());
        let types = Globs::new(["server.heartbeat"]).unwrap();
        let kind = Kind::Data("/payload/type".parse().unwrap());
        Self { frame, rules: Rules { kind, ephemeral: Some(types), ..Rules::default() } }
    }

    /// The processor time that it takes to read its type so many times.
    pub(crate) fn read(&self, times: u64) -> Duration {
        let mut took = Duration::ZERO;
        let splitter = &mut Splitter::new(1 << 20);
        let measure = |frame: respool::sse::Frame<'_>| {
            assert_eq!(self.rules.kind(&frame).as_deref(), Some("message.part.updated"));
            let before = measure::own_cpu();
            for _ in 0..times {
                black_box(self.rules.kind(black_box(&frame)));
            }
            took = measure::own_cpu() - before;
        };
        splitter.feed(self.frame.as_bytes(), measure).unwrap();
        took
    }
}
