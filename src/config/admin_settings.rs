//! By which names the admin is asked, and what for, as written, judged.

use std::net::IpAddr;

use super::{
    fault::{Wrong, wrong},
    file::File,
    source::Source,
    value,
    written::{Spanned, Texts},
};
use crate::admin::{Action, Settings};

const ACTIONS: &[(&str, Action)] = &[("purge", Action::Purge), ("drain", Action::Drain)];

/// No names and no actions, unless the operator names them.
pub(super) fn of(file: &File, source: Source<'_>) -> Settings {
    Settings {
        hosts: each(file.admin_hosts.as_ref(), source, host),
        actions: each(file.admin_actions.as_ref(), source, |text| value::choice(text, ACTIONS)),
    }
}

fn each<T: PartialEq>(
    written: Option<&Spanned<Texts>>,
    source: Source<'_>,
    judge: impl Fn(&str) -> Result<T, Wrong>,
) -> Vec<T> {
    let mut all = Vec::new();
    for one in written.map(|texts| source.each(texts, judge)).unwrap_or_default() {
        if !all.contains(&one) {
            all.push(one);
        }
    }
    all
}

/// A name as it stands in a `Host` header, without the port.
fn host(text: &str) -> Result<String, Wrong> {
    let remedy = "write the name alone, such as \"respool.internal\"";
    let name = text.trim().trim_end_matches('.').to_ascii_lowercase();
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    match name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(_) => Err(wrong(format!("`{text}` is an address, and those are always answered"), "leave it out")),
        Err(_) if name.split('.').all(is_label) => Ok(name),
        Err(_) => Err(wrong(format!("`{text}` is no host name"), remedy)),
    }
}
