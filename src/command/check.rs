//! `respool check FILE`: says what is wrong with a configuration, without starting.

use std::io::{self, Write};

use crate::config::{Config, Env, Flags};

/// Reads the file as `respool --config FILE` would, with what the environment says beside it, and says what is
/// wrong with it on `err`, or `ok` on `out`, with what is likely to be a mistake on `err`. True if nothing is wrong.
///
/// # Errors
///
/// When it cannot be said.
pub fn run(file: &str, env: &Env<'_>, out: &mut impl Write, err: &mut impl Write) -> io::Result<bool> {
    let flags = Flags { config: Some(file.to_owned()), ..Flags::default() };
    match Config::load(&flags, env) {
        Ok(config) => {
            for warning in &config.warnings {
                writeln!(err, "warning: {warning}")?;
            }
            writeln!(out, "ok")?;
            Ok(true)
        }
        Err(fault) => {
            writeln!(err, "{fault}")?;
            Ok(false)
        }
    }
}
