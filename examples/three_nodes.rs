//! Three nodes in one program become one cluster: `cargo run --example three_nodes`.
//!
//! Each is told the address of the first. They find each other, and a value put on one is
//! read on all.

use std::time::Duration;

use netdb::config::{HostPort, Listen, Storage};
use netdb::{Config, Handle};

/// How long each step may take before the example gives up.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let first = start("first", &[]).await?;
    let seed = first.status().cluster_addr.to_string();
    let nodes = [
        first,
        start("second", &[&seed]).await?,
        start("third", &[&seed]).await?,
    ];

    for node in &nodes {
        let name = node.status().name;
        until(&format!("{name} sees three members"), async || {
            node.status().members_alive == 3
        })
        .await?;
        println!("{name} sees three members");
    }

    nodes[0].put("colour", "green").await?;
    for node in &nodes {
        let name = node.status().name;
        until(
            &format!("{name} has the value"),
            async || matches!(node.get("colour").await, Ok(Some(value)) if value == "green"),
        )
        .await?;
        println!("{name} reads green");
    }

    for node in &nodes {
        node.shutdown().await;
    }
    Ok(())
}

async fn start(name: &str, seeds: &[&str]) -> Result<Handle, Box<dyn std::error::Error>> {
    let config = Config {
        name: Some(name.to_owned()),
        listen: Listen::At("127.0.0.1:0".parse()?),
        client: Listen::Off,
        storage: Storage::Memory,
        seeds: seeds
            .iter()
            .map(|seed| seed.parse())
            .collect::<Result<Vec<HostPort>, _>>()?,
        ..Config::default()
    };
    Ok(netdb::start(config).await?)
}

/// Waits until `holds`, or complains.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) -> Result<(), String> {
    let waited = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waited).await;
    waited.map_err(|_| format!("{what}: not within {PATIENCE:?}"))
}
