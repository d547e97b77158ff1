//! The binary: arguments, logging, runtime, exit code; nothing else.

use std::{
    error::Error,
    io::{self, IsTerminal as _, Write as _},
    net::SocketAddr,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use respool::{
    app::App,
    command::{self, check::Say, explain::Target, reload::Sources},
    config::{Config, Flags, Severity},
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
    /// Read a configuration and say all that is wrong with it, without starting
    Check(Check),
    /// Print the JSON schema of the configuration file, with which editors complete and check one
    Schema,
    /// Ask one that runs whether it is ready, such as for the health check of a container
    #[command(after_help = HEALTH)]
    Health {
        /// Where its /ready is; by default what the file says [env: RESPOOL_ADMIN]
        #[arg(long, value_name = "ADDR")]
        admin: Option<String>,
        /// The configuration file [env: RESPOOL_CONFIG]
        #[arg(long, value_name = "FILE")]
        config: Option<String>,
    },
    /// See it work: an event server, respool in front of it, and a network that is cut again and again
    #[command(after_help = DEMO)]
    Demo(Demo),
    /// Prove on the real path that clients that lose their connection lose nothing, or say what is in the way
    #[command(after_help = DOCTOR)]
    Doctor(Doctor),
}

const DEMO: &str = "Exit codes: 0 if the right side is whole, 1 if it is not or nothing could be started, 2 wrong \
                    arguments.";

const HEALTH: &str =
    "Exit codes: 0 it is ready, 1 it is not, or nothing answers, 2 wrong arguments or configuration.";

#[derive(Args)]
struct Demo {
    /// How long, such as 10s; until Ctrl-C unless given
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    length: Option<Duration>,
    /// Where the page is; the next free port is taken where this one is not
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// How often the network is cut; at least 2s
    #[arg(long, value_name = "TIME", value_parser = cut_every, default_value = "4s")]
    cut_every: Duration,
    /// error, warn, info, debug or trace, warn unless given [env: RESPOOL_LOG]
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
}

const DOCTOR: &str = "Exit codes: 0 nothing is wrong, 1 something is (each finding says what it means and what to do), \
                      2 wrong arguments.";

#[derive(Args)]
struct Doctor {
    /// The stream as clients reach it: http://host:port/path or unix:/socket:/path
    #[arg(value_name = "URL")]
    target: command::doctor::Target,
    /// How long to watch
    #[arg(long = "for", value_name = "TIME", value_parser = length, default_value = "30s")]
    length: Duration,
    /// How often one of the two connections is cut
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000), default_value = "10")]
    cuts: u32,
    /// A header to ask with, as 'Name: value'; may be repeated
    #[arg(long, value_name = "HEADER")]
    header: Vec<command::doctor::Header>,
    /// The same stream at the event server itself, to tell what is the way's from what is the server's
    #[arg(long, value_name = "URL")]
    direct: Option<command::doctor::Target>,
    /// Watch a bare event server at URL instead, and print the configuration that it seems to need
    #[arg(long, conflicts_with_all = ["cuts", "direct"])]
    suggest: bool,
    /// Say it as an object
    #[arg(long)]
    json: bool,
}

fn length(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(length) if length < command::doctor::SHORTEST => {
            Err("nothing can be told so soon; give at least 1s".into())
        }
        Ok(length) if length > command::doctor::LONGEST => Err("give at most 1day".into()),
        length => length.map_err(|wrong| wrong.to_string()),
    }
}

fn cut_every(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(every) if every < command::demo::SHORTEST => Err("readers need a moment; give at least 2s".into()),
        every => every.map_err(|wrong| wrong.to_string()),
    }
}

#[derive(Args)]
struct Check {
    /// The file [env: RESPOOL_CONFIG]
    file: Option<String>,
    /// The same: it is named so wherever else it is named
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    config: Option<String>,
    /// The event server, where the file does not say it [env: RESPOOL_UPSTREAM]
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Print all of it, with what holds by default, as a file that comes to the same
    #[arg(long)]
    effective: bool,
    /// Say what becomes of a request for this URL: its route, its key, its window, who is asked, who gets ids and why not
    #[arg(long, value_name = "URL", value_parser = command::explain::target, conflicts_with = "effective")]
    explain: Option<Target>,
    /// The method of that request
    #[arg(long, requires = "explain", default_value = "GET")]
    method: http::Method,
    /// A header of that request, such as 'Authorization: Bearer x'; may be repeated
    #[arg(long, value_name = "HEADER", requires = "explain", value_parser = command::explain::header)]
    header: Vec<(http::HeaderName, http::HeaderValue)>,
}

#[derive(Args)]
struct Run {
    /// The event server: http://host:port, https://host:port or unix:/path [env: RESPOOL_UPSTREAM]
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
        Some(Command::Check(arguments)) => check(arguments),
        Some(Command::Schema) => schema(),
        Some(Command::Health { admin, config }) => health(admin, config),
        Some(Command::Demo(arguments)) => demo(arguments),
        Some(Command::Doctor(arguments)) => doctor(arguments),
    };
    done.unwrap_or_else(|error| {
        say(error.as_ref());
        ExitCode::FAILURE
    })
}

fn check(arguments: Check) -> Result<ExitCode, Box<dyn Error>> {
    let Check { file, config, upstream, effective, explain, method, header } = arguments;
    let flags = Flags { upstream, config: file.or(config), ..Flags::default() };
    let say = match explain {
        Some(target) => Say::Explain(Box::new(command::explain::request(target, method, header))),
        None if effective => Say::Effective,
        None => Say::Ok,
    };
    let fine = command::check::run((&flags, &env), &say, &mut io::stdout(), (&mut io::stderr(), colour()))?;
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::from(WRONG) })
}

fn schema() -> Result<ExitCode, Box<dyn Error>> {
    command::schema::run(&mut io::stdout())?;
    Ok(ExitCode::SUCCESS)
}

fn health(admin: Option<String>, config: Option<String>) -> Result<ExitCode, Box<dyn Error>> {
    let admin = match command::health::admin(admin, config, &env) {
        Ok(admin) => admin,
        Err(nobody) => {
            say(&nobody);
            return Ok(ExitCode::from(WRONG));
        }
    };
    let ready = command::health::run(&admin, &mut io::stdout(), &mut io::stderr())?;
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run(arguments: Run) -> Result<ExitCode, Box<dyn Error>> {
    let Run { upstream, listen, admin, config, log } = arguments;
    if let Err(wrong) = log::start(log.as_deref(), &env) {
        say(&wrong);
        return Ok(ExitCode::from(WRONG));
    }
    let flags = Flags { upstream, listen, admin, config };
    let config = match Config::load_inspected(&flags, &env) {
        Ok(config) => config,
        Err(faults) => {
            // Without a standard error there is nobody to tell; the exit code still does.
            let _ = write!(io::stderr(), "{}", faults.render(Severity::Error, colour()));
            return Ok(ExitCode::from(WRONG));
        }
    };
    let certificates = match (config.certificates(), config.upstream_certificates()) {
        (Ok(front), Ok(upstream)) => command::run::Secrets { front, upstream },
        (Err(fault), _) | (_, Err(fault)) => {
            say(&fault);
            return Ok(ExitCode::from(WRONG));
        }
    };
    let serve = async move {
        let drain = Drain::new(config.drain_time);
        let dial = config.dialer(certificates.upstream.clone());
        let app = App::new(&config, dial, Dice::new()?, Metrics::new(), drain);
        let sources = Sources { flags, env };
        Ok::<_, Box<dyn Error>>(command::run::run(&config, sources, app, certificates).await?)
    };
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve)?;
    Ok(ExitCode::SUCCESS)
}

fn demo(arguments: Demo) -> Result<ExitCode, Box<dyn Error>> {
    let Demo { length, listen, cut_every, log } = arguments;
    // The screen is the demo's: a log has something to say only when something is wrong.
    let quiet = |name: &str| {
        let said = env(name).filter(|value| !value.trim().is_empty());
        said.or_else(|| (name == "RESPOOL_LOG").then(|| "warn".to_owned()))
    };
    if let Err(wrong) = log::start(log.as_deref(), &quiet) {
        say(&wrong);
        return Ok(ExitCode::from(WRONG));
    }
    let settings = command::demo::Settings { length, listen, cut_every };
    let (mut out, terminal) = (io::stdout(), io::stdout().is_terminal());
    let demo = command::demo::run(settings, &mut out, terminal);
    let whole = tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(demo)?;
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn doctor(arguments: Doctor) -> Result<ExitCode, Box<dyn Error>> {
    let Doctor { target, length, cuts, header: headers, direct, suggest, json } = arguments;
    let settings = command::doctor::Settings { target, direct, headers, length, cuts, suggest, json };
    let (mut out, mut err, mut terminal) = (io::stdout(), io::stderr(), io::stderr());
    let progress = terminal.is_terminal().then_some(&mut terminal as &mut dyn io::Write);
    let doctor = command::doctor::run(settings, (&mut out, &mut err), progress);
    let fine = tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(doctor)?;
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Whether who reads standard error wants colours (no-color.org).
fn colour() -> bool {
    io::stderr().is_terminal() && env("NO_COLOR").is_none_or(|value| value.is_empty())
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
