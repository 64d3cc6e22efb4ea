//! Embeds one node and uses it: `cargo run --example hello`.
//!
//! A node in a program is the same as a node of the `netdb` binary. This one is alone,
//! keeps its data in memory, and has no client port; give it `seeds` and it has company.

use netdb::Config;
use netdb::config::{HostPort, Listen, Storage};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = netdb::start(Config {
        name: Some("hello".to_owned()),
        listen: Listen::At(HostPort {
            host: "127.0.0.1".to_owned(),
            port: 0,
        }),
        client: Listen::Off,
        storage: Storage::Memory,
        ..Config::default()
    })
    .await?;

    node.put("greeting", "hello, world").await?;
    let value = node.get("greeting").await?;
    assert_eq!(value.as_deref(), Some(&b"hello, world"[..]));
    println!("greeting is {:?}", value.unwrap_or_default());

    assert!(node.delete("greeting").await?);
    assert_eq!(node.get("greeting").await?, None);
    println!("greeting is gone");

    node.shutdown().await;
    Ok(())
}
