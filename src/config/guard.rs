//! Guards as written, judged.

use std::time::Duration;

use globset::GlobSet;
use toml::Spanned;

use super::{
    fault::{Fault, wrong},
    file::{self, Source},
    rules, value,
    written::Texts,
};
use crate::rules::{Guard, Pointer};

const TTL: Duration = Duration::from_secs(5 * 60);
/// What is written for types and for keys.
const OPEN: &str = "write the types that ask, `open = [\"question.asked\"]`";
const CLOSE: &str = "write the types that answer, `close = [\"question.replied\"]`";
const KEY: &str =
    "write where in the data they say what they are about, `key = [\"/id\"]`, or `open_key` and `close_key`";

/// All guards of a route, in the order written.
pub(super) fn all(written: &[Spanned<file::Guard>], source: Source<'_>) -> Result<Vec<Guard>, Fault> {
    written.iter().map(|guard| Written { guard, source }.judge()).collect()
}

struct Written<'a> {
    guard: &'a Spanned<file::Guard>,
    source: Source<'a>,
}

impl Written<'_> {
    fn judge(&self) -> Result<Guard, Fault> {
        let guard = self.guard.get_ref();
        let (open_key, close_key) = self.keys()?;
        Ok(Guard {
            open: self.types(guard.open.as_ref(), "open", OPEN)?,
            close: self.types(guard.close.as_ref(), "close", CLOSE)?,
            open_key,
            close_key,
            ttl: self.source.read(guard.ttl.as_ref(), value::bound)?.unwrap_or(TTL),
        })
    }

    fn types(
        &self,
        written: Option<&Spanned<Texts>>,
        name: &str,
        remedy: &'static str,
    ) -> Result<GlobSet, Fault> {
        rules::types(written, self.source)?.ok_or_else(|| self.lacks(name, remedy))
    }

    /// Where the key stands in an opening event, and where in a closing one.
    fn keys(&self) -> Result<(Vec<Pointer>, Vec<Pointer>), Fault> {
        let guard = self.guard.get_ref();
        let (open, close) = match (&guard.key, &guard.open_key, &guard.close_key) {
            (Some(key), None, None) => (key, key),
            (None, Some(open), Some(close)) => (open, close),
            (None, None, None) => return Err(self.lacks("key", KEY)),
            (None, Some(_), None) => return Err(self.lacks("close_key", KEY)),
            (None, None, Some(_)) => return Err(self.lacks("open_key", KEY)),
            (Some(key), ..) => {
                let wrong =
                    wrong("`key` says it for both, and so do `open_key` and `close_key`", "leave out either");
                return Err(wrong.at(self.source.place(key.span())));
            }
        };
        let keys = (self.pointers(open)?, self.pointers(close)?);
        let (opens, closes) = (keys.0.len(), keys.1.len());
        if opens == closes {
            return Ok(keys);
        }
        let message = format!("`close_key` has {closes} parts, where `open_key` has {opens}");
        let wrong = wrong(message, "write as many for both, in the same order");
        Err(wrong.at(self.source.place(close.span())))
    }

    fn pointers(&self, key: &Spanned<Texts>) -> Result<Vec<Pointer>, Fault> {
        let parts = key.get_ref().each(&key.span());
        if parts.is_empty() {
            return Err(wrong("this key is of nothing", KEY).at(self.source.place(key.span())));
        }
        let pointer = |(text, span): (&str, _)| {
            text.parse().map_err(|fault| {
                let wrong = wrong(format!("`{text}` is no place of a key: {fault}"), KEY);
                wrong.at(self.source.place(span))
            })
        };
        parts.into_iter().map(pointer).collect()
    }

    fn lacks(&self, name: &str, remedy: &'static str) -> Fault {
        wrong(format!("this guard has no `{name}`"), remedy).at(self.source.place(self.guard.span()))
    }
}
