//! Headers whose values are secrets. No message, log or `Debug` of what is here shows a value.

use std::fs;

use super::{
    fault::{Wrong, wrong},
    source::Source,
    written::{Headers, Secret, Spanned},
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The headers to ask with, each value from where it is said to be, and marked as sensitive.
pub(super) fn headers(
    written: &Spanned<Headers>,
    source: Source<'_>,
    env: &dyn Fn(&str) -> Option<String>,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let Headers::Table(entries) = written.get_ref() else {
        let remedy = "write `pin_headers = { authorization = \"env:TOKEN\" }`";
        source.refuse(wrong("`pin_headers` is no table", remedy), written.span());
        return headers;
    };
    for (name, secret) in entries {
        let Some(key) = source.judged(header(name.get_ref()), name.span()) else { continue };
        if let Some(value) = source.judged(value(&key, secret.get_ref(), env), secret.span()) {
            headers.append(key, value);
        }
    }
    headers
}

fn header(name: &str) -> Result<HeaderName, Wrong> {
    name.parse().map_err(|_| wrong("this is no header's name", "write one, such as `authorization`"))
}

fn value(
    name: &HeaderName,
    secret: &Secret,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<HeaderValue, Wrong> {
    let Secret::Text(text) = secret else {
        return Err(wrong(format!("the value of `{name}` is no text"), "write it in quotes"));
    };
    let text = match text.split_once(':') {
        Some(("env", variable)) => env(variable).ok_or_else(|| {
            wrong(format!("the environment has no `{variable}`"), "set it, or write \"file:/path\"")
        })?,
        Some(("file", path)) => fs::read_to_string(path).map_err(|error| {
            wrong(format!("`{path}` cannot be read: {error}"), "name a file of text that this user may read")
        })?,
        _ => text.clone(),
    };
    // Files end with a line end, and a variable set from one may too.
    let mut value = HeaderValue::from_str(text.trim()).map_err(|_| {
        wrong(
            format!("the value of `{name}` is no header value"),
            "write one line without control characters",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}
