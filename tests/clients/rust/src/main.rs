//! The crate `eventsource-client`, with its own defaults but for a shorter pause. It prints a line for each event:
//! its id, or `-`, and its data on one line.

use std::{env, error::Error, time::Duration};

use eventsource_client::{Client, ClientBuilder, ReconnectOptions, SSE};
use futures_util::StreamExt;
use launchdarkly_sdk_transport::HyperTransport;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::args().nth(1).ok_or("usage: respool-clients URL")?;
    let pause = ReconnectOptions::reconnect(true).delay(Duration::from_millis(200)).build();
    let client = ClientBuilder::for_url(&url)?
        .reconnect(pause)
        .build_with_transport(HyperTransport::builder().build_http()?);
    let mut stream = client.stream();
    while let Some(item) = stream.next().await {
        match item {
            Ok(SSE::Event(event)) => {
                let id = event.id.as_deref().filter(|id| !id.is_empty()).unwrap_or("-");
                println!("event {id} {}", event.data.replace('\n', " "));
            }
            Ok(SSE::Connected(_) | SSE::Comment(_)) => {}
            Err(error) => println!("error {error}"),
        }
    }
    println!("over");
    Ok(())
}
