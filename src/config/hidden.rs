//! The text of a file with its secrets made unreadable, so that its lines can be shown.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// What says where a secret is, instead of being one.
const SOURCES: [&str; 2] = ["env:", "file:"];

/// The same text, each byte at its place, but for the secrets. A key that is nearly the right one may have one, too.
pub(super) fn hidden(text: &str) -> String {
    let mut secrets = Vec::new();
    match DeTable::parse(text) {
        Ok(table) => in_table(table.get_ref(), false, &mut secrets),
        Err(_) => by_line(text, &mut secrets),
    }
    users(text, &mut secrets);
    covered(text, &secrets)
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["header", "authorization", "cookie", "password", "token", "secret"].iter().any(|word| key.contains(word))
}

fn in_table(table: &DeTable<'_>, secret: bool, into: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        in_value(value.get_ref(), value.span(), secret || is_secret(key.get_ref()), into);
    }
}

fn in_value(value: &DeValue<'_>, span: Range<usize>, secret: bool, into: &mut Vec<Range<usize>>) {
    match value {
        DeValue::Table(table) => in_table(table, secret, into),
        DeValue::Array(values) => {
            values.iter().for_each(|value| in_value(value.get_ref(), value.span(), secret, into));
        }
        DeValue::String(text) if SOURCES.iter().any(|source| text.starts_with(source)) => {}
        _ if secret => into.push(span),
        _ => {}
    }
}

/// What is no TOML has no values: from a line that names secrets on, all that may be one.
fn by_line(text: &str, into: &mut Vec<Range<usize>>) {
    let (mut start, mut inside) = (0, false);
    for line in text.split_inclusive('\n') {
        let (key, head) = (line.split('=').next().unwrap_or(line), line.trim_start().starts_with('['));
        let named = is_secret(key) || line.contains("pin_h");
        inside = named || inside && !head;
        if inside && !head {
            let value = line.find('=').map_or(0, |equals| equals + 1);
            into.push(start + value..start + line.len());
        }
        // One that ends where it began leaves the lines behind it to be read.
        inside &= !(named && line.contains('{') && line.trim_end().ends_with('}'));
        start += line.len();
    }
}

/// The user and the password of a URL.
fn users(text: &str, into: &mut Vec<Range<usize>>) {
    let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '/');
    for (at, _) in text.match_indices("://") {
        let start = at + 3;
        let authority = text.get(start..).unwrap_or_default().split(ends).next().unwrap_or_default();
        into.extend(authority.rfind('@').map(|at| start..start + at));
    }
}

/// What is covered keeps the length that it has in bytes, and what holds values together.
fn covered(text: &str, secrets: &[Range<usize>]) -> String {
    let cover = |(at, c): (usize, char)| {
        let shown = c.is_whitespace() || matches!(c, '"' | '\'' | '{' | '}' | '[' | ']' | ',' | '=');
        match c.len_utf8() {
            _ if shown || !secrets.iter().any(|span| span.contains(&at)) => c,
            1 => '*',
            2 => '×',
            3 => '•',
            _ => '🞄',
        }
    };
    text.char_indices().map(cover).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(hidden(text), expected);
        assert_eq!(hidden(text).len(), text.len());
    }

    #[test]
    fn values_of_secrets_cannot_be_read() {
        check(
            "pin_headers = { a = \"s3 ö\", b = \"env:B\" }",
            "pin_headers = { a = \"** ×\", b = \"env:B\" }",
        );
        check("[[route]]\npin_header.a = 's'\nlinger = '5m'", "[[route]]\npin_header.a = '*'\nlinger = '5m'");
        check("[x]\nauthorization = 17", "[x]\nauthorization = **");
        check("key = [\"header:authorization\"]", "key = [\"header:authorization\"]");
    }

    #[test]
    fn what_is_no_toml_shows_none_either() {
        check("pin_headers = { a = \"s }\nlinger = 5m", "pin_headers = { * = \"* }\nlinger = 5m");
        check(
            "[route.pin_headers]\na = \"s\nb = s\n[x]\nc = d",
            "[route.pin_headers]\na = \"*\nb = *\n[x]\nc = d",
        );
        check("pin_headers = {\na = \"s\n}", "pin_headers = {\na = \"*\n}");
    }

    #[test]
    fn a_user_in_a_url_cannot_be_read() {
        check("upstream = \"http://me:pw@host/\"", "upstream = \"http://*****@host/\"");
        check("upstream = \"http://host/@\"", "upstream = \"http://host/@\"");
    }
}
