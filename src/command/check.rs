//! `respool check`: says what is wrong with a configuration, or what it comes to, without starting.

use std::io::{self, Write};

use http::request::Parts;

use super::explain::explain;
use crate::config::{self, Config, Env, Faults, Flags, Severity};

/// What is to be said of a configuration that nothing is wrong with.
#[derive(Debug)]
pub enum Say {
    /// That it is so.
    Ok,
    /// All of it, with what holds by default.
    Effective,
    /// What it makes of a request.
    Explain(Box<Parts>),
}

/// Reads what `respool` with these flags would, with what the environment says beside it, and draws all that is wrong with
/// it on `err`, in colour or not, and what is likely to be a mistake. Says on `out` what is asked for. True if nothing is
/// wrong.
///
/// # Errors
///
/// When it cannot be said.
pub fn run(
    (flags, env): (&Flags, &Env<'_>),
    say: &Say,
    out: &mut impl Write,
    (err, colour): (&mut impl Write, bool),
) -> io::Result<bool> {
    match said(flags, env, say) {
        Ok((config, said)) => {
            // A system that trusts nobody is wrong with no file, and so at no place of the configuration.
            if let Err(fault) = config.certificates().and(config.upstream_certificates().map(drop)) {
                writeln!(err, "{fault}")?;
                return Ok(false);
            }
            write!(err, "{}", config.warnings.render(Severity::Warning, colour))?;
            write!(out, "{said}")?;
            Ok(true)
        }
        Err(faults) => {
            write!(err, "{}", faults.render(Severity::Error, colour))?;
            Ok(false)
        }
    }
}

fn said(flags: &Flags, env: &Env<'_>, say: &Say) -> Result<(Config, String), Faults> {
    let file = config::read(flags, env)?;
    let file = file.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
    let config = Config::resolve_inspected(flags, env, file)?;
    let said = match say {
        Say::Ok => "ok\n".to_owned(),
        Say::Effective => config::effective(flags, env, file)?,
        Say::Explain(request) => {
            let outline = file.map(|(name, text)| config::outline(name, text)).unwrap_or_default();
            explain(&config, &outline, request)
        }
    };
    Ok((config, said))
}
