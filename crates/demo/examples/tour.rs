//! The Rust part of the README's tour: publishes one event and prints where it is.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let producer: FutureProducer = ClientConfig::new().set("bootstrap.servers", "127.0.0.1:9092").create()?;
    let record = FutureRecord::to("compras").key("cartao-42").payload("CompraEfetuada");
    let delivery = producer.send(record, Duration::from_secs(5)).await;
    println!("{delivery:?}");
    Ok(())
}
