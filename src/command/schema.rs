//! `respool schema`: what editors need to complete and check a configuration.

use std::io::{self, Write};

use crate::config;

/// Writes the JSON schema of the configuration file on `out`.
///
/// # Errors
///
/// When it cannot be written.
pub fn run(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{:#}", config::schema())
}
