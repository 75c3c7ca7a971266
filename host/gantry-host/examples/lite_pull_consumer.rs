//! Polls a topic's messages, which the members of the group share, until none has come for ten seconds:
//! `cargo run --example lite_pull_consumer -- TOPIC [NAME_SERVER]`. Start it several times at once to see queues divided.
#![allow(clippy::print_stdout, reason = "what was read is the program's output")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use gantry_host::FilterExpression;
use gantry_host::client_instance::{ClientConfig, ClientInstance};
use gantry_host::pull_consumer::{LitePullConsumer, LitePullConsumerConfig, MessageQueueListener};
use gantry_protocol::MessageQueue;
use gantry_protocol::body::ConsumeFromWhere;

struct Shares;

impl MessageQueueListener for Shares {
    fn message_queue_changed(&self, topic: &str, all: &[MessageQueue], assigned: &[MessageQueue]) {
        println!("{} of the {} queues of {topic} are this member's", assigned.len(), all.len());
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let topic = arguments.next().ok_or("name a topic")?;
    let name_servers = arguments.next().unwrap_or_else(|| "127.0.0.1:9876".to_owned());
    let client = ClientInstance::start(ClientConfig { name_servers, ..ClientConfig::default() }).await?;
    let config = LitePullConsumerConfig {
        consume_from_where: ConsumeFromWhere::FirstOffset,
        ..LitePullConsumerConfig::new("lite-pull-example")
    };
    let consumer = LitePullConsumer::start(client.clone(), config).await?;
    let every = FilterExpression::Tag("*".to_owned());
    consumer.subscribe_with_listener(&topic, &every, Arc::new(Shares)).await?;
    while let Some(polled) = consumer.poll(Duration::from_secs(10)).await? {
        for message in &polled.messages {
            println!("queue {}: {:?}", polled.queue.queue_id, message.body()?);
        }
        // The next poll says that these are done; auto-commit stores it within five seconds.
    }
    consumer.commit_sync().await?;
    consumer.shutdown().await?;
    client.close().await;
    Ok(())
}
