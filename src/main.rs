//! The binary.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use respool::{
    drain::{self, Drain},
    net::{Address, Listener, Upstream},
    proxy::{answer::Answer, forward, outage::Outage},
    server::{Limits, Server},
};

#[derive(Parser)]
struct Arguments {
    #[arg(long)]
    upstream: Upstream,
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: Address,
    #[arg(long, value_parser = humantime::parse_duration, default_value = "10s")]
    drain: Duration,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            tracing::error!(error = %fault, "cannot start");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> std::io::Result<()> {
    let drain = Drain::new(arguments.drain);
    let mut signals = drain::signals()?;
    let forward = forward::Forward::new(&arguments.upstream, forward::Settings::default());
    let service = Answer::new(Outage::new(forward, Duration::from_secs(5)));
    let server = Server::new(service, Limits::default(), drain.clone());
    let listener = Listener::bind(&arguments.listen)?;
    tracing::info!(address = %listener.local()?, "listening");
    tokio::spawn(server.run(listener));

    tracing::info!(signal = signals.next().await, "draining");
    let finish = drain.finish();
    tokio::pin!(finish);
    tokio::select! {
        () = &mut finish => return Ok(()),
        _ = signals.next() => drain.end(),
    }
    finish.await;
    Ok(())
}
