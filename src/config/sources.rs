//! Where a setting may come from: flags, then the environment, then the file.

use std::{fmt, str::FromStr};

use super::{
    fault::{Place, wrong},
    file::File,
    source::{Source, Table},
};
use crate::net::{Address, Upstream};

/// The environment: a variable's value by its name.
pub type Env<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// What can be set by flags.
#[derive(Clone, Default, Debug)]
pub struct Flags {
    /// `--upstream`.
    pub upstream: Option<String>,
    /// `--listen`, as often as it was given.
    pub listen: Vec<String>,
    /// `--admin`.
    pub admin: Option<String>,
    /// `--config`.
    pub config: Option<String>,
}

/// Where clients come in unless something is said: nobody but this machine.
const LISTEN: &str = "127.0.0.1:8080";

/// The variables that are said instead of a key.
pub(super) const NAMES: [&str; 3] = ["RESPOOL_UPSTREAM", "RESPOOL_LISTEN", "RESPOOL_ADMIN"];

/// The configuration file's name, if there is one.
pub(super) fn file(flags: &Flags, env: &Env<'_>) -> Option<String> {
    flags.config.clone().or_else(|| variable(env, "RESPOOL_CONFIG"))
}

/// An empty variable is an unset one: many tools can only set them.
fn variable(env: &Env<'_>, name: &str) -> Option<String> {
    env(name).filter(|value| !value.trim().is_empty())
}

pub(super) struct Sources<'a> {
    pub(super) flags: &'a Flags,
    pub(super) env: &'a Env<'a>,
    pub(super) source: Source<'a>,
    pub(super) file: &'a File,
}

impl Sources<'_> {
    pub(super) fn listen(&self) -> Vec<Address> {
        let flag = self.flags.listen.iter().map(|text| (text.clone(), Place::Named("--listen")));
        let mut written: Vec<_> = flag.collect();
        if written.is_empty() {
            let variable = variable(self.env, "RESPOOL_LISTEN").unwrap_or_default();
            let each = variable.split(',').map(str::trim).filter(|text| !text.is_empty());
            written = each.map(|text| (text.to_owned(), Place::Named("RESPOOL_LISTEN"))).collect();
        }
        if let (true, Some(texts)) = (written.is_empty(), &self.file.listen) {
            let each = texts.get_ref().each(&texts.span());
            written =
                each.into_iter().map(|(text, span)| (text.to_owned(), self.source.place(span))).collect();
            let remedy = format!("write at least one address, such as `listen = [\"{LISTEN}\"]`");
            self.source.not_empty(texts, wrong("there is nowhere to listen", remedy));
        }
        if written.is_empty() {
            written.push((LISTEN.to_owned(), Place::Nowhere));
        }
        written.into_iter().filter_map(|(text, place)| self.parsed(&text, place)).collect()
    }

    pub(super) fn upstream(&self) -> Option<Upstream> {
        let in_file = self.file.upstream.as_ref().map(|text| (text.get_ref().as_ref(), text.span()));
        let first = self.first(self.flags.upstream.as_ref(), ("--upstream", "RESPOOL_UPSTREAM"), in_file);
        let Some((text, place)) = first else {
            let place = match self.source.name {
                "" => Place::Nowhere,
                name => Place::Whole(name.to_owned()),
            };
            let remedy = "give --upstream URL, set RESPOOL_UPSTREAM, or write `upstream = \"http://127.0.0.1:9000\"` in the file";
            self.source.lacks(&Table::Whole, &["upstream"], wrong("no upstream is given", remedy).at(place));
            return None;
        };
        self.parsed(&text, place)
    }

    /// Never where clients come in: it would answer them, or they would read it.
    pub(super) fn admin(&self, listen: &[Address]) -> Option<Address> {
        let in_file = self.file.admin.as_ref().map(|text| (text.get_ref().as_ref(), text.span()));
        let first = self.first(self.flags.admin.as_ref(), ("--admin", "RESPOOL_ADMIN"), in_file);
        let (text, place) = first?;
        let admin = self.parsed(&text, place.clone())?;
        if listen.contains(&admin) && !any_port(&admin) {
            let wrong = wrong(format!("`{admin}` is where clients come in"), "write another port");
            self.source.found.add(wrong.at(place));
        }
        Some(admin)
    }

    fn first(
        &self,
        flag: Option<&String>,
        (name, variable_name): (&'static str, &'static str),
        in_file: Option<(&str, std::ops::Range<usize>)>,
    ) -> Option<(String, Place)> {
        let flag = flag.map(|text| (text.clone(), Place::Named(name)));
        flag.or_else(|| Some((variable(self.env, variable_name)?, Place::Named(variable_name))))
            .or_else(|| in_file.map(|(text, span)| (text.to_owned(), self.source.place(span))))
    }

    /// A text as an address of some kind. The errors of these say what is wrong, `;`, and what would be right, and
    /// repeat nothing: an upstream's address may hold a password.
    fn parsed<T: FromStr<Err: fmt::Display>>(&self, text: &str, place: Place) -> Option<T> {
        let parsed = text.trim().parse().map_err(|error: T::Err| {
            let error = error.to_string();
            let (message, remedy) = error.split_once("; ").unwrap_or((&error, "write an address"));
            self.source.found.add(wrong(message, remedy).at(place));
        });
        parsed.ok()
    }
}

fn any_port(address: &Address) -> bool {
    matches!(address, Address::Tcp(address) if address.port() == 0)
}
