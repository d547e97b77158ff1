//! `respool check FILE`: says what is wrong with a configuration, without starting.

use std::io::{self, Write};

use crate::config::{Config, Env, Flags, Severity};

/// Reads the file as `respool --config FILE` would, with what the environment says beside it, and draws all that is
/// wrong with it on `err`, in colour or not; or says `ok` on `out`, with what is likely to be a mistake on `err`. True if
/// nothing is wrong.
///
/// # Errors
///
/// When it cannot be said.
pub fn run(
    file: &str,
    env: &Env<'_>,
    out: &mut impl Write,
    (err, colour): (&mut impl Write, bool),
) -> io::Result<bool> {
    let flags = Flags { config: Some(file.to_owned()), ..Flags::default() };
    match Config::load(&flags, env) {
        Ok(config) => {
            write!(err, "{}", config.warnings.render(Severity::Warning, colour))?;
            writeln!(out, "ok")?;
            Ok(true)
        }
        Err(faults) => {
            write!(err, "{}", faults.render(Severity::Error, colour))?;
            Ok(false)
        }
    }
}
