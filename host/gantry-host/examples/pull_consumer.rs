//! Walks every queue of a topic once, as RocketMQ's PullConsumer example does, and keeps the offsets in a file:
//! `cargo run --example pull_consumer -- TOPIC [NAME_SERVER]`. Run it twice to see it go on where it stopped.
#![allow(clippy::print_stdout, reason = "what was read is the program's output")]

use std::error::Error;

use gantry_host::FilterExpression;
use gantry_host::client_instance::{ClientConfig, ClientInstance, PullStatus};
use gantry_host::pull_consumer::{OffsetStore, PullConsumer, PullConsumerConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let topic = arguments.next().ok_or("name a topic")?;
    let name_servers = arguments.next().unwrap_or_else(|| "127.0.0.1:9876".to_owned());
    let client = ClientInstance::start(ClientConfig { name_servers, ..ClientConfig::default() }).await?;
    let config = PullConsumerConfig {
        offset_store: OffsetStore::File("offsets.json".into()),
        ..PullConsumerConfig::new("pull-example")
    };
    let consumer = PullConsumer::start(client.clone(), config).await?;
    let read = walk(&consumer, &topic).await;
    consumer.shutdown().await?;
    client.close().await;
    read
}

async fn walk(consumer: &PullConsumer, topic: &str) -> Result<(), Box<dyn Error>> {
    let every = FilterExpression::Tag("*".to_owned());
    for queue in consumer.fetch_subscribe_message_queues(topic).await? {
        let mut offset = match consumer.fetch_consume_offset(&queue).await? {
            Some(offset) => offset,
            None => consumer.min_offset(&queue).await?,
        };
        loop {
            let result = consumer.pull(&queue, &every, offset, 32).await?;
            println!("{queue} at {offset}: {:?}, {} messages", result.status, result.messages.len());
            for message in &result.messages {
                println!("  {}: {:?}", message.message_id(), message.body()?);
            }
            // Whatever the status, this is where the next pull reads.
            offset = result.next_begin_offset;
            consumer.update_consume_offset(&queue, offset);
            if result.status == PullStatus::NoNewMsg {
                break;
            }
        }
    }
    Ok(())
}
