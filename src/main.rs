//! The binary: arguments, logging, runtime, exit code; nothing else.

use std::{error::Error, io, io::Write as _, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use respool::{
    app::App,
    command,
    config::{Config, Flags},
    dice::Dice,
    drain::Drain,
    log,
    metrics::Metrics,
};

/// The configuration or the arguments are wrong; clap says the same.
const WRONG: u8 = 2;

/// A reverse proxy that gives any event server replay: clients that lose their connection get what they missed.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = AFTER)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

const AFTER: &str = "Flags beat the environment, which beats the file. Exit codes: 0 fine, 1 failed, 2 wrong \
                     configuration or arguments.";

#[derive(Subcommand)]
enum Command {
    /// Run the proxy; the same as no command at all
    Run(Run),
    /// Read a configuration file and say what is wrong with it, without starting
    Check {
        /// The file
        file: String,
    },
}

#[derive(Args)]
struct Run {
    /// The event server: http://host:port or unix:/path [env: RESPOOL_UPSTREAM]
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Where clients come in, 127.0.0.1:8080 unless given; may be repeated [env: RESPOOL_LISTEN, with commas]
    #[arg(long, value_name = "ADDR")]
    listen: Vec<String>,
    /// Where /live, /ready and /metrics are served; nowhere unless given [env: RESPOOL_ADMIN]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// The configuration file [env: RESPOOL_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
    /// error, warn, info, debug or trace, or one for each part of the program [env: RESPOOL_LOG]
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        None => run(arguments.run),
        Some(Command::Run(arguments)) => run(arguments),
        Some(Command::Check { file }) => check(&file),
    };
    done.unwrap_or_else(|error| {
        say(error.as_ref());
        ExitCode::FAILURE
    })
}

fn check(file: &str) -> Result<ExitCode, Box<dyn Error>> {
    let fine = command::check::run(file, &env, &mut io::stdout(), &mut io::stderr())?;
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::from(WRONG) })
}

fn run(arguments: Run) -> Result<ExitCode, Box<dyn Error>> {
    let Run { upstream, listen, admin, config, log } = arguments;
    if let Err(wrong) = log::start(log.as_deref(), &env) {
        say(&wrong);
        return Ok(ExitCode::from(WRONG));
    }
    let config = match Config::load(&Flags { upstream, listen, admin, config }, &env) {
        Ok(config) => config,
        Err(fault) => {
            say(&fault);
            return Ok(ExitCode::from(WRONG));
        }
    };
    for warning in &config.warnings {
        tracing::warn!(%warning, "the configuration may not be what is meant");
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve(config))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: Config) -> Result<(), Box<dyn Error>> {
    let drain = Drain::new(config.drain_time);
    let app = App::new(&config, config.upstream.dialer(), Dice::new()?, Metrics::new(), drain);
    Ok(command::run::run(&config, app).await?)
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// An error and its causes in one line, for whoever started the program.
fn say(error: &dyn Error) {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    // Without a standard error there is nobody to tell; the exit code still does.
    let _ = writeln!(io::stderr(), "{line}");
}
