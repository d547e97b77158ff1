//! Guards as written, judged.

use std::time::Duration;

use super::{
    fault::{Wrong, wrong},
    file, rules,
    source::{Source, Table},
    value,
    written::{Spanned, Texts},
};
use crate::rules::{Globs, Guard, Pointer};

const TTL: Duration = Duration::from_secs(5 * 60);
/// What is written for types and for keys.
const OPEN: &str = "write the types that ask, `open = [\"question.asked\"]`";
const CLOSE: &str = "write the types that answer, `close = [\"question.replied\"]`";
const KEY: &str =
    "write where in the data they say what they are about, `key = [\"/id\"]`, or `open_key` and `close_key`";

/// All guards of a route, in the order written.
pub(super) fn all(written: &[Spanned<file::Guard>], source: Source<'_>) -> Vec<Guard> {
    written.iter().filter_map(|guard| Written { guard, source }.judge()).collect()
}

struct Written<'a> {
    guard: &'a Spanned<file::Guard>,
    source: Source<'a>,
}

impl Written<'_> {
    /// All that is wrong with it is noted before it is given up.
    fn judge(&self) -> Option<Guard> {
        let guard = self.guard.get_ref();
        let open = self.types(guard.open.as_ref(), "open", OPEN);
        let close = self.types(guard.close.as_ref(), "close", CLOSE);
        let keys = self.keys();
        let ttl = self.source.read(guard.ttl.as_ref(), value::bound).unwrap_or(TTL);
        let (open_key, close_key) = keys?;
        Some(Guard { open: open?, close: close?, open_key, close_key, ttl })
    }

    fn types(&self, written: Option<&Spanned<Texts>>, name: &str, remedy: &'static str) -> Option<Globs> {
        match written {
            Some(_) => rules::types(written, self.source),
            None => self.lacks(name, remedy),
        }
    }

    /// Where the key stands in an opening event, and where in a closing one.
    fn keys(&self) -> Option<(Vec<Pointer>, Vec<Pointer>)> {
        let guard = self.guard.get_ref();
        let (open, close) = match (&guard.key, &guard.open_key, &guard.close_key) {
            (Some(key), None, None) => (key, key),
            (None, Some(open), Some(close)) => (open, close),
            (None, None, None) => return self.lacks("key", KEY),
            (None, Some(_), None) => return self.lacks("close_key", KEY),
            (None, None, Some(_)) => return self.lacks("open_key", KEY),
            (Some(key), ..) => {
                let message = "`key` says it for both, and so do `open_key` and `close_key`";
                return self.source.judged(Err(wrong(message, "leave out either")), key.span());
            }
        };
        let (opens, closes) = (open.get_ref().len(), close.get_ref().len());
        if opens != closes {
            let message = format!("`close_key` has {closes} parts, where `open_key` has {opens}");
            self.source.refuse(wrong(message, "write as many for both, in the same order"), close.span());
        }
        Some((self.pointers(open), self.pointers(close)))
    }

    fn pointers(&self, key: &Spanned<Texts>) -> Vec<Pointer> {
        self.source.not_empty(key, wrong("this key is of nothing", KEY));
        self.source.each(key, pointer)
    }

    /// What is missing may be there, and wrong.
    fn lacks<T>(&self, name: &str, remedy: &'static str) -> Option<T> {
        let span = self.guard.span();
        let fault = wrong(format!("this guard has no `{name}`"), remedy).at(self.source.place(span.clone()));
        let keys: &[_] = if name.ends_with("key") { &["key", "open_key", "close_key"] } else { &[name] };
        self.source.lacks(&Table::At(span), keys, fault);
        None
    }
}

fn pointer(text: &str) -> Result<Pointer, Wrong> {
    text.parse().map_err(|fault| wrong(format!("`{text}` is no place of a key: {fault}"), KEY))
}
